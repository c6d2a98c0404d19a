"""Configs of compositions of two architectures (Rothe et al. 2020, arXiv:1907.12461, section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reference.config.bart import BartConfig, MBartConfig
from reference.config.bert import BertConfig
from reference.config.fields import CONFIG_FILE, check_labels, check_model_type, object_of
from reference.config.gpt2 import Gpt2Config
from reference.config.speech import SpeechConfig
from reference.config.tokens import Tokens, tokens_of
from reference.errors import CheckpointError, brief
from reference.files import read_json

READERS: dict[str, Any] = {
    "bart": BartConfig,
    "mbart": MBartConfig,
    "bert": BertConfig,
    "roberta": BertConfig,
    "bert-generation": BertConfig,
    "gpt2": Gpt2Config,
    "wav2vec2": SpeechConfig,
    "hubert": SpeechConfig,
}
"""The config class by ``model_type``."""

ENCODERS = {
    "encoder-decoder": ("bert", "roberta", "bert-generation"),
    "speech-encoder-decoder": ("wav2vec2", "hubert"),
}
DECODERS = ("bert", "roberta", "bert-generation", "gpt2", "bart", "mbart")
_TOKENS = ("decoder_start_token_id", "pad_token_id", "eos_token_id")


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """The configs of encoder and decoder in one file (encoder-decoder and speech page, ``EncoderDecoderConfig``).

    ``decoder_start_token_id`` and ``pad_token_id`` are needed to shift labels. They are read from this config only,
    where the page on training says to set them. Generation settings that are absent here are taken from the decoder's
    config (``reference.generation.settings``).
    """

    model_type: str
    encoder: BertConfig | SpeechConfig
    decoder: BertConfig | Gpt2Config | BartConfig
    decoder_start_token_id: Tokens = None
    pad_token_id: Tokens = None
    eos_token_id: Tokens = None
    others: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_dict(cls, data: Any, path: Path | str | None = None) -> EncoderDecoderConfig:
        """A config from the content of a ``config.json``.

        Raises:
            CheckpointError: a half is missing or its architecture is not supported as that half, the decoder has no
                cross-attention, the widths differ without a projection, or the config ties the weights of the halves.
        """
        location = CONFIG_FILE if path is None else path
        data = object_of(data, location)
        check_labels(data, location)
        kind = check_model_type(data, tuple(ENCODERS), location)
        encoder = _half(data, "encoder", ENCODERS[kind], location)
        decoder = _half(data, "decoder", DECODERS, location)
        _check_joined(encoder, decoder, data, location)
        tokens = tokens_of({name: data.get(name) for name in _TOKENS}, _TOKENS, location)
        others = {key: value for key, value in data.items() if key not in {"encoder", "decoder", *_TOKENS}}
        return cls(kind, encoder, decoder, **tokens, others=others)

    @classmethod
    def read(cls, directory: Path | str) -> EncoderDecoderConfig:
        """Reads ``directory/config.json``; raises as ``from_dict``, or if the file is missing."""
        return cls.from_dict(read_json(directory, CONFIG_FILE), Path(directory) / CONFIG_FILE)

    @property
    def vocab_size(self) -> int:
        """The vocabulary size of the decoder."""
        return self.decoder.vocab_size

    @property
    def projects(self) -> bool:
        """Whether the encoder's states are projected to the decoder's width."""
        return self.encoder.d_model != self.decoder.d_model


def _half(data: Mapping[str, Any], which: str, known: tuple[str, ...], location: Path | str) -> Any:
    if not isinstance(data.get(which), Mapping):
        raise CheckpointError(location, f"has no {which} to build from")
    inside = f"{location} ({which})"
    model_type = check_model_type(data[which], known, inside)
    return READERS[model_type].from_dict(data[which], inside)


def _check_joined(encoder: Any, decoder: Any, data: Mapping[str, Any], location: Path | str) -> None:
    cross_attention = data["decoder"].get("add_cross_attention", False)
    if isinstance(decoder, BertConfig | Gpt2Config) and cross_attention is not True:
        raise CheckpointError(location, "the decoder has no cross-attention (add_cross_attention is not true)")
    width = data["decoder"].get("cross_attention_hidden_size")
    if width is not None and encoder.d_model != decoder.d_model:
        cause = (
            f"the encoder's width {encoder.d_model} is not the decoder's {decoder.d_model}, and no projection is made"
        )
        raise CheckpointError(location, f"{cause} (cross_attention_hidden_size is {brief(width)})")
    if data.get("tie_encoder_decoder", False):
        raise CheckpointError(location, "tie_encoder_decoder is true; tied halves cannot be built")
