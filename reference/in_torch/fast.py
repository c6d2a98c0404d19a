# Twin: reference/in_flax/fast.py
"""The same decoder, fast: for generating text, never for truth. The plain path does not come here.

It computes what ``TextDecoder.step`` computes, up to rounding. What is different:

- A step reads every weight once for a few rows, so the layout of the weights decides how long it takes. They are packed
  for that once, with queries, keys and values as one product.
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
from torch import Tensor, nn
from torch.nn import functional

from reference.generation import DOCUMENTED, Dialect, Generated, GenerationSettings
from reference.generation import generate as search
from reference.in_torch.attention import merge_heads, split_heads
from reference.in_torch.bart import BartForCausalLM, BartForConditionalGeneration
from reference.in_torch.bert import BertDecoder
from reference.in_torch.cache import KeysValues, LayerCache
from reference.in_torch.encoder_decoder import EncoderDecoderModel
from reference.in_torch.gpt2 import Gpt2Decoder
from reference.in_torch.layers import DecoderLayer
from reference.in_torch.loading import as_inputs
from reference.in_torch.normalisation import LayerNorm
from reference.in_torch.precision import matmul_precision
from reference.in_torch.seq2seq import Seq2Seq


class PackedLinear(nn.Module):
    """Linear maps of the same vector as one, the weight in the layout that reads fastest for few rows.

    On a CPU that is oneDNN's own, where it has one for the dtype. Bart-base's head, [4, 768] times [768, 50265] in
    float32 on one core with torch 2.13.0, takes 7.4 ms so and 24 ms in torch's layout.
    """

    def __init__(self, weight: Float[Tensor, "out in"], bias: Float[Tensor, " out"] | None) -> None:
        super().__init__()
        self.bias = bias
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight) if has_layout(weight) else weight

    def forward(self, hidden: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """The map of every row."""
        if self.weight.is_mkldnn:
            return torch.ops.mkldnn._linear_pointwise(hidden, self.weight, self.bias, "none", [], "")
        return functional.linear(hidden, self.weight, self.bias)


def has_layout(weight: Tensor) -> bool:
    """Whether oneDNN is asked for its layout; the two operators are those that torch's own compiler writes."""
    known = hasattr(torch.ops.mkldnn, "_reorder_linear_weight") and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return known and torch.backends.mkldnn.is_available() and weight.is_cpu and weight.dtype == torch.float32


def packed(*linears: nn.Linear) -> PackedLinear:
    """Maps of the same vector, what they give side by side."""
    weight = torch.cat([linear.weight.detach() for linear in linears])
    return PackedLinear(weight, torch.cat([linear.bias.detach() for linear in linears]))


class FastNorm(nn.Module):
    """``LayerNorm`` in one kernel, which computes in at least float32 as well."""

    def __init__(self, norm: LayerNorm) -> None:
        super().__init__()
        self.epsilon = norm.epsilon
        self.weight, self.bias = norm.weight.detach(), norm.bias.detach()

    def forward(self, hidden: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """The normalised vectors."""
        return functional.layer_norm(hidden, hidden.shape[-1:], self.weight, self.bias, self.epsilon)


class FastLayer(DecoderLayer):
    """A decoder layer from a plain one."""

    def __init__(self, layer: DecoderLayer) -> None:
        nn.Module.__init__(self)
        self.pre_norm, self.activation = layer.pre_norm, layer.activation
        self.heads, self.attend = layer.self_attn.heads, layer.self_attn.attend
        self.qkv_proj = packed(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
        self.out_proj = packed(layer.self_attn.out_proj)
        self.self_attn_layer_norm = FastNorm(layer.self_attn_layer_norm)
        self.cross_q_proj = packed(layer.encoder_attn.q_proj)
        self.cross_out_proj = packed(layer.encoder_attn.out_proj)
        self.encoder_attn_layer_norm = FastNorm(layer.encoder_attn_layer_norm)
        self.fc1, self.fc2 = packed(layer.fc1), packed(layer.fc2)
        self.final_layer_norm = FastNorm(layer.final_layer_norm)

    def forward(
        self,
        hidden: Float[Tensor, "sources slots d_model"],
        past: LayerCache,
        start: int,
        keep: Bool[Tensor, "sources 1 slots seen"],
        memory_keep: Bool[Tensor, "sources 1 1 src"],
    ) -> tuple[Float[Tensor, "sources slots d_model"], KeysValues]:
        """The layer's states for one more token of every row, and its own room with that in it.

        Args:
            start: the first slot of these tokens.
            keep: the slots in which each row's past lies, and its own.
        """
        given = self.before(self.self_attn_layer_norm, hidden)
        query, key, value = (split_heads(part, self.heads) for part in self.qkv_proj(given).chunk(3, -1))
        own = written_in_place(past.own, KeysValues(key, value), start)
        found, _ = self.attend(query, *own.cut(keep.shape[-1]), keep, None)
        hidden = self.after(self.self_attn_layer_norm, hidden + self.out_proj(merge_heads(found)))
        given = self.before(self.encoder_attn_layer_norm, hidden)
        query = split_heads(self.cross_q_proj(given), self.heads)
        found, _ = self.attend(query, *past.cross, memory_keep, None)
        hidden = self.after(self.encoder_attn_layer_norm, hidden + self.cross_out_proj(merge_heads(found)))
        return self.feed_forward(hidden), own


def written_in_place(room: KeysValues, new: KeysValues, start: int) -> KeysValues:
    """The room itself, with ``new`` at the slots from ``start`` on."""
    for held, array in zip(room, new, strict=True):
        held[:, :, start : start + array.shape[2]] = array
    return room


def side_by_side(known: KeysValues) -> KeysValues:
    """The same with each head's vectors next to each other in memory: products read them as they lie."""
    return KeysValues(known.key.contiguous(), known.value.contiguous())


class FastHead(nn.Module):
    """From the last layer's states to logits, as a family has it.

    Raises:
        TypeError: the model's class is none whose head is known here.
    """

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        norm, decoder = model.layers().layer_norm, model
        if isinstance(model, EncoderDecoderModel):
            decoder = model.decoder
        self.stack_norm = None if norm is None else FastNorm(norm)
        self.dense, bias = None, None
        if isinstance(decoder, BartForConditionalGeneration):
            own, words, bias = getattr(decoder, "lm_head", None), decoder.model.shared, decoder.final_logits_bias[0]
        elif isinstance(decoder, BartForCausalLM | Gpt2Decoder):
            own, words = decoder.output, decoder.words
        elif isinstance(decoder, BertDecoder):
            own, words, bias = decoder.head.output, decoder.embeddings.words, decoder.head.bias.detach()
            if decoder.head.dense is not None:
                self.dense, self.activation = packed(decoder.head.dense), decoder.head.activation
                self.dense_norm = FastNorm(decoder.head.norm)
        else:
            raise TypeError(f"no fast path for {type(decoder).__name__}: its head is not known")
        self.vocabulary = PackedLinear((words if own is None else own).weight.detach(), bias)

    def forward(self, hidden: Float[Tensor, "sources slots d_model"]) -> Float[Tensor, "sources slots vocab"]:
        """One logit per token of the vocabulary."""
        if self.stack_norm is not None:
            hidden = self.stack_norm(hidden)
        if self.dense is not None:
            hidden = self.dense_norm(self.activation(self.dense(hidden)))
        return self.vocabulary(hidden)


class FastModel:
    """A model with its decoder's weights packed, for any number of texts; it holds them a second time."""

    def __init__(self, model: Seq2Seq) -> None:
        self.model = model
        self.head = FastHead(model)
        self.layers = [FastLayer(layer) for layer in model.layers().layers]

    def step(
        self,
        ids: Int[Tensor, "sources slots"],
        layers: list[LayerCache],
        position: int,
        keep: Bool[Tensor, "sources 1 slots seen"],
        memory_keep: Bool[Tensor, "sources 1 1 src"],
    ) -> tuple[Float[Tensor, "sources slots vocab"], list[LayerCache]]:
        """The logits after one more token of every row; the rooms of ``layers`` are given up for those returned."""
        sources, slots = ids.shape
        with matmul_precision(self.model.precision):
            hidden = self.model.embed(ids.reshape(-1, 1), position).reshape(sources, slots, -1)
            kept = []
            for layer, past in zip(self.layers, layers, strict=True):
                hidden, own = layer(hidden, past, position * slots, keep, memory_keep)
                kept.append(LayerCache(own, past.cross))
            return self.head(hidden), kept


class FastDecoder:
    """As ``CachedDecoder``, of which it takes the arguments, but for the model (``reference.generation.Decoder``)."""

    def __init__(self, fast: FastModel, inputs: Mapping[str, np.ndarray], capacity: int) -> None:
        self.fast, self.capacity = fast, capacity
        given = as_inputs(fast.model, inputs)
        mask = given.get("attention_mask")
        with torch.no_grad():
            memory = fast.model.encode(given[fast.model.main_input], mask).last_hidden_state
            self.memory_keep = (fast.model.source_mask(mask, memory) != 0)[:, None, None, :]
            layers = fast.model.start_cache(memory, capacity).layers
            self.empty = [LayerCache(layer.own, side_by_side(layer.cross)) for layer in layers]

    def start(self, rows_per_source: int) -> int:
        """Every source with so many rows, nothing fed; returns how many rows there are."""
        self.slots, self.position, sources = rows_per_source, 0, len(self.memory_keep)
        rooms = [[part.repeat(1, 1, self.slots, 1) for part in layer.own] for layer in self.empty]
        self.layers = [
            LayerCache(KeysValues(*room), layer.cross) for room, layer in zip(rooms, self.empty, strict=True)
        ]
        self.keep = np.zeros((sources, self.slots, self.capacity, self.slots), dtype=bool)
        return sources * self.slots

    def logits(self, tokens: Int[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows vocab"]:
        """Feeds one token to every row; the logits of the next."""
        sources, each = len(self.keep), np.arange(self.slots)
        self.keep[:, each, self.position, each] = True
        keep = self.keep[:, None, :, : self.position + 1].reshape(sources, 1, self.slots, -1)
        given = as_inputs(self.fast.model, {"ids": tokens.reshape(sources, -1), "keep": keep})
        with torch.no_grad():
            logits, self.layers = self.fast.step(
                given["ids"], self.layers, self.position, given["keep"] != 0, self.memory_keep
            )
        self.position += 1
        return logits.reshape(len(tokens), -1).double().cpu().numpy()

    def reorder(self, rows: Int[np.ndarray, " rows"]) -> None:
        """Row i goes on from the past of row ``rows[i]``.

        Raises:
            ValueError: a row is to go on from that of another source.
        """
        sources = np.arange(len(self.keep))[:, None]
        parents = rows.reshape(len(sources), -1) - sources * self.slots
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
    main = inputs[fast.model.main_input]
    return search(FastDecoder(fast, inputs, capacity), len(main), settings, dialect, uniforms)
