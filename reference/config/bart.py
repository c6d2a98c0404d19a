"""The config of BART and mBART, read from ``config.json`` and validated before any weights are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from reference.config.fields import (
    CONFIG_FILE,
    check_activation,
    check_heads,
    check_labels,
    check_model_type,
    check_rates,
    check_sizes,
    check_switches,
    object_of,
)
from reference.config.shape import StackShape
from reference.config.tokens import Tokens, tokens_of
from reference.files import read_json

_SIZES = (
    "vocab_size",
    "max_position_embeddings",
    "d_model",
    "encoder_layers",
    "encoder_ffn_dim",
    "encoder_attention_heads",
    "decoder_layers",
    "decoder_ffn_dim",
    "decoder_attention_heads",
)
_SWITCHES = ("scale_embedding", "tie_word_embeddings", "use_cache")
_TOKENS = (
    "pad_token_id",
    "eos_token_id",
    "decoder_start_token_id",
    "bos_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
)
_RATES = ("dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop", "init_std")


@dataclass(frozen=True)
class BartConfig:
    """A BART encoder-decoder, fields and defaults as documented (BART page, ``BartConfig``).

    Sizes are counts; ``*_dropout`` are probabilities, used in training only. ``others`` has the keys of the file that
    do not affect the computation (generation settings, labels, versions …). A token id may be null or outside the
    vocabulary; only computations that need it then fail (``reference.config.tokens``).
    """

    vocab_size: int = 50265
    max_position_embeddings: int = 1024
    d_model: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    activation_function: str = "gelu"
    scale_embedding: bool = False
    tie_word_embeddings: bool = True
    use_cache: bool = True
    dropout: int | float = 0.1
    attention_dropout: int | float = 0.0
    activation_dropout: int | float = 0.0
    encoder_layerdrop: int | float = 0.0
    decoder_layerdrop: int | float = 0.0
    init_std: int | float = 0.02
    pad_token_id: Tokens = 1
    bos_token_id: Tokens = 0
    eos_token_id: Tokens = 2
    decoder_start_token_id: Tokens = 2
    forced_bos_token_id: Tokens = None
    forced_eos_token_id: Tokens = 2
    others: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    MODEL_TYPES: ClassVar[tuple[str, ...]] = ("bart",)
    PRE_NORM: ClassVar[bool] = False

    @property
    def model_type(self) -> str:
        return self.MODEL_TYPES[0]

    @property
    def positions(self) -> int:
        """The number of positions, which is the maximum sequence length."""
        return self.max_position_embeddings

    @property
    def num_labels(self) -> int:
        """The number of classes of a classification head: entries of ``id2label``, or the documented default of 3."""
        labels = self.others.get("id2label")
        return len(labels) if labels else self.others.get("num_labels") or 3

    @property
    def problem_type(self) -> str | None:
        """``regression``, ``single_label_classification``, ``multi_label_classification``, or None (to be inferred)."""
        return self.others.get("problem_type")

    def stack(self, which: Literal["encoder", "decoder"], cross: bool | None = None) -> StackShape:
        """The shape of one stack; decoder layers have cross-attention unless ``cross`` is false."""
        return StackShape(
            layers=getattr(self, f"{which}_layers"),
            d_model=self.d_model,
            heads=getattr(self, f"{which}_attention_heads"),
            ffn=getattr(self, f"{which}_ffn_dim"),
            activation=self.activation_function,
            pre_norm=self.PRE_NORM,
            cross=which == "decoder" if cross is None else cross,
        )

    @classmethod
    def from_dict(cls, data: Any, path: Path | str | None = None) -> BartConfig:
        """A config from the content of a ``config.json``; absent keys have the documented defaults.

        Args:
            data: the parsed content of the file, which must be a JSON object.
            path: the file name in error messages; None for ``config.json``.

        Raises:
            CheckpointError: ``model_type`` is absent or not ``bart``, a size is not a positive integer, the heads do
                not divide ``d_model``, the activation is not documented, or a token id is not an integer.
        """
        location = CONFIG_FILE if path is None else path
        data = object_of(data, location)
        check_model_type(data, cls.MODEL_TYPES, location)
        values = {f.name: data.get(f.name, f.default) for f in fields(cls) if f.name != "others"}
        check_sizes(values, _SIZES, location)
        check_switches(values, _SWITCHES, location)
        check_rates(values, _RATES, location)
        check_labels(data, location)
        check_activation(values, "activation_function", location)
        for stack in ("encoder", "decoder"):
            check_heads(values, f"{stack}_attention_heads", "d_model", location)
        values |= tokens_of(values, _TOKENS, location)
        return cls(**values, others={key: value for key, value in data.items() if key not in values})

    @classmethod
    def read(cls, directory: Path | str) -> BartConfig:
        """Reads ``directory/config.json``.

        Raises:
            CheckpointError: there is no such directory or file, it is not JSON (the message has line and column), or
                its content is not a valid BART config (see ``from_dict``).
        """
        return cls.from_dict(read_json(directory, CONFIG_FILE), Path(directory) / CONFIG_FILE)


@dataclass(frozen=True)
class MBartConfig(BartConfig):
    """mBART (Liu et al. 2020, arXiv:2001.08210, section 2.2): BART with pre-norm layers and a final normalisation."""

    MODEL_TYPES: ClassVar[tuple[str, ...]] = ("mbart",)
    PRE_NORM: ClassVar[bool] = True
