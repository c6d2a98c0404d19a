# Peer reference: reference/in_torch/generation.py
"""Text generation: connects the model's cached decoder to the searches of ``reference.generation``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int

from reference.generation import DOCUMENTED, Dialect, Generated, GenerationSettings
from reference.generation import generate as search
from reference.in_flax.cache import Cache, LayerCache
from reference.in_flax.loading import as_inputs
from reference.in_flax.seq2seq import Seq2Seq


class CachedDecoder:
    """A batch of encoded sources and the decoder's cache (``reference.generation.Decoder``).

    Args:
        inputs: ``input_ids`` (or the encoder's ``main_input``) and ``attention_mask`` ``[batch, src]`` as host arrays;
            without a mask the whole input is attended to.
        capacity: the maximum number of tokens of a text, including the start token.
    """

    def __init__(self, model: Seq2Seq, inputs: Mapping[str, np.ndarray], capacity: int) -> None:
        self.model = model
        given = as_inputs(model, inputs)
        mask = given.get("attention_mask")
        memory = model.encode(given[model.main_input], mask).last_hidden_state
        self.source_mask = model.source_mask(mask, memory)
        self.empty = model.start_cache(memory, capacity)

    def start(self, rows_per_source: int) -> int:
        """Repeats each source's row ``rows_per_source`` times, with an empty cache; returns the number of rows."""
        sources = np.arange(len(self.source_mask)).repeat(rows_per_source)
        index = as_inputs(self.model, {"rows": sources})["rows"]
        self.cache, self.mask = self.empty.reordered(index), self.source_mask[index]
        return len(sources)

    def logits(self, tokens: Int[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows vocab"]:
        """Feeds one token to every row and returns the logits of the next token."""
        fed = as_inputs(self.model, {"tokens": tokens[:, None]})["tokens"]
        output, self.cache = self.model.step(fed, self.cache, self.mask)
        return np.asarray(output.logits[:, -1], np.float64)

    def reorder(self, rows: Int[np.ndarray, " rows"]) -> None:
        """Row i continues from the cache of row ``rows[i]``, which belongs to the same source."""
        index = as_inputs(self.model, {"rows": rows})["rows"]
        layers = tuple(LayerCache(layer.room.rows(index), layer.cross) for layer in self.cache.layers)
        self.cache = Cache(layers, self.cache.length)


def generate(
    model: Seq2Seq,
    inputs: Mapping[str, np.ndarray],
    settings: GenerationSettings,
    dialect: Dialect = DOCUMENTED,
    uniforms: Float64[np.ndarray, "steps rows"] | None = None,
) -> Generated:
    """Generates text by greedy search, beam search or sampling, according to ``settings``.

    Args:
        inputs: the encoder's ``main_input`` and optionally ``attention_mask``, as for ``CachedDecoder``.
        uniforms: uniform numbers for sampling (``reference.generation.uniform_numbers``); with the same numbers both
            frameworks sample in the same way.

    Raises:
        ValueError: ``max_length`` exceeds the number of positions of the model.
    """
    capacity = settings.resolved(dialect).max_length
    decoder, batch = CachedDecoder(model, inputs, capacity), len(inputs[model.main_input])
    return search(decoder, batch, settings, dialect, uniforms, inputs.get("input_ids"))
