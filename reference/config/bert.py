"""The config of BERT, RoBERTa and bert-generation: one architecture with different position numbering and heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

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
from reference.config.tokens import Tokens, tokens_of, why_unusable
from reference.errors import CheckpointError, brief
from reference.files import read_json

_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_DEFAULTS = {
    "bert": {},
    "roberta": {"vocab_size": 50265, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "bert-generation": {
        "vocab_size": 50358,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "bos_token_id": 2,
        "eos_token_id": 1,
    },
}
"""Documented defaults that differ from BERT's (transformers 4.57.6, models/*/configuration_*.py)."""


@dataclass(frozen=True)
class BertConfig:
    """BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019) or bert-generation (Rothe et al. 2020).

    ``type_vocab_size`` is 0 for bert-generation, which has no token types.
    """

    model_type: str
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: int | float = 1e-12
    tie_word_embeddings: bool = True
    is_decoder: bool = False
    add_cross_attention: bool = False
    pad_token_id: Tokens = 0
    bos_token_id: Tokens = None
    eos_token_id: Tokens = None
    others: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_dict(cls, data: Any, path: Path | str | None = None) -> BertConfig:
        """A config from the content of a ``config.json``; absent keys have the documented defaults of the architecture.

        Raises:
            CheckpointError: another ``model_type``, a value of the wrong type, heads that do not divide the width, an
                unsupported activation or position embedding, a token id that is not an integer, or a RoBERTa without
                the padding token from which its positions are numbered.
        """
        location = CONFIG_FILE if path is None else path
        data = object_of(data, location)
        model_type = check_model_type(data, tuple(_DEFAULTS), location)
        names = [f for f in fields(cls) if f.name not in ("model_type", "others")]
        values = {f.name: data.get(f.name, _DEFAULTS[model_type].get(f.name, f.default)) for f in names}
        if data.get("position_embedding_type", "absolute") != "absolute":
            cause = f"position_embedding_type is {brief(data['position_embedding_type'])}; only 'absolute' can be built"
            raise CheckpointError(location, cause)
        check_sizes(values, _SIZES, location)
        check_switches(values, ("tie_word_embeddings", "is_decoder", "add_cross_attention"), location)
        check_rates(values, ("layer_norm_eps",), location)
        check_activation(values, "hidden_act", location)
        check_labels(data, location)
        check_heads(values, "num_attention_heads", "hidden_size", location)
        values |= tokens_of(values, ("pad_token_id", "bos_token_id", "eos_token_id"), location)
        why = why_unusable("pad_token_id", values["pad_token_id"], values["vocab_size"], "it")
        if model_type == "roberta" and why:
            raise CheckpointError(location, f"roberta numbers positions from its padding token on, and {why}")
        if model_type == "bert-generation":
            values["type_vocab_size"] = 0
        others = {key: value for key, value in data.items() if key not in values}
        return cls(model_type, **values, others=others)

    @classmethod
    def read(cls, directory: Path | str) -> BertConfig:
        """Reads ``directory/config.json``; raises as ``from_dict``, or if the file is missing."""
        return cls.from_dict(read_json(directory, CONFIG_FILE), Path(directory) / CONFIG_FILE)

    @property
    def d_model(self) -> int:
        return self.hidden_size

    @property
    def positions(self) -> int:
        """The maximum sequence length; RoBERTa's positions are numbered from ``pad_token_id + 1``."""
        return self.max_position_embeddings - self.first_position

    @property
    def first_position(self) -> int:
        """The row of the position table for the first token: 0, or ``pad_token_id + 1`` for RoBERTa.

        Raises:
            TypeError: a RoBERTa config that was not created by ``from_dict`` has no padding token, or several.
        """
        if self.model_type != "roberta":
            return 0
        if not isinstance(self.pad_token_id, int):
            raise TypeError("roberta numbers positions from its padding token on")
        return self.pad_token_id + 1

    def stack(self, cross: bool = False) -> StackShape:
        """The shape of the layers; ``cross`` adds cross-attention."""
        sizes = (self.num_hidden_layers, self.hidden_size, self.num_attention_heads, self.intermediate_size)
        return StackShape(*sizes, self.hidden_act, float(self.layer_norm_eps), cross=cross)
