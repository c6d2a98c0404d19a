"""ONNX Runtime: a graph exported by ``torch.onnx.export``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from parity.backends.engines.conversion import Conversion, UnusableFiles, converted, files_digest
from parity.backends.engines.onnx_files import DECODER, ENCODER, MERGED, WHOLE, WITH_PAST, layout
from parity.backends.hf import common
from parity.backends.protocol import LoadReport, Reorder, Step
from parity.backends.torch_util import SETS_BEFORE_USE
from parity.backends.user.function import FunctionModel, on_host
from parity.backends.user.offer import HEAD_FIELDS, Offer
from parity.core.model_spec import ModelSpec
from parity.core.subject import Variant
from reference.config import read_config

DISTRIBUTIONS = ("torch", "transformers", "onnx")
"""Distributions that determine the exported files."""
SETTINGS = {
    "exporter": "torch.onnx.export, dynamo=False",
    "opset": 17,
    "attention": "eager",
}
QUANTISED = {"quantisation": "onnxruntime.quantization.quantize_dynamic, weight_type=QInt8"}
"""Of ``--quantised int8``: every matrix has one scale and is symmetric, tables and the output projection included."""
PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider"]}


class OnnxRuntime:
    """Exports the checkpoint once, and runs the graph."""

    sets_before_use = SETS_BEFORE_USE

    def setup(
        self,
        *,
        threads: int,
        device: str,
        cache: Path,
        given: str = "",
        digest: str = "",
        layout: str = "",
        source: str = "",
        quantised: str = "",
    ) -> None:
        """
        Args:
            given: a folder of converted files.
            digest: of its files, as they were when the run was planned.
            source: the directory to convert, where that is not the audited one: its weights before rounding.
            quantised: how the graph is quantised; "" to leave it in float32.
        """
        common.quiet_offline_environment()
        self._threads, self._cache, self._compiled = threads, cache.parent, cache
        self._given, self._digest = Path(given) if given else None, digest
        self._source, self._quantised = Path(source) if source else None, quantised

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str) -> Any:
        """Exports, or reads what was exported or given.

        Raises:
            UnusableFiles: the engine cannot read a file, or it lacks an input or output.
        """
        spec = ModelSpec(model_class, cast(Any, read_config(checkpoint)), {})
        converts = self._source or checkpoint

        def convert(folder: Path) -> None:
            from parity.backends.hf.torch_backend import HfTorch

            library = HfTorch()
            library.setup(threads=self._threads, device="cpu", cache=self._compiled)
            model = library.load(converts, Variant(), device="cpu", dtype=dtype, model_class=model_class)
            export(model._model, spec, folder / WHOLE)
            if self._quantised:
                quantise(folder / WHOLE)

        files = converted(
            converts,
            "onnxruntime",
            {**SETTINGS, "dtype": dtype, "class": model_class, **(QUANTISED if self._quantised else {})},
            convert,
            self._cache,
            self._given,
            distributions=(*DISTRIBUTIONS, "onnxruntime") if self._quantised else DISTRIBUTIONS,
        )
        if self._given is not None and files_digest(self._given) != self._digest:
            raise UnusableFiles(f"{self._given}: changed during the run")
        kind = layout(files.path)
        if kind == "whole":
            return self._whole(files, spec, device)
        return PartsModel(files.path, kind, self._threads, device)

    def _session(self, path: Path, device: str) -> Any:
        """What runs a graph: ``run``, ``get_inputs`` and ``get_outputs``, as a session of ONNX Runtime has them."""
        return open_session(path, self._threads, device)

    def _whole(self, files: Conversion, spec: ModelSpec, device: str) -> FunctionModel:
        session = self._session(files.path / WHOLE, device)
        outputs = [each.name for each in session.get_outputs()]
        for name in HEAD_FIELDS[spec.head]:
            if name not in outputs:
                raise UnusableFiles(f"{files.path / WHOLE}: has no output {name} (its outputs: {', '.join(outputs)})")

        def call(**given: np.ndarray) -> dict[str, Any]:
            return gathered(run(session, with_masks(given)))

        offer = Offer(spec.model_class, lacking={})
        return FunctionModel(call, offer, spec)


class PartsModel:
    """Encoder and decoder as separate graphs, in the layout of optimum-onnx.

    Args:
        kind: ``parts`` or ``merged`` (``onnx_files.layout``).
    """

    def __init__(self, folder: Path, kind: str, threads: int, device: str) -> None:
        self.class_name, self.report = "BartForConditionalGeneration", LoadReport()
        self._folder, self._threads, self._device, self._merged = folder, threads, device, kind == "merged"
        self._encoder = self._open(ENCODER, ("last_hidden_state",))
        self._decoder = self._open(MERGED if self._merged else DECODER, ("logits",))
        self._library: Any = None
        with_past = folder / WITH_PAST
        self._with_past = self._open(WITH_PAST, ("logits",)) if not self._merged and with_past.is_file() else None

    def _open(self, name: str, outputs: tuple[str, ...]) -> Any:
        session = open_session(self._folder / name, self._threads, self._device)
        found = [each.name for each in session.get_outputs()]
        for output in outputs:
            if output not in found:
                raise UnusableFiles(f"{self._folder / name}: has no output {output} (its outputs: {', '.join(found)})")
        return session

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        raise LookupError("the parameters of graphs are not read")

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> dict[str, Any]:
        """The logits, by the encoder and then the decoder."""
        mask, state = self._encode(inputs)
        return {"logits": self._first(mask, state, inputs["decoder_input_ids"])["logits"]}

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The same: a whole call is never one graph."""
        return self.call(inputs)

    def decode_steps(
        self, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None = None
    ) -> Iterator[Step]:
        """The first piece by the decoder, the others by the decoder with past.

        Raises:
            NotImplementedError: ``reorder``, which these graphs do not do.
        """
        if reorder is not None:
            raise NotImplementedError("reorder")
        mask, state = self._encode(inputs)
        tokens, at, cache = inputs["decoder_input_ids"], 0, {}
        for size in sizes:
            piece = tokens[:, at : at + size]
            found = self._next(mask, state, piece, cache) if cache else self._first(mask, state, piece)
            cache |= {name: value for name, value in found.items() if name.startswith("present.") and value.size}
            at += size
            layers = _by_layer(cache)
            yield Step({"logits": found["logits"]}, layers, [list(value.shape) for value in layers[0]])

    def generate(self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """``ORTModelForSeq2SeqLM.generate``."""
        import torch

        if self._library is None:
            from optimum.onnxruntime import ORTModelForSeq2SeqLM

            options = {"provider": PROVIDERS[self._device][0], "use_merged": self._merged}
            options["session_options"] = session_options(self._threads)
            self._library = ORTModelForSeq2SeqLM.from_pretrained(
                self._folder, use_cache=self._merged or self._with_past is not None, local_files_only=True, **options
            )
        source = {name: torch.from_numpy(np.asarray(value)) for name, value in common.source_of(inputs).items()}
        with torch.no_grad():
            return common.generated(self._library.generate(**source, **common.generate_arguments(settings)))

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        return on_host(value)

    def _encode(self, inputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The source's mask (ones where the call has none) and the encoder's last state."""
        ids = inputs["input_ids"]
        mask = inputs.get("attention_mask", np.ones_like(ids))
        return mask, run(self._encoder, {"input_ids": ids, "attention_mask": mask})["last_hidden_state"]

    def _first(self, mask: np.ndarray, state: np.ndarray, tokens: np.ndarray) -> dict[str, np.ndarray]:
        feeds = {"encoder_attention_mask": mask, "encoder_hidden_states": state, "input_ids": tokens}
        if self._merged:
            feeds |= {"use_cache_branch": np.array([False])} | self._no_past(len(tokens))
        return run(self._decoder, feeds)

    def _next(
        self, mask: np.ndarray, state: np.ndarray, tokens: np.ndarray, cache: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        feeds = {name.replace("present.", "past_key_values.", 1): value for name, value in cache.items()}
        feeds |= {"encoder_attention_mask": mask, "encoder_hidden_states": state, "input_ids": tokens}
        if self._merged:
            found = run(self._decoder, {**feeds, "use_cache_branch": np.array([True])})
            # In this branch the graph returns placeholders for the source's keys and values.
            return {name: value for name, value in found.items() if ".encoder." not in name}
        return run(self._with_past, feeds)

    def _no_past(self, batch: int) -> dict[str, np.ndarray]:
        """Placeholders for the branch without a past; heads and widths are constants of the graph's inputs."""
        wanted = [each for each in self._decoder.get_inputs() if each.name.startswith("past_key_values.")]
        return {each.name: np.zeros((batch, each.shape[1], 1, each.shape[3]), np.float32) for each in wanted}


def _by_layer(cache: Mapping[str, np.ndarray]) -> tuple[tuple[np.ndarray, ...], ...]:
    """``present.0.decoder.key`` and so on as one tuple a layer: own key and value, then the source's."""
    parts = ("decoder.key", "decoder.value", "encoder.key", "encoder.value")
    count = 1 + max(int(name.split(".")[1]) for name in cache)
    return tuple(tuple(cache[f"present.{layer}.{part}"] for part in parts) for layer in range(count))


def run(session: Any, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of a graph by name; inputs that it does not have are left out."""
    names = [each.name for each in session.get_outputs()]
    wanted = {each.name for each in session.get_inputs()}
    given = {name: value for name, value in feeds.items() if name in wanted}
    return dict(zip(names, session.run(None, given), strict=True))


def session_options(threads: int) -> Any:
    """Options of a session: this many threads, no output."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    return options


def open_session(path: Path, threads: int, device: str) -> Any:
    """A session of ONNX Runtime from a file.

    Raises:
        UnusableFiles: it cannot be read, or needs what this version lacks.
    """
    import onnxruntime

    version, wanted = onnxruntime.__version__, PROVIDERS[device]
    try:
        session = onnxruntime.InferenceSession(str(path), session_options(threads), providers=wanted)
    except Exception as error:
        cause = " ".join(str(error).split())[:300]
        raise UnusableFiles(f"{path}: onnxruntime {version} cannot load it: {type(error).__name__}: {cause}") from error
    # Where a provider cannot start, the CPU's is used in its place, with a message in the log only.
    if session.get_providers()[0] != wanted[0]:
        raise UnusableFiles(f"{path}: onnxruntime {version} has no working {wanted[0]}")
    return session


def with_masks(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs, with masks of ones where the call has none: a graph has no optional inputs."""
    found = dict(given)
    for mask, tokens in (("attention_mask", "input_ids"), ("decoder_attention_mask", "decoder_input_ids")):
        if tokens in found:
            found.setdefault(mask, np.ones_like(found[tokens]))
    return found


def gathered(found: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs by documented field: ``encoder_hidden_states.0`` and those after it as one tuple."""
    fields: dict[str, Any] = {}
    for name, value in found.items():
        series, dot, index = name.rpartition(".")
        if dot and index.isdigit():
            fields[series] = (*fields.get(series, ()), value)
        else:
            fields[name] = value
    return fields


def quantise(path: Path) -> None:
    """Replaces a graph by the dynamically quantised one, with the defaults for int8 weights."""
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    exact = path.rename(path.with_name("float32.onnx"))
    level, log = logging.root.level, logging.root
    log.setLevel(logging.ERROR)  # It recommends a preprocessing, whatever the graph.
    try:
        quantize_dynamic(str(exact), str(path), weight_type=QuantType.QInt8)
    finally:
        log.setLevel(level)
        exact.unlink()


def export(model: Any, spec: ModelSpec, path: Path) -> None:
    """Writes the whole documented call, with the hidden states, as one graph with free batch and lengths."""
    import torch

    heads = HEAD_FIELDS[spec.head]
    series = {"encoder_hidden_states": spec.encoder.layers, "decoder_hidden_states": spec.decoder.layers}
    names = ("input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask")

    class Call(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, decoder_input_ids: Any, decoder_attention_mask: Any):
            found = self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                decoder_input_ids=decoder_input_ids,
                decoder_attention_mask=decoder_attention_mask,
                output_hidden_states=True,
                use_cache=False,
                return_dict=True,
            )
            states = [each for name in series for each in found[name]]
            return (*(found[name] for name in heads), *states)

    batch, source, target = 2, 7, 5
    example = {}
    for name in names:
        length = target if name.startswith("decoder") else source
        example[name] = torch.ones((batch, length), dtype=torch.int64)
        if name.endswith("mask"):
            example[name][0, -1] = 0
        else:
            example[name] *= 4
    states_named = [f"{name}.{index}" for name, count in series.items() for index in range(count + 1)]
    free = {name: {0: "batch", 1: "target" if name.startswith("decoder") else "source"} for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The exporter by torch.export is as exact and takes ten times as long.
        torch.onnx.export(
            Call().eval(),
            tuple(example.values()),
            str(path),
            input_names=list(names),
            output_names=[*heads, *states_named],
            dynamic_axes=free,
            opset_version=SETTINGS["opset"],
            dynamo=False,
        )
