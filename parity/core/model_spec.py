"""The structure of a model, from its config and documented class: all that planning and judging depend on.

Imports no framework: the judge has none, and cases are made before one is loaded.
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
"""The supported documented classes by PyTorch name, and the head that each puts on the decoder's states."""

NON_DIFFERENTIABLE = ("relu",)
"""Documented activations that are not differentiable everywhere."""


@dataclass(frozen=True)
class ModelSpec:
    """One model: its documented class, the config it is built from, and the content of ``config.json``."""

    model_class: str
    config: BartConfig | EncoderDecoderConfig
    raw: Mapping[str, Any]
    """``config.json`` with documented defaults for all fields it omits."""

    @property
    def head(self) -> Head:
        return HEADS[self.model_class]

    @property
    def decoder_only(self) -> bool:
        """Whether it is a decoder without an encoder."""
        return self.model_class == "BartForCausalLM"

    @property
    def composed(self) -> bool:
        """Whether encoder and decoder are separate pretrained architectures."""
        return isinstance(self.config, EncoderDecoderConfig)

    @property
    def model_types(self) -> tuple[str, ...]:
        """Model types of a composition's encoder and decoder; empty for other models."""
        if isinstance(self.config, BartConfig):
            return ()
        return self.config.encoder.model_type, self.config.decoder.model_type

    @property
    def speech(self) -> SpeechConfig | None:
        """The encoder's config if its input is audio, else None."""
        encoder = None if isinstance(self.config, BartConfig) else self.config.encoder
        return encoder if isinstance(encoder, SpeechConfig) else None

    @property
    def audio(self) -> SpeechConfig:
        """The encoder's config of an audio model.

        Raises:
            TypeError: the model takes text.
        """
        if self.speech is None:
            raise TypeError(f"{self.model_class} takes text")
        return self.speech

    @property
    def bart(self) -> BartConfig:
        """The config of a BART model.

        Raises:
            TypeError: the model is a composition.
        """
        if not isinstance(self.config, BartConfig):
            raise TypeError(f"{self.model_class} is a composition")
        return self.config

    @property
    def main_input(self) -> str:
        """The name of the first input of a call."""
        return "input_ids" if self.speech is None else "input_values"

    @property
    def kind(self) -> tuple[str, tuple[str, ...]]:
        """The kind of model that subjects are planned for: documented class and, for a composition, its halves' model
        types."""
        return self.model_class, self.model_types

    @property
    def generates(self) -> bool:
        """Whether the class is documented to generate text from a source."""
        return self.head == "language" and not self.decoder_only

    @property
    def encoder(self) -> StackShape:
        """The encoder's layers.

        Raises:
            TypeError: the model has no encoder.
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
        """Vocabulary size of the decoder's inputs and outputs."""
        return self.config.vocab_size

    @property
    def source_vocab(self) -> int:
        """Vocabulary size of the encoder; the decoder's where there is no other."""
        if isinstance(self.config, BartConfig) or isinstance(self.config.encoder, SpeechConfig):
            return self.vocab
        return self.config.encoder.vocab_size

    @property
    def positions(self) -> int:
        """Number of decoder positions."""
        return (self.config if isinstance(self.config, BartConfig) else self.config.decoder).positions

    @property
    def source_positions(self) -> int:
        """Number of positions of a text encoder."""
        if isinstance(self.config, BartConfig) or isinstance(self.config.encoder, SpeechConfig):
            return self.positions
        return self.config.encoder.positions

    @property
    def labels(self) -> int:
        """Number of classes of a classification head."""
        return self.bart.num_labels

    def tokens(self, *names: str) -> set[int]:
        """Values of the special tokens of these names, wherever the config defines them."""
        halves = [
            self.raw,
            *(self.raw[half] for half in ("encoder", "decoder") if isinstance(self.raw.get(half), dict)),
        ]
        values = [half.get(name) for half in halves for name in names]
        listed = [each for value in values for each in (value if isinstance(value, list) else [value])]
        return {token for token in listed if isinstance(token, int)}

    @property
    def special(self) -> set[int]:
        """Special token ids: padding, begin, end, decoder start."""
        return self.tokens("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")

    def _token(self, name: str) -> int | None:
        """A token id of the config that is inside the decoder's vocabulary; the decoder's own config where the top
        level has none."""
        found = usable(getattr(self.config, name), self.vocab)
        decoder = getattr(self.config, "decoder", None)
        return usable(getattr(decoder, name, None), self.vocab) if found is None and decoder is not None else found

    @property
    def end(self) -> int | None:
        """The end-of-sequence token, the first if several; None where there is none."""
        return self._token("eos_token_id")

    @property
    def start(self) -> int | None:
        """The decoder start token; None where there is none."""
        return self._token("decoder_start_token_id")

    @property
    def pad(self) -> int | None:
        """The padding token of the decoder's rows; None where there is none."""
        return self._token("pad_token_id")

    @property
    def source_pad(self) -> int:
        """The padding token of a text encoder's rows; any token where none is defined, because a mask hides it."""
        half = self.config if isinstance(self.config, BartConfig) else self.config.encoder
        return 0 if isinstance(half, SpeechConfig) else usable(half.pad_token_id, self.source_vocab) or 0

    def lacking(self, *names: str) -> dict[str, str]:
        """Which of these token fields of the config cannot be used, by name, with the reason."""
        reasons = {name: why_unusable(name, getattr(self.config, name), self.vocab) for name in names}
        return {name: why for name, why in reasons.items() if why}

    @property
    def lacking_to_shift(self) -> dict[str, str]:
        """What the config lacks for shifting labels, or a source, right."""
        return self.lacking("decoder_start_token_id", "pad_token_id")

    def frames(self, samples: int, adapted: bool = True) -> int:
        """Number of encoder states for a number of audio samples; without the adapter's shortening where ``adapted`` is
        false."""
        config = self.audio
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        if adapted and config.add_adapter:
            for _ in range(config.num_adapter_layers):
                samples = (samples - 1) // config.adapter_stride + 1
        return samples

    @property
    def shortening(self) -> int:
        """Frames per encoder state: more than 1 behind an adapter."""
        return self.audio.adapter_stride**self.audio.num_adapter_layers if self.audio.add_adapter else 1

    @property
    def padding_shows(self) -> str:
        """Why padding changes an audio row's own result by the paper's definition; "" where it does not."""
        if self.speech is None:
            return ""
        if self.speech.feat_extract_norm == "group":
            return "its first convolution is normalised over all samples of a row, including padding"
        return "its adapter's windows reach across the end of a row" if self.speech.add_adapter else ""

    @cached_property
    def table(self) -> Table:
        """The canonical names of its parameters, in data-flow order."""
        return table_of(self.config, self.model_class)


def model_spec_of(raw: Mapping[str, Any], model_class: str | None = None, location: Any = "config.json") -> ModelSpec:
    """The model spec of a checkpoint's config.

    Args:
        raw: the content of ``config.json``. model_class: the documented class, by its PyTorch name; by default the
            class that saved the file.

    Raises:
        CheckpointError: no model can be built from the config, or the class is not supported.
    """
    return _model_spec(json.dumps(raw, sort_keys=True, default=str), model_class, str(location))


@lru_cache(maxsize=64)
def _model_spec(text: str, model_class: str | None, location: str) -> ModelSpec:
    raw = json.loads(text)
    config = config_of(raw, location)
    name = saved_class(config, location) if model_class is None else class_of(config, model_class, location)
    if name not in HEADS or not isinstance(config, BartConfig | EncoderDecoderConfig):
        raise CheckpointError(location, f"{name} is not a supported class: {', '.join(HEADS)}")
    return ModelSpec(name, config, raw)


def config_class(model_class: str) -> str:
    """The documented config class of a documented model class, by PyTorch name."""
    return model_class.replace("Model", "Config") if model_class.endswith("EncoderDecoderModel") else "BartConfig"
