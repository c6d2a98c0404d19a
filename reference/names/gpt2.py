"""Parameter names of GPT-2: linear weights are [in, out]; query, key and value projections are one array
(transformers 4.57.6, models/gpt2/modeling_gpt2.py, ``Conv1D``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reference.config import Gpt2Config
from reference.names.table import Parameter, Row, Table, matrix, norm

_IGNORED = ("*.attn.bias", "*.attn.masked_bias", "*.crossattention.bias", "*.crossattention.masked_bias")
"""Causal masks that older versions saved as buffers."""


def decoder_table(config: Gpt2Config, cross: bool) -> Table:
    """The model with the language-model head; ``cross``: with cross-attention."""
    width, name = config.n_embd, "transformer"
    rows = [
        *matrix("words", f"{name}.wte", (config.vocab_size, width), ("vocab", "d_model")),
        *matrix("positions_table", f"{name}.wpe", (config.n_positions, width), ("position", "d_model")),
    ]
    for index in range(config.n_layer):
        rows += _layer(config, f"stack.layers.{index}", f"{name}.h.{index}", cross)
    rows += norm("stack.layer_norm", f"{name}.ln_f", width)
    tied = {"lm_head.weight": f"{name}.wte.weight"} if config.tie_word_embeddings else {}
    if not tied:
        rows += matrix("output", "lm_head", (config.vocab_size, width), ("vocab", "d_model"))
    return Table(tuple(rows), tied, f"{name}.", _IGNORED)


def _layer(config: Gpt2Config, ours: str, name: str, cross: bool) -> Iterator[Row]:
    width, ffn = config.n_embd, config.stack().ffn
    yield from norm(f"{ours}.self_attn_layer_norm", f"{name}.ln_1", width)
    yield from _fused([f"{ours}.self_attn.{p}_proj" for p in "qkv"], f"{name}.attn.c_attn", width, width)
    yield from _fused([f"{ours}.self_attn.out_proj"], f"{name}.attn.c_proj", width, width)
    if cross:
        yield from norm(f"{ours}.encoder_attn_layer_norm", f"{name}.ln_cross_attn", width)
        yield from _fused([f"{ours}.encoder_attn.q_proj"], f"{name}.crossattention.q_attn", width, width)
        both = [f"{ours}.encoder_attn.{p}_proj" for p in "kv"]
        yield from _fused(both, f"{name}.crossattention.c_attn", width, width)
        yield from _fused([f"{ours}.encoder_attn.out_proj"], f"{name}.crossattention.c_proj", width, width)
    yield from norm(f"{ours}.final_layer_norm", f"{name}.ln_2", width)
    yield from _fused([f"{ours}.fc1"], f"{name}.mlp.c_fc", width, ffn)
    yield from _fused([f"{ours}.fc2"], f"{name}.mlp.c_proj", ffn, width)


def _fused(ours: Sequence[str], name: str, given: int, made: int) -> Iterator[Row]:
    """A fused weight ``[in, parts · out]`` and bias ``[parts · out]``, with one part for each name in ``ours``."""
    parts = len(ours)
    weight, bias = Parameter((given, parts * made), ("in", "out")), Parameter((parts * made,), ("out",))
    for index, prefix in enumerate(ours):
        part = (index, parts) if parts > 1 else None
        yield Row(f"{prefix}.weight", f"{name}.weight", weight, True, part)
        yield Row(f"{prefix}.bias", f"{name}.bias", bias, False, part)
