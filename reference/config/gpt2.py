"""The config of GPT-2 (Radford et al. 2019, section 2.3), a decoder with pre-norm layers."""

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
from reference.config.tokens import Tokens, tokens_of
from reference.errors import CheckpointError, brief
from reference.files import read_json

_AS_PUBLISHED = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "reorder_and_upcast_attn": False}


@dataclass(frozen=True)
class Gpt2Config:
    """Fields and defaults as documented; ``n_inner`` null means four times the width."""

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    layer_norm_epsilon: int | float = 1e-5
    tie_word_embeddings: bool = True
    add_cross_attention: bool = False
    bos_token_id: Tokens = 50256
    eos_token_id: Tokens = 50256
    pad_token_id: Tokens = None
    others: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    model_type = "gpt2"

    @classmethod
    def from_dict(cls, data: Any, path: Path | str | None = None) -> Gpt2Config:
        """A config from the content of a ``config.json``; absent keys have the documented defaults.

        Raises:
            CheckpointError: another ``model_type``, a value of the wrong type, heads that do not divide the width, or
                a scaling of attention other than the published one.
        """
        location = CONFIG_FILE if path is None else path
        data = object_of(data, location)
        check_model_type(data, ("gpt2",), location)
        values = {f.name: data.get(f.name, f.default) for f in fields(cls) if f.name != "others"}
        for name, published in _AS_PUBLISHED.items():
            if data.get(name, published) != published:
                raise CheckpointError(location, f"{name} is {brief(data[name])}; only {published} can be built")
        check_sizes(values, ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"), location)
        if values["n_inner"] is not None:
            check_sizes(values, ("n_inner",), location)
        check_switches(values, ("tie_word_embeddings", "add_cross_attention"), location)
        check_rates(values, ("layer_norm_epsilon",), location)
        check_activation(values, "activation_function", location)
        check_labels(data, location)
        check_heads(values, "n_head", "n_embd", location)
        values |= tokens_of(values, ("bos_token_id", "eos_token_id", "pad_token_id"), location)
        return cls(**values, others={key: value for key, value in data.items() if key not in values})

    @classmethod
    def read(cls, directory: Path | str) -> Gpt2Config:
        """Reads ``directory/config.json``; raises as ``from_dict``, or if the file is missing."""
        return cls.from_dict(read_json(directory, CONFIG_FILE), Path(directory) / CONFIG_FILE)

    @property
    def d_model(self) -> int:
        return self.n_embd

    @property
    def positions(self) -> int:
        """The number of positions, which is the maximum sequence length."""
        return self.n_positions

    def stack(self, cross: bool = False) -> StackShape:
        """The shape of the layers; ``cross`` adds cross-attention."""
        sizes = (self.n_layer, self.n_embd, self.n_head, self.n_inner or 4 * self.n_embd)
        return StackShape(*sizes, self.activation_function, float(self.layer_norm_epsilon), pre_norm=True, cross=cross)
