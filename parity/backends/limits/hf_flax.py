"""What the Flax classes of transformers do not support."""

from __future__ import annotations

from parity.backends.capabilities import everything
from parity.backends.limits import Question, hf
from parity.backends.limits.hf import INPUT_FORMS

WITHOUT = {"encoder": ("bert-generation", "hubert"), "decoder": ("mbart", "bert-generation")}
"""Halves that a composition cannot have."""


def lacking(question: Question) -> dict[str, str]:
    """By capability, why it is lacking."""
    if why := hf.no_half(question, WITHOUT):
        return everything(why)
    name = f"Flax{question.documented} of {question.library}"
    found = {
        "labels": f"{name} does not accept labels",
        "head_masks": f"{name} does not accept head masks",
        "cache_output": f"{name} returns no cache from a whole call",
        "float64": f"{name} documents float32, float16 and bfloat16 only",
        "cross_cache": f"{name} does not cache keys and values of the source",
        "reorder_cache": f"{name} reorders its cache only inside generate",
        "modes": f"{name} has no train and eval modes: its call has an argument train",
        "embedded": f"{name} takes no embeddings in place of tokens",
        "encoder_forms": f"{name} takes encoder_outputs in decode alone",
        **({"positions": f"not tested with {name}"} if question.documented.startswith("Speech") else {}),
        "input_forms": INPUT_FORMS,
        "uncached": f"{name} has no argument use_cache",
        "call_forms": f"generate of {name} takes no other functions and no other model",
        "generated_states": f"generate of {name} returns no hidden states and no attentions",
        "sampling_scores": f"generate of {name} returns no scores",
        "plain_load": f"{name} loads in float32 with and without arguments",
    }
    if question.version[1] > 37:
        # 4.37.2 has no such processor and ignores the argument, which is a divergence; measured with JAX 0.10.2.
        found["no_repeat_ngram"] = f"{name} raises NotImplementedError (jax.experimental.sparse, bcoo_gather)"
    return found | hf.newer(question) | hf.saving(question)
