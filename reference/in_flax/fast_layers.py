# Twin: reference/in_torch/fast_layers.py
"""The layers and the head of the fast path (``fast``), each made from a plain one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Bool, Float, Int

from reference.in_flax.attention import merge_heads, split_heads
from reference.in_flax.bart import BartForCausalLM, BartForConditionalGeneration
from reference.in_flax.bert import BertDecoder
from reference.in_flax.cache import KeysValues
from reference.in_flax.encoder_decoder import EncoderDecoderModel
from reference.in_flax.gpt2 import Gpt2Decoder
from reference.in_flax.layers import DecoderLayer, EncoderLayer
from reference.in_flax.packing import PackedLinear, packed
from reference.in_flax.seq2seq import Seq2Seq


class FastEncoderLayer(EncoderLayer):
    """Queries, keys and values are one product; attention's weights are not kept."""

    def __init__(self, layer: EncoderLayer) -> None:
        self.pre_norm, self.activation = layer.pre_norm, layer.activation
        self.heads, self.attend = layer.self_attn.heads, layer.self_attn.attend
        self.qkv_proj = packed(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
        self.out_proj = packed(layer.self_attn.out_proj)
        self.self_attn_layer_norm = layer.self_attn_layer_norm
        self.fc1, self.fc2 = packed(layer.fc1), packed(layer.fc2)
        self.final_layer_norm = layer.final_layer_norm

    def __call__(
        self, hidden: Float[Array, "batch src d_model"], keep: Bool[Array, "batch 1 1 src"]
    ) -> Float[Array, "batch src d_model"]:
        """The layer's states."""
        given = self.before(self.self_attn_layer_norm, hidden)
        query, key, value = (split_heads(part, self.heads) for part in jnp.split(self.qkv_proj(given), 3, -1))
        found, _ = self.attend(query, key, value, keep, None)
        hidden = self.after(self.self_attn_layer_norm, hidden + self.out_proj(merge_heads(found)))
        return self.feed_forward(hidden)


class FastDecoderLayer(FastEncoderLayer):
    """One token of every row at a time; the rows of a source are to attention what positions are elsewhere."""

    def __init__(self, layer: DecoderLayer) -> None:
        super().__init__(layer)
        self.cross_q_proj = packed(layer.encoder_attn.q_proj)
        self.cross_kv_proj = packed(layer.encoder_attn.k_proj, layer.encoder_attn.v_proj)
        self.cross_out_proj = packed(layer.encoder_attn.out_proj)
        self.encoder_attn_layer_norm = layer.encoder_attn_layer_norm

    def keys_values(self, memory: Float[Array, "sources src d_model"]) -> KeysValues:
        """What cross-attention finds."""
        return KeysValues(*(split_heads(p, self.heads) for p in jnp.split(self.cross_kv_proj(memory), 2, -1)))

    def __call__(
        self,
        own: KeysValues,
        hidden: Float[Array, "sources slots d_model"],
        cross: KeysValues,
        start: int | Int[Array, ""],
        keep: Bool[Array, "sources 1 slots seen"],
        memory_keep: Bool[Array, "sources 1 1 src"],
    ) -> tuple[KeysValues, Float[Array, "sources slots d_model"]]:
        """Its own room with one more token of every row in it, and the layer's states.

        Args:
            own: the room as the last step left it, given up for the one returned.
            start: the first slot of these tokens.
            keep: the slots in which each row's past lies, and its own.
        """
        given = self.before(self.self_attn_layer_norm, hidden)
        query, key, value = (split_heads(part, self.heads) for part in jnp.split(self.qkv_proj(given), 3, -1))
        own = written_in_place(own, KeysValues(key, value), start)
        found, _ = self.attend(query, *own.cut(keep.shape[-1]), keep, None)
        hidden = self.after(self.self_attn_layer_norm, hidden + self.out_proj(merge_heads(found)))
        given = self.before(self.encoder_attn_layer_norm, hidden)
        query = split_heads(self.cross_q_proj(given), self.heads)
        found, _ = self.attend(query, *cross, memory_keep, None)
        hidden = self.after(self.encoder_attn_layer_norm, hidden + self.cross_out_proj(merge_heads(found)))
        return own, self.feed_forward(hidden)


def written_in_place(room: KeysValues, new: KeysValues, start: int | Int[Array, ""]) -> KeysValues:
    """The room with ``new`` at the slots from ``start`` on; in place, where the room is given up."""
    written = jax.lax.dynamic_update_slice_in_dim
    return KeysValues(*(written(held, array, start, 2) for held, array in zip(room, new, strict=True)))


class FastHead(nnx.Module):
    """From the last layer's states to logits, as a family has it.

    Raises:
        TypeError: the model's class is none whose head is known here.
    """

    def __init__(self, model: Seq2Seq) -> None:
        norm, decoder = model.layers().layer_norm, model.decoder if isinstance(model, EncoderDecoderModel) else model
        self.stack_norm = norm
        dense, bias = None, None
        if isinstance(decoder, BartForConditionalGeneration):
            own, words = getattr(decoder, "lm_head", None), decoder.model.shared
            bias = decoder.final_logits_bias[...][0]
        elif isinstance(decoder, BartForCausalLM | Gpt2Decoder):
            own, words = decoder.output, decoder.words
        elif isinstance(decoder, BertDecoder):
            own, words, bias = decoder.head.output, decoder.embeddings.words, decoder.head.bias[...]
            dense = decoder.head.dense
        else:
            raise TypeError(f"no fast path for {type(decoder).__name__}: its head is not known")
        self.dense = None if dense is None else packed(dense)
        if dense is not None:
            self.activation, self.dense_norm = decoder.head.activation, decoder.head.norm
        self.vocabulary = PackedLinear(words.embedding[...].T if own is None else own.kernel[...], bias)

    def __call__(self, hidden: Float[Array, "sources slots d_model"]) -> Float[Array, "sources slots vocab"]:
        """One logit per token of the vocabulary."""
        if self.stack_norm is not None:
            hidden = self.stack_norm(hidden)
        if self.dense is not None:
            hidden = self.dense_norm(self.activation(self.dense(hidden)))
        return self.vocabulary(hidden)
