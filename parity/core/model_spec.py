"""What a model is made of, as its config and its documented class say: all that asking and judging must know of it.

Imports no framework: the judge has none, and the cases are made before one is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

from reference.config import BartConfig, EncoderDecoderConfig, SpeechConfig, StackShape, config_of
from reference.config.classes import class_of, saved_class
from reference.config.tokens import usable, why_unusable
from reference.errors import CheckpointError
from reference.names import Table, table_of

Head = Literal["language", "none", "labels", "span"]

HEADS: dict[str, Head] = {
    "BartForConditionalGeneration": "language",
    "BartModel": "none",
    "BartForSequenceClassification": "labels",
    "BartForQuestionAnswering": "span",
    "BartForCausalLM": "language",
    "EncoderDecoderModel": "language",
    "SpeechEncoderDecoderModel": "language",
}
"""The documented classes that are judged, by their PyTorch names, and what each puts on the decoder's states."""

NON_DIFFERENTIABLE = ("relu",)
"""Documented activations that have no derivative somewhere."""


@dataclass(frozen=True)
class ModelSpec:
    """One model: its documented class, the config it is built from, and the content of ``config.json``."""

    model_class: str
    config: BartConfig | EncoderDecoderConfig
    raw: Mapping[str, Any]
    """``config.json`` with the documented default of every field it leaves out."""

    @property
    def head(self) -> Head:
        return HEADS[self.model_class]

    @property
    def decoder_only(self) -> bool:
        """Whether it is a decoder without an encoder."""
        return self.model_class == "BartForCausalLM"

    @property
    def composed(self) -> bool:
        """Whether encoder and decoder are models of their own."""
        return isinstance(self.config, EncoderDecoderConfig)

    @property
    def families(self) -> tuple[str, ...]:
        """Model types of a composition's encoder and decoder; none of what is no composition."""
        if isinstance(self.config, BartConfig):
            return ()
        return self.config.encoder.model_type, self.config.decoder.model_type

    @property
    def speech(self) -> SpeechConfig | None:
        """The encoder's config where it takes audio."""
        encoder = None if isinstance(self.config, BartConfig) else self.config.encoder
        return encoder if isinstance(encoder, SpeechConfig) else None

    @property
    def audio(self) -> SpeechConfig:
        """The same of a model that is known to take audio.

        Raises:
            TypeError: it takes text.
        """
        if self.speech is None:
            raise TypeError(f"{self.model_class} takes text")
        return self.speech

    @property
    def bart(self) -> BartConfig:
        """The config of a model that is known to be one, and no composition.

        Raises:
            TypeError: it is a composition.
        """
        if not isinstance(self.config, BartConfig):
            raise TypeError(f"{self.model_class} is a composition")
        return self.config

    @property
    def main_input(self) -> str:
        """What the first input of a call is called."""
        return "input_ids" if self.speech is None else "input_values"

    @property
    def kind(self) -> tuple[str, tuple[str, ...]]:
        """What subjects are put to: a documented class and, of a composition, its halves' model types."""
        return self.model_class, self.families

    @property
    def generates(self) -> bool:
        """Whether its class is documented to write text from a source."""
        return self.head == "language" and not self.decoder_only

    @property
    def encoder(self) -> StackShape:
        """The encoder's layers.

        Raises:
            TypeError: it is a decoder alone.
        """
        if self.decoder_only:
            raise TypeError(f"{self.model_class} has no encoder")
        config = self.config
        return config.stack("encoder") if isinstance(config, BartConfig) else config.encoder.stack()

    @property
    def decoder(self) -> StackShape:
        """The decoder's layers."""
        half = self.config if isinstance(self.config, BartConfig) else self.config.decoder
        return half.stack("decoder") if isinstance(half, BartConfig) else half.stack(True)

    @property
    def memory(self) -> int:
        """Width of the encoder's last states."""
        return self.config.d_model if isinstance(self.config, BartConfig) else self.config.encoder.d_model

    @property
    def vocab(self) -> int:
        """Tokens of the texts that the decoder is fed and that are scored."""
        return self.config.vocab_size

    @property
    def source_vocab(self) -> int:
        """Tokens that the encoder knows; the decoder's where there is no other."""
        if isinstance(self.config, BartConfig) or isinstance(self.config.encoder, SpeechConfig):
            return self.vocab
        return self.config.encoder.vocab_size

    @property
    def positions(self) -> int:
        """Tokens that the decoder has positions for."""
        return (self.config if isinstance(self.config, BartConfig) else self.config.decoder).positions

    @property
    def source_positions(self) -> int:
        """Tokens that a text encoder has positions for."""
        if isinstance(self.config, BartConfig) or isinstance(self.config.encoder, SpeechConfig):
            return self.positions
        return self.config.encoder.positions

    @property
    def labels(self) -> int:
        """Classes of a classification head."""
        return self.bart.num_labels

    def tokens(self, *names: str) -> set[int]:
        """The special tokens of these names, wherever the config has them."""
        halves = [
            self.raw,
            *(self.raw[half] for half in ("encoder", "decoder") if isinstance(self.raw.get(half), dict)),
        ]
        values = [half.get(name) for half in halves for name in names]
        listed = [each for value in values for each in (value if isinstance(value, list) else [value])]
        return {token for token in listed if isinstance(token, int)}

    @property
    def special(self) -> set[int]:
        """Tokens that mean something: padding, begin, end, start."""
        return self.tokens("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")

    def _token(self, name: str) -> int | None:
        """A token of the config that the decoder's table has a row for, the decoder's own where it says none."""
        found = usable(getattr(self.config, name), self.vocab)
        decoder = getattr(self.config, "decoder", None)
        return usable(getattr(decoder, name, None), self.vocab) if found is None and decoder is not None else found

    @property
    def end(self) -> int | None:
        """The token that ends a text, of several the first; None where there is none."""
        return self._token("eos_token_id")

    @property
    def start(self) -> int | None:
        """What the decoder is fed first; None where there is none."""
        return self._token("decoder_start_token_id")

    @property
    def pad(self) -> int | None:
        """What fills rows of the decoder's text up; None where there is none."""
        return self._token("pad_token_id")

    @property
    def source_pad(self) -> int:
        """What fills rows of a text encoder's text up; any token where none is said, for a mask hides it."""
        half = self.config if isinstance(self.config, BartConfig) else self.config.encoder
        return 0 if isinstance(half, SpeechConfig) else usable(half.pad_token_id, self.source_vocab) or 0

    def lacking(self, *names: str) -> dict[str, str]:
        """Of these tokens of the config itself those that cannot be used, by name, each with the reason."""
        reasons = {name: why_unusable(name, getattr(self.config, name), self.vocab) for name in names}
        return {name: why for name, why in reasons.items() if why}

    @property
    def lacking_to_shift(self) -> dict[str, str]:
        """What labels, or a source, cannot be shifted right without, as far as the config lacks it."""
        return self.lacking("decoder_start_token_id", "pad_token_id")

    def frames(self, samples: int, adapted: bool = True) -> int:
        """States that so many samples of audio become; without the adapter's shortening where ``adapted`` is false."""
        config = self.audio
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        if adapted and config.add_adapter:
            for _ in range(config.num_adapter_layers):
                samples = (samples - 1) // config.adapter_stride + 1
        return samples

    @property
    def shortening(self) -> int:
        """Frames that become one state of the encoder's: more than 1 behind an adapter."""
        return self.audio.adapter_stride**self.audio.num_adapter_layers if self.audio.add_adapter else 1

    @property
    def padding_shows(self) -> str:
        """Why what fills a row of audio changes the row itself, by the paper's definition; "" where it does not."""
        if self.speech is None:
            return ""
        if self.speech.feat_extract_norm == "group":
            return "its first convolution is normalised over all of a row's samples, padding among them"
        return "its adapter's windows reach across the end of a row" if self.speech.add_adapter else ""

    @cached_property
    def table(self) -> Table:
        """The canonical names of its parameters, in data-flow order."""
        return table_of(self.config, self.model_class)


def model_spec_of(raw: Mapping[str, Any], model_class: str | None = None, place: Any = "config.json") -> ModelSpec:
    """A model's model spec.

    Args:
        raw: the content of ``config.json``.
        model_class: the documented class, by its PyTorch name; the one the file was saved by where None.

    Raises:
        CheckpointError: the config cannot be built from, or the class is none of those that are judged.
    """
    return _model_spec(json.dumps(raw, sort_keys=True, default=str), model_class, str(place))


@lru_cache(maxsize=64)
def _model_spec(text: str, model_class: str | None, place: str) -> ModelSpec:
    raw = json.loads(text)
    config = config_of(raw, place)
    name = saved_class(config, place) if model_class is None else class_of(config, model_class, place)
    if name not in HEADS or not isinstance(config, BartConfig | EncoderDecoderConfig):
        raise CheckpointError(place, f"{name} is no class that is judged here: {', '.join(HEADS)}")
    return ModelSpec(name, config, raw)


def config_class(model_class: str) -> str:
    """The documented config class of a documented model class, by its PyTorch name."""
    return model_class.replace("Model", "Config") if model_class.endswith("EncoderDecoderModel") else "BartConfig"
