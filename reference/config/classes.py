"""Which documented classes there are of a family; the first is what a checkpoint is taken for where nobody says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reference.config.fields import CONFIG_FILE
from reference.errors import CheckpointError, brief

CLASSES = {
    "bart": (
        "BartForConditionalGeneration",
        "BartModel",
        "BartForSequenceClassification",
        "BartForQuestionAnswering",
        "BartForCausalLM",
    ),
    "mbart": ("MBartForCausalLM",),
    "bert": ("BertModel", "BertLMHeadModel"),
    "roberta": ("RobertaModel", "RobertaForCausalLM"),
    "bert-generation": ("BertGenerationEncoder", "BertGenerationDecoder"),
    "gpt2": ("GPT2LMHeadModel",),
    "wav2vec2": ("Wav2Vec2Model",),
    "hubert": ("HubertModel",),
    "encoder-decoder": ("EncoderDecoderModel",),
    "speech-encoder-decoder": ("SpeechEncoderDecoderModel",),
}


_FRAMEWORKS = ("TF", "Flax")
"""What the other frameworks' classes begin with; ``save_pretrained`` leaves it out, files written by hand may not."""


def saved_class(config: Any, place: Path | str = CONFIG_FILE) -> str:
    """The documented class that ``config.json`` says a checkpoint was saved by; the family's first where it says none.

    Raises:
        CheckpointError: it names a class that the family has not here.
    """
    named = config.others.get("architectures") or [None]
    name = named[0] if isinstance(named, list) else named
    if isinstance(name, str):
        for prefix in _FRAMEWORKS:
            name = name.removeprefix(prefix)
    return class_of(config, name, place)


def class_of(config: Any, asked: Any = None, place: Path | str = CONFIG_FILE) -> str:
    """The class a checkpoint is to be built as.

    Args:
        asked: a documented class, None, or whatever a file has in its place.

    Raises:
        CheckpointError: the family has none of that name.
    """
    known = CLASSES[config.model_type]
    if asked is not None and asked not in known:
        named = asked if isinstance(asked, str) and asked.isidentifier() else brief(asked)
        cause = f"model_type {config.model_type!r} has no {named} here; it has {', '.join(known)}"
        raise CheckpointError(place, cause)
    return known[0] if asked is None else asked
