"""The one table of canonical tensor names, in data-flow order.

The order localises a fault: the first tensor outside its tolerance, whose inputs may still be within theirs. Parameters
are named as in PyTorch's state dict of ``BartForConditionalGeneration`` (``reference.names``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from parity.core.model_spec import NON_DIFFERENTIABLE, ModelSpec
from reference.names import Row


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a trace: its name, the names of its axes, and its position in the data flow."""

    name: str
    kind: str
    axes: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    """The tensors it is computed from, which distinguish an error made here from one that was propagated."""
    scale_from: str | None = None
    """The tensor whose scale and noise floor apply to this one: set where theory says it is zero, or where it has too
    few elements to estimate an error scale."""


def forward_tensors(model_spec: ModelSpec) -> list[TensorSpec]:
    """Tensors of a forward pass in data-flow order; ``loss`` where there are labels."""
    order = [] if model_spec.decoder_only else _encoder_tensors(model_spec)
    order += _decoder_tensors(model_spec)
    order += _head_tensors(model_spec, order[-1].name)
    return order


def _encoder_tensors(model_spec: ModelSpec) -> list[TensorSpec]:
    """Hidden states, attentions, and the encoder's output; for audio with as many frames as the convolutions
    produce."""
    length = "src" if model_spec.speech is None else "frames"
    order = [TensorSpec("encoder.hidden.0", "hidden", ("batch", length, "width"))]
    for layer in range(model_spec.encoder.layers):
        before = order[-1].name
        axes = ("batch", "heads", length, length)
        order.append(TensorSpec(f"encoder.attention.{layer}", "attention", axes, (before,)))
        after = (before, order[-1].name)
        order.append(TensorSpec(f"encoder.hidden.{layer + 1}", "hidden", ("batch", length, "width"), after))
    return [*order, TensorSpec("encoder.last", "hidden", ("batch", "src", "memory"), (order[-1].name,))]


def _decoder_tensors(model_spec: ModelSpec) -> list[TensorSpec]:
    order = [TensorSpec("decoder.hidden.0", "hidden", ("batch", "tgt", "d_model"))]
    for layer in range(model_spec.decoder.layers):
        before = order[-1].name
        own = TensorSpec(f"decoder.attention.{layer}", "attention", ("batch", "heads", "tgt", "tgt"), (before,))
        inputs = (before, own.name, "encoder.last")
        axes = ("batch", "heads", "tgt", "src")
        cross = TensorSpec(f"decoder.cross_attention.{layer}", "cross-attention", axes, inputs)
        order += [own, cross]
        after = (*inputs, cross.name)
        order.append(TensorSpec(f"decoder.hidden.{layer + 1}", "hidden", ("batch", "tgt", "d_model"), after))
    return order


def _head_tensors(model_spec: ModelSpec, last: str) -> list[TensorSpec]:
    """The output of the class's head."""
    if model_spec.head == "none":
        return [TensorSpec("decoder.last", "hidden", ("batch", "tgt", "d_model"), (last,))]
    if model_spec.head == "span":
        found = [TensorSpec(f"{end}_logits", "logits", ("batch", "tgt"), (last,)) for end in ("start", "end")]
    else:
        axes = ("batch", "labels") if model_spec.head == "labels" else ("batch", "tgt", "vocab")
        found = [TensorSpec("logits", "logits", axes, (last,))]
    lender = found[0].name
    return [*found, TensorSpec("loss", "loss", (), tuple(spec.name for spec in found), scale_from=lender)]


def decode_tensors(model_spec: ModelSpec) -> list[TensorSpec]:
    """Tensors of stepwise decoding: the decoder's own, and its cache after the last step.

    Keys and values precede the attention computed from them; those of the source come from the encoder, which is not
    included.
    """
    order = []
    for spec in forward_tensors(model_spec):
        if not spec.name.startswith(("decoder.", "logits")):
            continue
        own = tuple(name for name in spec.inputs if name != "encoder.last")
        part, kind = spec.name.rpartition(".")[2], spec.kind
        if kind in ("attention", "cross-attention"):
            prefix, length = ("self", "tgt") if kind == "attention" else ("cross", "src")
            made_of = own if kind == "attention" else ()
            duplicates = [
                TensorSpec(f"decoder.{prefix}_{name}.{part}", "cache", ("batch", "heads", length, "head_dim"), made_of)
                for name in ("key", "value")
            ]
            order += duplicates
            own += tuple(each.name for each in duplicates)
        order.append(replace(spec, inputs=own))
    return order


def score_tensors() -> list[TensorSpec]:
    """Scores of a given text: each token's log-probability, and the whole text's score.

    Two-token texts give too few samples of the error, so scores of sampled vocabulary entries at the same positions set
    the scale.
    """
    sampled = TensorSpec("sampled_scores", "score", ("batch", "tgt", "sample"))
    tokens = TensorSpec("token_scores", "score", ("batch", "tgt"), scale_from=sampled.name)
    return [tokens, sampled, TensorSpec("sequences_scores", "score", ("batch",), (tokens.name,), sampled.name)]


def gradient_tensors(model_spec: ModelSpec, parameters: Collection[str]) -> list[TensorSpec]:
    """Gradients of the loss by parameter, in backward order; only those that are defined.

    An activation with a kink has no derivative there. Of two conforming backends one may compute its input a rounding
    error above zero, the other below, and every gradient further back differs by that unit's contribution. With such an
    activation only the gradients that the backward pass reaches before the first of them are compared.

    Args:
        parameters: canonical names of the trainable parameters.
    """
    logits = tuple(spec.name for spec in forward_tensors(model_spec) if spec.kind == "logits")
    specs: list[TensorSpec] = []
    for row in backward(model_spec):
        if row.name in parameters and f"gradient.{row.name}" not in {spec.name for spec in specs}:
            inputs = (specs[-1].name,) if specs else logits
            axes = ("rows",) if len(row.parameter.shape) == 1 else ("rows", "columns")
            lender = f"gradient.{row.name.replace('.bias', '.weight')}" if _is_zero(row, model_spec) else None
            specs.append(TensorSpec(f"gradient.{row.name}", "gradient", axes, inputs, lender))
    return specs


def backward(model_spec: ModelSpec) -> Iterator[Row]:
    """Rows of the table in backward order, up to the first activation with a kink if there is one."""
    for row in reversed(model_spec.table.rows):
        encoder = ".encoder." in f".{row.ours}"
        stack = model_spec.encoder if encoder else model_spec.decoder
        behind = f"layers.{stack.layers - 1}.fc1" in row.ours or "head.dense" in row.ours
        if behind and stack.activation in NON_DIFFERENTIABLE:
            return
        yield row


def _is_zero(row: Row, model_spec: ModelSpec) -> bool:
    """Whether the gradient of a bias is zero in theory, so that it consists of rounding errors at its weight's scale.

    Softmax is invariant to a constant added to all its inputs: a key bias adds the same to every key's score, and a
    bias of the last states the same to every position's span score. A normalisation over time removes an offset common
    to all times.
    """
    if not row.name.endswith(".bias"):
        return False
    if model_spec.head == "span":
        last = f"layers.{model_spec.decoder.layers - 1}.final_layer_norm.bias"
        if row.name.endswith(("qa_outputs.bias", last)):
            return True
    over_time = model_spec.speech is not None and model_spec.speech.feat_extract_norm == "group"
    if over_time and row.ours.endswith("features.0.conv.bias"):
        return True
    return row.ours.endswith("k_proj.bias") and row.part is None
