"""Model configs, read from ``config.json`` and validated before any weights are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reference.config.bart import BartConfig, MBartConfig
from reference.config.bert import BertConfig
from reference.config.composed import ENCODERS, READERS, EncoderDecoderConfig
from reference.config.fields import ACTIVATIONS, CONFIG_FILE, check_model_type, object_of
from reference.config.gpt2 import Gpt2Config
from reference.config.shape import StackShape
from reference.config.speech import SpeechConfig
from reference.errors import CheckpointError
from reference.files import read_json

Config = BartConfig | BertConfig | Gpt2Config | SpeechConfig | EncoderDecoderConfig


def read_config(directory: Path | str) -> Config:
    """Reads the config of a checkpoint of any supported architecture.

    Raises:
        CheckpointError: the file is missing or not JSON, its ``model_type`` is unknown, or no model can be built from
            it.
    """
    return config_of(read_json(directory, CONFIG_FILE), Path(directory) / CONFIG_FILE)


def config_of(data: Any, location: Path | str = CONFIG_FILE) -> Config:
    """The config from the content of a ``config.json``, of any supported architecture; raises as ``read_config``."""
    data = object_of(data, location)
    readers = {**READERS, **dict.fromkeys(ENCODERS, EncoderDecoderConfig)}
    return readers[check_model_type(data, tuple(readers), location)].from_dict(data, location)


def vocabulary_of(config: Config, location: Path | str = CONFIG_FILE) -> int:
    """The vocabulary size of a model: of its output if it generates text, else of its input.

    Raises:
        CheckpointError: the model is a speech encoder, which has no vocabulary.
    """
    if isinstance(config, SpeechConfig):
        raise CheckpointError(location, f"a {config.model_type} has no vocabulary")
    return config.vocab_size


__all__ = [
    "ACTIVATIONS",
    "CONFIG_FILE",
    "BartConfig",
    "BertConfig",
    "Config",
    "EncoderDecoderConfig",
    "Gpt2Config",
    "MBartConfig",
    "SpeechConfig",
    "StackShape",
    "config_of",
    "read_config",
    "read_json",
    "vocabulary_of",
]
