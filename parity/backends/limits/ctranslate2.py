"""What CTranslate2 4.8.5 does not support of the documented calls, with reasons."""

from __future__ import annotations

from parity.backends.capabilities import DOCUMENTED, OPERATIONS, OTHER_CLASSES, SAVING, everything
from parity.backends.limits import Question
from parity.core.subject import DEVICES, DTYPES

CLASS = "BartForConditionalGeneration"
OFFERED = ("load", "labels", "generate", "beam_search", "no_repeat_ngram", "other_searches", "float32", "cpu")
REASONS = {
    "forced_end": "translate_batch has no forced_eos_token_id",
    "empty_source": "translate_batch runs no model for an empty source",
    "generation_settings": "a converted directory has no generation settings: they are passed with each call",
    "reorder_cache": "the engine reorders its cache inside translate_batch only",
    "decode_steps": "the engine decodes stepwise inside translate_batch only",
    "gradients": "CTranslate2 computes no gradients",
    "default_decoder_inputs": "translate_batch makes no decoder inputs from the source",
    **dict.fromkeys(("hidden_states", "attentions"), "translate_batch returns no states of layers"),
    **dict.fromkeys(SAVING, "a converted directory is not saved as a checkpoint"),
    **dict.fromkeys((*DOCUMENTED, *OTHER_CLASSES), "the documentation describes the classes of transformers"),
}


def lacking(question: Question) -> dict[str, str]:
    """Unsupported capabilities, by name."""
    if question.documented != CLASS:
        return everything(f"CTranslate2 runs a converted {CLASS} here, not {question.documented}")
    quantised = question.entry.setup.get("quantised")
    found = {word: REASONS.get(word, "CTranslate2 has no interface for it") for word in OPERATIONS}
    found |= {word: f"not tested with CTranslate2: {word}" for word in (*DTYPES, *DEVICES)}
    found = {word: reason for word, reason in found.items() if word not in OFFERED}
    return found | (
        {"load": f"the weights are stored as {quantised} and compared by what they compute"} if quantised else {}
    )
