"""The Flax class's decoder with a cache, step by step, as its ``init_cache`` and ``decode`` are documented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from parity.backends.base import Step


class CachedDecoder:
    """``init_cache`` and ``decode``, compiled once for each room and each size of a piece.

    The room is as long as the target, and the attention mask covers all of it from the first step, as in the library's
    own ``generate`` (transformers 4.57.6, modeling_flax_bart.py, ``prepare_inputs_for_generation``).
    """

    def __init__(self, model: Any) -> None:
        """Takes a loaded ``FlaxBartForConditionalGeneration``."""
        import jax

        self._model = model
        self.begin = jax.jit(self._begin)
        self.feed = jax.jit(self._feed)

    def steps(self, params: Any, given: Mapping[str, Any], sizes: Sequence[int]) -> Iterator[Step]:
        """What each call gives.

        Args:
            given: ``input_ids``, ``decoder_input_ids`` and their masks, as JAX arrays.
        """
        tokens = np.asarray(given["decoder_input_ids"])
        positions = np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int32), tokens.shape)
        hidden, cache = self.begin(params, given)
        start = 0
        for size in sizes:
            end = start + size
            piece = (tokens[:, start:end], positions[:, start:end])
            output, cache = self.feed(params, cache, hidden, piece, given)
            yield Step(_fields(output, end), _canonical(cache, end), _layout(cache))
            start = end

    def _begin(self, params: Any, given: Mapping[str, Any]) -> tuple[Any, Any]:
        encoded = self._model.encode(given["input_ids"], given["attention_mask"], params=params)
        batch, room = given["decoder_input_ids"].shape
        return encoded.last_hidden_state, self._model.init_cache(batch, room, encoded)

    def _feed(
        self, params: Any, cache: Any, hidden: Any, piece: tuple[Any, Any], given: Mapping[str, Any]
    ) -> tuple[Any, Any]:
        tokens, positions = piece
        output = self._model.decode(
            tokens, (hidden,), given["attention_mask"], given["decoder_attention_mask"],
            decoder_position_ids=positions, past_key_values=cache, params=params,
            output_hidden_states=True, output_attentions=True,
        )  # fmt: skip
        return {name: value for name, value in output.items() if name != "past_key_values"}, output.past_key_values


def _fields(output: Mapping[str, Any], end: int) -> dict[str, Any]:
    """Under the names of the whole call; self-attention cut to what was fed, on the host: no length to compile for."""
    return {
        "logits": output["logits"],
        "decoder_hidden_states": output["hidden_states"],
        "decoder_attentions": tuple(np.asarray(weights)[..., :end] for weights in output["attentions"]),
        "cross_attentions": output["cross_attentions"],
    }


def _canonical(cache: Mapping[str, Any], end: int) -> tuple[tuple[np.ndarray, ...], ...]:
    """``[batch, heads, length, head_dim]`` of the tokens fed, from the library's ``[batch, room, heads, head_dim]``."""
    return tuple(
        tuple(np.asarray(array).transpose(0, 2, 1, 3)[:, :, :end] for array in layer) for layer in _layers(cache)
    )


def _layout(cache: Mapping[str, Any]) -> list[list[int]]:
    return [list(array.shape) for array in _layers(cache)[0]]


def _layers(cache: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    layers = cache["model"]["decoder"]["layers"]
    kept = [layers[name]["self_attn"] for name in sorted(layers, key=int)]
    return [(layer["cached_key"], layer["cached_value"]) for layer in kept]
