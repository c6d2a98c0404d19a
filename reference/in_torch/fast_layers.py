# Twin: reference/in_flax/fast_layers.py
"""The layers and the head of the fast path (``fast``), each made from a plain one."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from reference.in_torch.attention import merge_heads, split_heads
from reference.in_torch.bart import BartForCausalLM, BartForConditionalGeneration
from reference.in_torch.bert import BertDecoder
from reference.in_torch.cache import KeysValues
from reference.in_torch.encoder_decoder import EncoderDecoderModel
from reference.in_torch.gpt2 import Gpt2Decoder
from reference.in_torch.layers import DecoderLayer, EncoderLayer
from reference.in_torch.packing import FastNorm, PackedLinear, packed
from reference.in_torch.seq2seq import Seq2Seq


class FastEncoderLayer(EncoderLayer):
    """Queries, keys and values are one product; attention's weights are not kept."""

    def __init__(self, layer: EncoderLayer) -> None:
        nn.Module.__init__(self)
        self.pre_norm, self.activation = layer.pre_norm, layer.activation
        self.heads, self.attend = layer.self_attn.heads, layer.self_attn.attend
        self.qkv_proj = packed(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
        self.out_proj = packed(layer.self_attn.out_proj)
        self.self_attn_layer_norm = FastNorm(layer.self_attn_layer_norm)
        self.fc1, self.fc2 = packed(layer.fc1), packed(layer.fc2)
        self.final_layer_norm = FastNorm(layer.final_layer_norm)

    def forward(
        self, hidden: Float[Tensor, "batch src d_model"], keep: Bool[Tensor, "batch 1 1 src"]
    ) -> Float[Tensor, "batch src d_model"]:
        """The layer's states."""
        given = self.before(self.self_attn_layer_norm, hidden)
        query, key, value = (split_heads(part, self.heads) for part in self.qkv_proj(given).chunk(3, -1))
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
        self.encoder_attn_layer_norm = FastNorm(layer.encoder_attn_layer_norm)

    def keys_values(self, memory: Float[Tensor, "sources src d_model"]) -> KeysValues:
        """What cross-attention finds, each head's vectors next to each other in memory."""
        return KeysValues(*(split_heads(p, self.heads).contiguous() for p in self.cross_kv_proj(memory).chunk(2, -1)))

    def forward(
        self,
        own: KeysValues,
        hidden: Float[Tensor, "sources slots d_model"],
        cross: KeysValues,
        start: int,
        keep: Bool[Tensor, "sources 1 slots seen"],
        memory_keep: Bool[Tensor, "sources 1 1 src"],
    ) -> tuple[KeysValues, Float[Tensor, "sources slots d_model"]]:
        """Its own room with one more token of every row in it, and the layer's states.

        Args:
            own: the room as the last step left it, given up for the one returned.
            start: the first slot of these tokens.
            keep: the slots in which each row's past lies, and its own.
        """
        given = self.before(self.self_attn_layer_norm, hidden)
        query, key, value = (split_heads(part, self.heads) for part in self.qkv_proj(given).chunk(3, -1))
        own = written_in_place(own, KeysValues(key, value), start)
        found, _ = self.attend(query, *own.cut(keep.shape[-1]), keep, None)
        hidden = self.after(self.self_attn_layer_norm, hidden + self.out_proj(merge_heads(found)))
        given = self.before(self.encoder_attn_layer_norm, hidden)
        query = split_heads(self.cross_q_proj(given), self.heads)
        found, _ = self.attend(query, *cross, memory_keep, None)
        hidden = self.after(self.encoder_attn_layer_norm, hidden + self.cross_out_proj(merge_heads(found)))
        return own, self.feed_forward(hidden)


def written_in_place(room: KeysValues, new: KeysValues, start: int) -> KeysValues:
    """The room itself, with ``new`` at the slots from ``start`` on."""
    for held, array in zip(room, new, strict=True):
        held[:, :, start : start + array.shape[2]] = array
    return room


class FastHead(nn.Module):
    """From the last layer's states to logits, as a family has it.

    Raises:
        TypeError: the model's class is none whose head is known here.
    """

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        norm, decoder = model.layers().layer_norm, model.decoder if isinstance(model, EncoderDecoderModel) else model
        self.stack_norm = None if norm is None else FastNorm(norm)
        dense, bias = None, None
        if isinstance(decoder, BartForConditionalGeneration):
            own, words = getattr(decoder, "lm_head", None), decoder.model.shared
            bias = decoder.final_logits_bias[0]
        elif isinstance(decoder, BartForCausalLM | Gpt2Decoder):
            own, words = decoder.output, decoder.words
        elif isinstance(decoder, BertDecoder):
            own, words, bias = decoder.head.output, decoder.embeddings.words, decoder.head.bias.detach()
            dense = decoder.head.dense
        else:
            raise TypeError(f"no fast path for {type(decoder).__name__}: its head is not known")
        self.dense = None if dense is None else packed(dense)
        if dense is not None:
            self.activation, self.dense_norm = decoder.head.activation, FastNorm(decoder.head.norm)
        self.vocabulary = PackedLinear((words if own is None else own).weight.detach(), bias)

    def forward(self, hidden: Float[Tensor, "sources slots d_model"]) -> Float[Tensor, "sources slots vocab"]:
        """One logit per token of the vocabulary."""
        if self.stack_norm is not None:
            hidden = self.stack_norm(hidden)
        if self.dense is not None:
            hidden = self.dense_norm(self.activation(self.dense(hidden)))
        return self.vocabulary(hidden)
