"""Stepwise cached decoding of the Flax classes, with ``init_cache`` and ``decode`` as documented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from parity.backends.hf import common
from parity.backends.protocol import Step, token_input_names

OUTPUT_OPTIONS = {"output_hidden_states": True, "output_attentions": True}


class CachedDecoder:
    """``init_cache``, then ``decode`` or a decoder's own call, compiled once for each cache length and step size.

    The cache is as long as the target, and the attention mask covers all of it from the first step, as in the library's
    own ``generate`` (transformers 4.57.6, modeling_flax_bart.py, ``prepare_inputs_for_generation``).
    """

    def __init__(self, model: Any) -> None:
        """Takes a loaded model of any Flax class that has ``init_cache``."""
        import jax

        self._model = model
        self.begin = jax.jit(self._begin)
        self.feed = jax.jit(self._feed)

    def steps(self, params: Any, given: Mapping[str, Any], sizes: Sequence[int]) -> Iterator[Step]:
        """The output of each step.

        Args:
            given: the inputs of the whole call, under the names of the class, as JAX arrays.
        """
        tokens = np.asarray(given[token_input_names(given)[0]])
        positions = np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int32), tokens.shape)
        source, cache = self.begin(params, given)
        start = 0
        for size in sizes:
            end = start + size
            piece = (tokens[:, start:end], positions[:, start:end])
            output, cache = self.feed(params, cache, source, piece, given)
            yield Step(_fields(output, end), _canonical(cache, end), _layout(cache))
            start = end

    def _begin(self, params: Any, given: Mapping[str, Any]) -> tuple[Any, Any]:
        """The encoder's states and their mask, and an empty cache; a decoder-only model receives states as input."""
        ids, _ = token_input_names(given)
        batch, room = given[ids].shape
        if ids == "input_ids":
            source = {name: value for name, value in given.items() if name.startswith("encoder_")}
            return source, self._model.init_cache(batch, room)
        states = self._states(params, given)
        seen = seen_states(self._model, given["attention_mask"], states)
        source = {"encoder_hidden_states": states, "encoder_attention_mask": seen}
        return source, self._model.init_cache(batch, room, (states,))

    def _states(self, params: Any, given: Mapping[str, Any]) -> Any:
        """The encoder's last states; those of a composition of text models are taken from the whole call.

        Errors of ``encode`` are covered by another check (CALL01), and would mask errors of the decoder's cache.
        """
        if hasattr(self._model.config, "encoder") and "input_ids" in given:
            return self._model(**given, params=params).encoder_last_hidden_state
        return encoded_by(self._model, given, params=params).last_hidden_state

    def _feed(
        self, params: Any, cache: Any, source: Mapping[str, Any], piece: tuple[Any, Any], given: Mapping[str, Any]
    ) -> tuple[Any, Any]:
        tokens, positions = piece
        ids, seen = token_input_names(given)
        options = {**OUTPUT_OPTIONS, "past_key_values": cache, "params": params}
        if ids == "input_ids":
            output = self._model(tokens, given[seen], positions, **source, **options)
        else:
            states, mask = source["encoder_hidden_states"], source["encoder_attention_mask"]
            output = self._model.decode(tokens, (states,), mask, given[seen], positions, **options)
        return {name: value for name, value in output.items() if name != "past_key_values"}, output.past_key_values


def encoded_by(model: Any, given: Mapping[str, Any], **options: Any) -> Any:
    """``model.encode`` of a whole call's source, tokens or audio, with its mask."""
    source = given["inputs"] if "inputs" in given else given["input_ids"]
    return model.encode(source, given["attention_mask"], **options)


def seen_states(model: Any, mask: Any, states: Any) -> Any:
    """The mask over the encoder's states ``[batch, length, width]`` for ``decode``; for text, the mask of the tokens.

    For audio, a state covers many samples; the class computes the number of non-padding states of each row.
    """
    import jax.numpy as jnp

    if not hasattr(model, "_get_feat_extract_output_lengths"):
        return mask
    lengths = model._get_feat_extract_output_lengths(mask.sum(axis=-1))
    return (jnp.arange(states.shape[1]) < lengths[:, None]).astype(mask.dtype)


def _fields(output: Mapping[str, Any], end: int) -> dict[str, Any]:
    """Truncates self-attention to the fed positions, on the host, to avoid compiling for each length."""
    fields = common.of_a_step(output)
    return {**fields, "attentions": tuple(np.asarray(weights)[..., :end] for weights in fields["attentions"])}


def _canonical(cache: Mapping[str, Any], end: int) -> tuple[tuple[np.ndarray, ...], ...]:
    """``[batch, heads, length, head_dim]`` of the fed tokens, from the library's ``[batch, room, heads, head_dim]``."""
    return tuple(
        tuple(np.asarray(array).transpose(0, 2, 1, 3)[:, :, :end] for array in layer) for layer in _layers(cache)
    )


def _layout(cache: Mapping[str, Any]) -> list[list[int]]:
    return [list(array.shape) for array in _layers(cache)[0]]


def _layers(cache: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Key and value of each layer; in every architecture, the only number in the path is the layer number."""
    return [layer for _, layer in sorted(_attentions(cache, -1), key=lambda found: found[0])]


def _attentions(tree: Mapping[str, Any], layer: int) -> Iterator[tuple[int, tuple[Any, Any]]]:
    if "cached_key" in tree:
        yield layer, (tree["cached_key"], tree["cached_value"])
        return
    for name, part in tree.items():
        if isinstance(part, Mapping):
            yield from _attentions(part, int(name) if name.isdigit() else layer)
