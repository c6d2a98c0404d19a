"""The one table of canonical tensor names, in data-flow order.

The order localises a fault: the first tensor outside its budget, and whether its inputs were still inside theirs.
Parameters are called as in PyTorch's state dict of ``BartForConditionalGeneration`` (``reference.names``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a trace: its name, the words for its axes, and where it stands in the data flow."""

    name: str
    kind: str
    axes: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    """The tensors it is computed from, so that a fault made here is told from one that arrived."""
    scale_from: str | None = None
    """The tensor whose size its error is measured by: set where theory says it is zero."""


def forward_tensors(config: dict[str, Any]) -> list[TensorSpec]:
    """Tensors of a forward pass of a BART with a language-model head, first computed first."""
    order = [TensorSpec("encoder.hidden.0", "hidden", ("batch", "src", "d_model"))]
    for layer in range(config["encoder_layers"]):
        before = f"encoder.hidden.{layer}"
        weights = TensorSpec(f"encoder.attention.{layer}", "attention", ("batch", "heads", "src", "src"), (before,))
        after = TensorSpec(f"encoder.hidden.{layer + 1}", "hidden", ("batch", "src", "d_model"), (before, weights.name))
        order += [weights, after]
    memory = order[-1].name
    order.append(TensorSpec("encoder.last", "hidden", ("batch", "src", "d_model"), (memory,)))
    order.append(TensorSpec("decoder.hidden.0", "hidden", ("batch", "tgt", "d_model")))
    for layer in range(config["decoder_layers"]):
        before = f"decoder.hidden.{layer}"
        own = TensorSpec(f"decoder.attention.{layer}", "attention", ("batch", "heads", "tgt", "tgt"), (before,))
        cross_inputs = (before, own.name, "encoder.last")
        cross = TensorSpec(
            f"decoder.cross_attention.{layer}", "cross-attention", ("batch", "heads", "tgt", "src"), cross_inputs
        )
        hidden_inputs = (*cross_inputs, cross.name)
        order += [own, cross]
        order.append(TensorSpec(f"decoder.hidden.{layer + 1}", "hidden", ("batch", "tgt", "d_model"), hidden_inputs))
    last = order[-1].name
    order.append(TensorSpec("logits", "logits", ("batch", "tgt", "vocab"), (last,)))
    order.append(TensorSpec("loss", "loss", (), ("logits",), scale_from="logits"))
    return order


def decode_tensors(config: dict[str, Any]) -> list[TensorSpec]:
    """Tensors of decoding in steps: the decoder's own, and what its cache holds after the last step.

    Keys and values come before the attention they make; those of the source come from the encoder, which is no part
    of this.
    """
    order = []
    for spec in forward_tensors(config):
        if not spec.name.startswith(("decoder.", "logits")):
            continue
        own = tuple(name for name in spec.inputs if name != "encoder.last")
        part, kind = spec.name.rpartition(".")[2], spec.kind
        if kind in ("attention", "cross-attention"):
            prefix, length = ("self", "tgt") if kind == "attention" else ("cross", "src")
            made_of = own if kind == "attention" else ()
            kept = [
                TensorSpec(f"decoder.{prefix}_{name}.{part}", "cache", ("batch", "heads", length, "head_dim"), made_of)
                for name in ("key", "value")
            ]
            order += kept
            own += tuple(each.name for each in kept)
        order.append(replace(spec, inputs=own))
    return order


def score_tensors() -> list[TensorSpec]:
    """What a given text is worth: each token's log-probability, and the whole text's score."""
    tokens = TensorSpec("token_scores", "score", ("batch", "tgt"))
    return [tokens, TensorSpec("sequences_scores", "score", ("batch",), (tokens.name,))]


def gradient_tensors(config: dict[str, Any], parameters: list[str]) -> list[TensorSpec]:
    """Gradients of the loss by parameter, in the order the backward pass reaches them; those that are defined.

    An activation with a kink has no derivative there: of two honest backends one may find an input of it a rounding
    error above zero, the other below, and every gradient behind it jumps by what that unit contributes. With such an
    activation only what the backward pass reaches before the first of them is there to compare.

    Args:
        parameters: canonical names of the trainable parameters.
    """
    specs = []
    smooth = [name for name in parameters if not _behind_a_kink(name, config)]
    for name in sorted(smooth, key=lambda parameter: _backward_order(parameter, config)):
        # softmax is unchanged by one number added to all keys' scores, so a key bias has no gradient.
        scale_from = f"gradient.{name.replace('.bias', '.weight')}" if name.endswith("k_proj.bias") else None
        inputs = (specs[-1].name,) if specs else ("logits",)
        axes = ("rows",) if name.endswith("bias") or "norm" in name else ("rows", "columns")
        specs.append(TensorSpec(f"gradient.{name}", "gradient", axes, inputs, scale_from))
    return specs


KINKED = ("relu",)
"""Documented activations that have no derivative somewhere."""


def _behind_a_kink(parameter: str, config: dict[str, Any]) -> bool:
    """Whether the gradient goes through the derivative of an activation that jumps."""
    last = f"model.decoder.layers.{config['decoder_layers'] - 1}"
    reached_before = ("lm_head", f"{last}.final_layer_norm", f"{last}.fc2")
    return config["activation_function"] in KINKED and not parameter.startswith(reached_before)


_WITHIN_LAYER = (
    "final_layer_norm", "fc2", "fc1", "encoder_attn_layer_norm", "encoder_attn.out_proj", "encoder_attn.v_proj",
    "encoder_attn.q_proj", "encoder_attn.k_proj", "self_attn_layer_norm", "self_attn.out_proj", "self_attn.v_proj",
    "self_attn.q_proj", "self_attn.k_proj",
)  # fmt: skip


def _backward_order(parameter: str, config: dict[str, Any]) -> tuple[int, ...]:
    """Sort key: head, decoder layers from last to first, decoder embeddings, encoder likewise, shared table."""
    if parameter.startswith(("lm_head", "final_logits_bias")):
        return (0,)
    if parameter.startswith("model.shared"):
        return (9,)
    stack = 1 if parameter.startswith("model.decoder") else 3
    parts = parameter.split(".")
    if "layers" in parts:
        place = ".".join(parts[parts.index("layers") + 2 : -1])
        return (stack, -int(parts[parts.index("layers") + 1]), _WITHIN_LAYER.index(place), parts[-1] == "weight")
    return (stack + 1, "layernorm" not in parameter, parts[-1] == "weight")
