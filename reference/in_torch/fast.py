# Twin: reference/in_flax/fast.py
"""The same model, fast: for generating text, never for truth. The plain path does not come here.

It computes what ``encode`` and ``TextDecoder.step`` compute, up to rounding. What is different:

- A step reads every weight once for a few rows, so the layout of the weights decides how long it takes. They are packed
  for that once (``packing``), with queries, keys and values as one product.
- Only the next token's logits are made; no states and no attention weights are kept.
- The cache never moves. The rows of one source share one room, with a slot for each of them at every position, and a
  mask says in which slots a row's past lies: where beams change places, rows of that mask do. So the rows of a source
  are to attention what positions are elsewhere, and what the encoder said is held once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from reference.generation import DOCUMENTED, Dialect, Generated, GenerationSettings
from reference.generation import generate as search
from reference.in_torch.bart import BareBart
from reference.in_torch.bert import BertEncoder
from reference.in_torch.cache import KeysValues
from reference.in_torch.encoder_decoder import EncoderDecoderModel
from reference.in_torch.fast_layers import FastDecoderLayer, FastEncoderLayer, FastHead
from reference.in_torch.loading import as_inputs
from reference.in_torch.packing import FastNorm
from reference.in_torch.precision import matmul_precision
from reference.in_torch.seq2seq import Seq2Seq


class FastEncoder:
    """The encoder of text. One of audio stays plain: convolutions are most of its work, and ``plain`` says so."""

    def __init__(self, model: Seq2Seq) -> None:
        self.model = model
        encoder = model.encoder if isinstance(model, EncoderDecoderModel) else model
        self.plain = not isinstance(encoder, BareBart | BertEncoder)
        if not self.plain:
            stack = encoder.model.encoder if isinstance(encoder, BareBart) else encoder.stack
            self.embed = encoder.embed_source
            self.layers = [FastEncoderLayer(layer) for layer in stack.layers]
            self.norm = None if stack.layer_norm is None else FastNorm(stack.layer_norm)

    def encode(
        self, given: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, "batch src memory"], Int[np.ndarray, "batch src"]]:
        """The last states, and which of them are no padding.

        Args:
            given: the ``main_input`` and, if anything is hidden, ``attention_mask``.
        """
        inputs, mask = given[self.model.main_input], given.get("attention_mask")
        if self.plain:
            hidden = self.model.encode(inputs, mask).last_hidden_state
            return hidden, self.model.source_mask(mask, hidden).cpu().numpy()
        seen = np.ones(inputs.shape, np.int64) if mask is None else mask.cpu().numpy()
        keep = torch.as_tensor(seen != 0, device=inputs.device)[:, None, None, :]
        hidden = self.embed(inputs)
        for layer in self.layers:
            hidden = layer(hidden, keep)
        return hidden if self.norm is None else self.norm(hidden), seen


class FastModel:
    """A model with its weights packed, for any number of texts; it holds most of them a second time.

    Raises:
        TypeError: the model's class is none whose head is known here.
    """

    def __init__(self, model: Seq2Seq) -> None:
        self.model = model
        self.encoder = FastEncoder(model)
        self.memory, self.embed = model.memory, model.embed
        self.head = FastHead(model)
        self.layers = [FastDecoderLayer(layer) for layer in model.layers().layers]
        self.keys_values = [layer.keys_values for layer in self.layers]

    def encode(self, given: Mapping[str, Tensor]) -> tuple[list[KeysValues], Int[np.ndarray, "batch src"]]:
        """What each decoder layer finds in the encoder's last states, and which of those are no padding."""
        with matmul_precision(self.model.precision):
            hidden, seen = self.encoder.encode(given)
            memory = self.memory(hidden)
            return [keys_values(memory) for keys_values in self.keys_values], seen

    def step(
        self,
        ids: Int[Tensor, "rows 1"],
        rooms: list[KeysValues],
        crosses: list[KeysValues],
        position: int,
        keep: Bool[Tensor, "sources 1 slots seen"],
        memory_keep: Bool[Tensor, "sources 1 1 src"],
    ) -> tuple[Float[Tensor, "sources slots vocab"], list[KeysValues]]:
        """The logits after one more token of every row, and every layer's room; those passed are given up for them."""
        sources, _, slots, _ = keep.shape
        after = []
        with matmul_precision(self.model.precision):
            hidden = self.embed(ids, position).reshape(sources, slots, -1)
            for layer, own, cross in zip(self.layers, rooms, crosses, strict=True):
                room, hidden = layer(own, hidden, cross, position * slots, keep, memory_keep)
                after.append(room)
            return self.head(hidden), after


class FastDecoder:
    """As ``CachedDecoder``, whose arguments it takes but for the model (``reference.generation.Decoder``).

    Raises:
        ValueError: there are fewer positions than ``capacity``.
    """

    def __init__(self, fast: FastModel, inputs: Mapping[str, np.ndarray], capacity: int) -> None:
        if capacity > fast.model.positions:
            raise ValueError(f"room for {capacity} tokens, but {fast.model.positions} positions")
        self.fast, self.capacity, self.like = fast, capacity, fast.model.like()
        with torch.no_grad():
            self.crosses, seen = fast.encode(as_inputs(fast.model, inputs))
        self.memory_keep = torch.as_tensor(seen != 0, device=self.like.device)[:, None, None, :]

    def start(self, rows_per_source: int) -> int:
        """Every source with so many rows, nothing fed; returns how many rows there are."""
        self.slots, self.position = rows_per_source, 0
        sources, heads, _, head_dim = self.crosses[0].key.shape
        shape = (sources, heads, self.capacity * self.slots, head_dim)
        self.rooms = [KeysValues(self.like.new_zeros(shape), self.like.new_zeros(shape)) for _ in self.crosses]
        self.keep = np.zeros((sources, self.slots, self.capacity, self.slots), dtype=bool)
        return sources * self.slots

    def logits(self, tokens: Int[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows vocab"]:
        """Feeds one token to every row; the logits of the next.

        Raises:
            ValueError: there is no room for another.
        """
        if self.position == self.capacity:
            raise ValueError(f"{self.position} tokens and 1 more, but room for {self.capacity}")
        each = np.arange(self.slots)
        self.keep[:, each, self.position, each] = True
        seen = self.keep[:, None, :, : self.position + 1].reshape(len(self.keep), 1, self.slots, -1)
        keep = torch.as_tensor(seen, device=self.like.device)
        fed = as_inputs(self.fast.model, {"tokens": tokens[:, None]})["tokens"]
        with torch.no_grad():
            logits, self.rooms = self.fast.step(fed, self.rooms, self.crosses, self.position, keep, self.memory_keep)
        self.position += 1
        return logits.double().cpu().numpy().reshape(len(tokens), -1)

    def reorder(self, rows: Int[np.ndarray, " rows"]) -> None:
        """Row i goes on from the past of row ``rows[i]``.

        Raises:
            ValueError: that is a row of another source.
        """
        sources = np.arange(len(self.keep))[:, None]
        parents = np.asarray(rows).reshape(len(sources), -1) - sources * self.slots
        if ((parents < 0) | (parents >= self.slots)).any():
            raise ValueError("a row cannot go on from the past of another source's")
        self.keep = self.keep[sources, parents]


def generate(
    fast: FastModel,
    inputs: Mapping[str, np.ndarray],
    settings: GenerationSettings,
    dialect: Dialect = DOCUMENTED,
    uniforms: Float64[np.ndarray, "steps rows"] | None = None,
) -> Generated:
    """As ``generation.generate``, but for the model."""
    capacity = settings.resolved(dialect).max_length
    batch = len(inputs[fast.model.main_input])
    return search(FastDecoder(fast, inputs, capacity), batch, settings, dialect, uniforms)
