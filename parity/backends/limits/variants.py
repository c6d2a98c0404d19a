"""What each variant of ``hf-torch`` does not run, with reasons."""

from __future__ import annotations

from parity.backends.capabilities import DOCUMENTED, OPERATIONS, OTHER_CLASSES, SAVING, everything
from parity.backends.limits import Question, hf_torch
from parity.backends.variants import compiler

CLASSES = ("BartForConditionalGeneration", "BartModel")
CALLED = ("default_decoder_inputs", "empty_source")
OFFERED = {
    "hf-torch-compile": ("load", "labels", "hidden_states", "attentions", "head_masks", "cache_output", *CALLED),
    "hf-torch-aot": ("load", "labels", "hidden_states", "attentions", "head_masks", "cache_output", *CALLED),
    "hf-torch-export": ("load", "labels", "hidden_states", "attentions", *CALLED),
    "hf-torch-static-cache": (
        *(
            "load",
            "labels",
            "hidden_states",
            "attentions",
            "cache_output",
            "empty_source",
            "decode_steps",
            "cross_cache",
        ),
        *("reorder_cache", "generate", "beam_search", "no_repeat_ngram", "forced_end", "generation_settings"),
    ),
    "hf-torch-checkpointing": (
        *("load", "labels", "hidden_states", "attentions", "cache_output", "empty_source", "gradients"),
    ),
    "hf-torch-flash": (
        *("load", "labels", "hidden_states", "cache_output", "empty_source", "encode_decode", "decode_steps"),
        *("cross_cache", "generate", "no_repeat_ngram", "forced_end"),
    ),
}
"""By backend, the operations that it runs."""
REASONS = {
    "hf-torch-compile": "only the documented call is compiled: each other call would be compiled by itself",
    "hf-torch-aot": "only the documented call is compiled: each other call would be compiled by itself",
    "hf-torch-export": "only the documented call is exported, without head masks, cache and gradients",
    "hf-torch-static-cache": "a static cache does not change it: run hf-torch",
    "hf-torch-checkpointing": "gradient checkpointing does not change it: run hf-torch",
    "hf-torch-flash": "flash attention does not change it, or does not support it",
}


def lacking(question: Question) -> dict[str, str]:
    """By capability, why a variant does not run it."""
    name = question.backend
    if question.documented not in CLASSES:
        return everything(f"variants of hf-torch run {' and '.join(CLASSES)} here, not {question.documented}")
    if question.version < (4, 57):
        return everything(f"variants of hf-torch are tested with transformers 4.57, not {question.library}")
    if name == "hf-torch-compile" and not compiler.version():
        return everything(f"inductor needs a C++ compiler, and {compiler.command()} cannot be run (set CXX)")
    found = {word: REASONS[name] for word in OPERATIONS if word not in OFFERED[name]}
    documented = "the documentation describes the classes without it"
    found |= dict.fromkeys((*SAVING, *DOCUMENTED, *OTHER_CLASSES), documented)
    if name == "hf-torch-flash":
        found |= dict.fromkeys(("float64", "float32"), "FlashAttention computes in float16 and bfloat16")
        found["cpu"] = "flash attention needs a GPU: pass --device cuda and --dtype bfloat16"
    return hf_torch.lacking(question) | found
