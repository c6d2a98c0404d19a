"""What keras-hub 0.32.0 does not support of the documented calls, with reasons."""

from __future__ import annotations

from parity.backends.capabilities import DOCUMENTED, OPERATIONS, OTHER_CLASSES, SAVING, everything
from parity.backends.limits import Question
from parity.core.subject import DEVICES, DTYPES

CLASS = "BartForConditionalGeneration"
OFFERED = ("hidden_states", "encode_decode", "empty_source", "float32", "cpu")
REASONS = {
    "load": "keras-hub has no place for the first two rows of the position tables and for final_logits_bias",
    "labels": "BartSeq2SeqLM takes no labels",
    "attentions": "keras-hub's attention layers return no probabilities",
    "head_masks": "BartBackbone takes no head masks",
    "default_decoder_inputs": "BartBackbone has no default for an input",
    "tuple": "BartBackbone returns a dict only",
    "cache_output": "BartBackbone returns no cache",
    "gradients": "BartSeq2SeqLM takes no labels, and gradients are those of the loss",
    "float64": "Keras 3 computes its LayerNormalization in float32 also where a layer's dtype is float64",
    **dict.fromkeys(SAVING, "a Keras model is not saved as a checkpoint"),
    **dict.fromkeys((*DOCUMENTED, *OTHER_CLASSES), "the documentation describes the classes of transformers"),
}


def lacking(question: Question) -> dict[str, str]:
    """Unsupported capabilities, by name."""
    if question.documented != CLASS:
        return everything(f"keras-hub has a {CLASS} only, not {question.documented}")
    found = {word: REASONS.get(word, "only the whole pass of keras-hub's BART is run") for word in OPERATIONS}
    found |= {word: REASONS.get(word, f"not tested with keras-hub: {word}") for word in (*DTYPES, *DEVICES)}
    return {word: reason for word, reason in found.items() if word not in OFFERED}
