"""The documented classes of each architecture; the first is the default."""

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
"""Prefixes of class names in other frameworks; ``save_pretrained`` omits them, files written by hand may not."""


def saved_class(config: Any, location: Path | str = CONFIG_FILE) -> str:
    """The documented class in ``config.json`` from which a checkpoint was saved; by default the architecture's first.

    Raises:
        CheckpointError: the class is not supported for the architecture.
    """
    named = config.others.get("architectures") or [None]
    name = named[0] if isinstance(named, list) else named
    if isinstance(name, str):
        for prefix in _FRAMEWORKS:
            name = name.removeprefix(prefix)
    return class_of(config, name, location)


def class_of(config: Any, wanted: Any = None, location: Path | str = CONFIG_FILE) -> str:
    """The class that a checkpoint is built as.

    Args:
        wanted: a documented class, None, or an unchecked value from a file.

    Raises:
        CheckpointError: the architecture has no class of that name.
    """
    known = CLASSES[config.model_type]
    if wanted is not None and wanted not in known:
        named = wanted if isinstance(wanted, str) and wanted.isidentifier() else brief(wanted)
        cause = f"model_type {config.model_type!r} has no {named} here; it has {', '.join(known)}"
        raise CheckpointError(location, cause)
    return known[0] if wanted is None else wanted
