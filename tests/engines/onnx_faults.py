"""Faults of a conversion, made by editing an exported graph (``parity.backends.engines.onnx_runtime.export``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Edit = Callable[["Graph"], None]
LAYER = "/model/model/{}/layers.{}/{}/MatMul_output_0"


class Graph:
    """An ONNX file in memory."""

    def __init__(self, path: Path) -> None:
        import onnx

        self.onnx, self.model, self.path = onnx, onnx.load(path), path
        self.graph = self.model.graph
        self.constants = {each.name: each for each in self.graph.initializer}

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        self.onnx.save(self.model, folder / "model.onnx")
        return folder

    def producer(self, output: str) -> Any:
        return next(node for node in self.graph.node if output in node.output)

    def weight(self, half: str, layer: int, module: str) -> str:
        """The name of a linear layer's weight, which is stored transposed under a name of the exporter's."""
        return self.producer(LAYER.format(half, layer, module)).input[1]

    def read(self, name: str) -> np.ndarray:
        return self.onnx.numpy_helper.to_array(self.constants[name])

    def set(self, name: str, array: np.ndarray) -> None:
        made = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.constants[name].CopyFrom(made)

    def change(self, name: str, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self.set(name, function(self.read(name).copy()))

    def rename_uses(self, names: dict[str, str]) -> None:
        """Replaces inputs of nodes."""
        for node in self.graph.node:
            for index, name in enumerate(node.input):
                node.input[index] = names.get(name, name)

    def before(self, name: str, make: Callable[[str], list[tuple[str, list[str], str, dict]]]) -> None:
        """Inserts nodes in front of the uses of a graph input; the last one's output replaces it."""
        nodes = make(name)
        self.rename_uses({name: nodes[-1][2]})
        for index, (kind, inputs, output, attributes) in enumerate(nodes):
            self.graph.node.insert(index, self.onnx.helper.make_node(kind, inputs, [output], **attributes))

    def constant(self, name: str, array: np.ndarray) -> str:
        self.graph.initializer.append(self.onnx.numpy_helper.from_array(array, name))
        return name


def one_row(graph: Graph) -> None:
    def more(weight: np.ndarray) -> np.ndarray:
        weight[:, 1] *= 1.01  # a row of the PyTorch weight
        return weight

    graph.change(graph.weight("encoder", 1, "fc2"), more)


def tanh_gelu(graph: Graph) -> None:
    """The tanh form in the decoder's first layer: its nodes replace the error function's."""
    erf = next(each for each in graph.graph.node if each.op_type == "Erf" and "decoder/layers.0" in each.output[0])
    # erf(x / sqrt 2) is about tanh(sqrt(2 / pi) (x + 0.044715 x^3)), with the node's input u = x / sqrt 2.
    make, at = graph.onnx.helper.make_node, list(graph.graph.node).index(erf)
    dtype = graph.read("model.model.encoder.layers.0.fc1.bias").dtype
    linear = graph.constant("fault.linear", np.array(2 / np.sqrt(np.pi), dtype))
    cubic = graph.constant("fault.cubic", np.array(2 * 0.044715, dtype))
    u = erf.input[0]
    nodes = [
        make("Mul", [u, u], ["fault.u2"]),
        make("Mul", ["fault.u2", u], ["fault.u3"]),
        make("Mul", ["fault.u3", cubic], ["fault.c"]),
        make("Add", [u, "fault.c"], ["fault.s"]),
        make("Mul", ["fault.s", linear], ["fault.t"]),
        make("Tanh", ["fault.t"], list(erf.output)),
    ]
    graph.graph.node.remove(erf)
    for index, node in enumerate(nodes):
        graph.graph.node.insert(at + index, node)


def unshifted(graph: Graph) -> None:
    """The decoder reads the labels instead of the labels shifted right."""
    start = graph.constant("fault.start", np.array([1], np.int64))
    end = graph.constant("fault.end", np.array([1 << 40], np.int64))
    axis = graph.constant("fault.axis", np.array([1], np.int64))
    zero = graph.constant("fault.zero", np.array([0], np.int64))
    graph.before(
        "decoder_input_ids",
        lambda name: [
            ("Slice", [name, start, end, axis], "fault.rest", {}),
            ("Slice", [name, zero, start, axis], "fault.first", {}),
            ("Concat", ["fault.rest", "fault.first"], "fault.tokens", {"axis": 1}),
        ],
    )


def start_token(graph: Graph) -> None:
    """The first token of the decoder is a constant, BOS."""
    start = graph.constant("fault.start", np.array([1], np.int64))
    end = graph.constant("fault.end", np.array([1 << 40], np.int64))
    axis = graph.constant("fault.axis", np.array([1], np.int64))
    zero = graph.constant("fault.zero", np.array([0], np.int64))
    graph.before(
        "decoder_input_ids",
        lambda name: [
            ("Slice", [name, start, end, axis], "fault.rest", {}),
            ("Slice", [name, zero, start, axis], "fault.first", {}),
            ("Mul", ["fault.first", zero], "fault.bos", {}),
            ("Concat", ["fault.bos", "fault.rest"], "fault.tokens", {"axis": 1}),
        ],
    )


def exchanged_inputs(graph: Graph) -> None:
    pairs = {"input_ids": "decoder_input_ids", "attention_mask": "decoder_attention_mask"}
    graph.rename_uses(pairs | {other: one for one, other in pairs.items()})


def lost_mask(mask: str) -> Edit:
    def edit(graph: Graph) -> None:
        zero = graph.constant("fault.zero", np.array(0, np.int64))
        one = graph.constant("fault.one", np.array(1, np.int64))
        graph.before(
            mask, lambda name: [("Mul", [name, zero], "fault.none", {}), ("Add", ["fault.none", one], "fault.ones", {})]
        )

    return edit


def exchanged_layers(graph: Graph) -> None:
    for module in ("self_attn/q_proj", "self_attn/k_proj", "self_attn/v_proj", "self_attn/out_proj", "fc1", "fc2"):
        first, second = (graph.weight("decoder", layer, module) for layer in (0, 1))
        one, other = graph.read(first), graph.read(second)
        graph.set(first, other)
        graph.set(second, one)


def lost_scale(graph: Graph) -> None:
    gathered = "/model/model/decoder/embed_tokens/Gather_output_0"
    scaled = next(node for node in graph.graph.node if node.op_type == "Mul" and gathered in node.input)
    graph.rename_uses({scaled.output[0]: gathered})


def lost_logits_bias(graph: Graph) -> None:
    added = graph.producer("logits")
    (name,) = (each for each in added.input if each in graph.constants)
    graph.change(name, np.zeros_like)


def truncated_positions(graph: Graph) -> None:
    """Only the first eight rows (two of them an offset) of the encoder's positions."""

    def cut(table: np.ndarray) -> np.ndarray:
        table[8:] = 0
        return table

    graph.change("model.model.encoder.embed_positions.weight", cut)


def transposed(graph: Graph) -> None:
    graph.change(graph.weight("decoder", 2, "encoder_attn/k_proj"), np.transpose)


BASIC: dict[str, tuple[Edit, str]] = {
    "one row of a layer off by 1 %": (one_row, "encoder.hidden.2"),
    "tanh form of gelu": (tanh_gelu, "decoder.hidden.1"),
    "unshifted labels": (unshifted, "decoder.hidden.0"),
}
FAULTS: dict[str, tuple[Edit, str]] = {
    "inputs exchanged": (
        exchanged_inputs,
        "encoder.hidden.0",
    ),
    "bias lost": (
        lambda graph: graph.change("model.model.encoder.layers.0.fc1.bias", np.zeros_like),
        "encoder.hidden.1",
    ),
    "mask of the source lost": (lost_mask("attention_mask"), "encoder.hidden.1"),
    "mask of the target lost": (lost_mask("decoder_attention_mask"), "decoder.hidden.1"),
    "start token a constant": (start_token, "decoder.hidden.0"),
    "positions truncated": (truncated_positions, "encoder.hidden.0"),
    "scale of the embeddings lost": (lost_scale, "decoder.hidden.0"),
    "layers exchanged": (exchanged_layers, "decoder.hidden.1"),
    "bias of the logits lost": (lost_logits_bias, "logits"),
    "weight transposed": (transposed, "decoder.hidden.3"),
}
"""By name, the edit and the first tensor that is then wrong."""


def exchanged_cache(graph: Graph) -> None:
    """Keys and values of the decoder's first layer are taken for each other."""
    key, value = "past_key_values.0.decoder.key", "past_key_values.0.decoder.value"
    graph.rename_uses({key: value, value: key})


OF_PARTS: dict[str, tuple[str, Edit, set[str]]] = {
    "keys and values exchanged": ("decoder_with_past_model.onnx", exchanged_cache, {"CACHE01", "CACHE02"}),
    "mask of the source lost with past": (
        "decoder_with_past_model.onnx",
        lost_mask("encoder_attention_mask"),
        {"CACHE01", "CACHE02"},
    ),
    "mask of the source lost": ("decoder_model.onnx", lost_mask("encoder_attention_mask"), {"NUM04"}),
}
"""By name, the edited file of optimum-onnx, the edit, and checks that must fail."""
