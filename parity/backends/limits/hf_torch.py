"""What the PyTorch classes of transformers do not support."""

from __future__ import annotations

from parity.backends.capabilities import everything
from parity.backends.limits import Question, hf
from parity.backends.limits.hf import INPUT_FORMS

NO_SDPA = ("bert-generation",)
"""Halves that PyTorch's compositions have in eager attention only (transformers 4.57.6, modeling_utils.py,
``_sdpa_can_dispatch``). In 4.37.2 no composition has it (``PreTrainedModel._supports_sdpa``)."""


def lacking(question: Question) -> dict[str, str]:
    """By capability, why it is lacking."""
    if why := _no_attention(question):
        return everything(why)
    library, found = question.library, {"input_forms": INPUT_FORMS}
    if question.is_old and question.model_types[1:] == ("gpt2",):
        found["cross_cache"] = f"GPT2LMHeadModel of {library} does not cache keys and values of the source"
    if question.is_old and question.documented == "BartModel":
        found["reorder_cache"] = f"BartModel of {library} has no _reorder_cache"
    if question.variant.attention == "sdpa":
        found["attentions"] = f"sdpa attention in {library} returns no weights"
        if question.version < (4, 53):
            # With attentions requested, it computes everything eagerly (4.37.2, modeling_bart.py, BartSdpaAttention).
            found["attentions"] += "; with output_attentions it falls back to eager, so that sdpa would not be tested"
    if question.version >= (5, 0):
        found["head_masks"] = f"{question.documented} of {library} does not accept head masks"
    found |= hf.without_parameters(f"{question.documented} of {library}")
    found["positions"] = f"{question.documented} of {library} takes no positions in its call"
    return found | hf.newer(question) | _saving(question)


def _no_attention(question: Question) -> str:
    """Why a composition does not support an attention; "" where it does."""
    if question.variant.attention != "sdpa":
        return ""
    if question.model_types and question.is_old:
        return f"no composition of {question.library} has sdpa attention, and loading it with sdpa raises an error"
    for model_type in question.model_types:
        if model_type in NO_SDPA:
            return f"{model_type} of {question.library} has no sdpa attention, and loading it with sdpa raises an error"
    return ""


def _saving(question: Question) -> dict[str, str]:
    found = hf.saving(question)
    if question.version >= (5, 0):
        # modeling_utils.py of 5.23.0: save_pretrained writes safetensors alone, from_pretrained drops both flags.
        found |= dict.fromkeys(("from_tf", "from_flax"), f"from_pretrained of {question.library} ignores the flag")
        found["save_bin"] = f"save_pretrained of {question.library} writes safetensors only"
    return found
