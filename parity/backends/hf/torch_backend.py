"""The PyTorch classes of transformers. Runs with 4.37 to 5.x."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends import layer_injection
from parity.backends.hf import common, documented
from parity.backends.hf.encoder_forms import encoder_outputs
from parity.backends.hf.generate_forms import generate_in_form
from parity.backends.protocol import Field, LoadReport, Reorder, Step, token_input_names
from parity.backends.torch_gradients import taken
from parity.backends.torch_util import (
    SETS_BEFORE_USE,
    as_tensors,
    bits_on_host,
    compute_as,
    on_host,
    set_deterministic,
    sharing_storage,
)
from parity.checkpoint.conversion import flags_needed
from parity.core.subject import Variant
from reference.config import read_config
from reference.names import Table, table_of

CONVERTED = ("tf", "flax")
"""Frameworks whose files it loads with a flag."""


class HfTorch:
    """Loads the PyTorch class as a user would, in evaluation mode."""

    sets_before_use = SETS_BEFORE_USE

    @staticmethod
    def setup_for(tasks: Sequence[Mapping[str, Any]], *, float64_limit: int | None) -> dict[str, bool]:
        """``converts`` if a task loads TensorFlow or Flax weights, by a flag or because there are no others."""
        flags = {task["case"]["settings"].get("route") for task in tasks}
        folders = {Path(task["view"] or task["checkpoint"]) for task in tasks}
        converts = any(f"from_{other}" in flags for other in CONVERTED)
        return {"converts": True} if converts or any(flags_needed(each, "pt", CONVERTED) for each in folders) else {}

    def setup(self, *, threads: int, device: str, cache: Path, converts: bool = False) -> None:
        """``converts``: whether files of other frameworks are loaded, for which those frameworks must be importable."""
        common.quiet_offline_environment()
        # Documented switches: importing two more frameworks takes seconds and is not needed here. If two of them are
        # 1, the library disables one (utils/import_utils.py); AUTO uses the installed ones.
        own, others = ("AUTO", "AUTO") if converts else ("1", "0")
        os.environ.update(USE_TORCH=own, USE_TF=others, USE_FLAX=others, USE_JAX=others)
        self.threads = threads
        set_deterministic(threads)

    def load(
        self,
        checkpoint: Path,
        variant: Variant,
        *,
        device: str,
        dtype: str,
        model_class: str,
        route: str | None = None,
    ) -> HfTorchModel:
        """Raises any exception of ``from_pretrained``."""
        import torch
        import transformers

        # The argument's name changed in 4.56 (transformers 4.56.0, modeling_utils.py, from_pretrained).
        dtype_argument = "dtype" if common.version_of("transformers") >= (4, 56) else "torch_dtype"
        flags = common.flags_of(route, checkpoint, "pt", CONVERTED)
        compute_as(variant, self.threads)
        options = {"attn_implementation": variant.attention, "output_loading_info": True}
        options[dtype_argument] = getattr(torch, dtype)
        # 4.37.2 and 4.57.6 return no loading info for Flax files, and 4.37.2 fails if it is requested. They pass a
        # dtype on to the TensorFlow class that is converted. 5.x ignores the flag.
        converts = bool(flags) and common.version_of("transformers") < (5,)
        if converts and not route:
            options = {"attn_implementation": variant.attention}
        with common.notes_of_load() as notes:
            loaded = getattr(transformers, model_class).from_pretrained(
                checkpoint, local_files_only=True, **flags, **({} if route else options)
            )
        if route:
            model, info = loaded, {"missing_keys": [], "unexpected_keys": []}
        else:
            model, info = (loaded, common.conversion_info(notes, model_class)) if converts else loaded
        table = table_of(read_config(checkpoint), model_class)
        report = _report(model, info, table)
        report.route = common.route_name(flags)
        report.notes = common.shortened(notes + common.loading_errors(info))
        # A parameter on the meta device cannot be moved; a check reports it.
        if not report.not_materialised:
            model = model.to(device=device, dtype=getattr(torch, dtype) if converts and not route else None)
        return HfTorchModel(model.eval(), table, report, variant, self.threads)

    def load_plain(self, checkpoint: Path, model_class: str) -> HfTorchModel:
        """Loads with the directory as the only argument, and does not modify the result; raises any library exception.

        If there are no PyTorch files, the flag that a user must then pass is added.
        """
        import transformers

        flags = flags_needed(checkpoint, "pt", CONVERTED)
        with common.notes_of_load():
            model = getattr(transformers, model_class).from_pretrained(checkpoint, **flags)
        table = table_of(read_config(checkpoint), model_class)
        # Fused attention returns no weights, and they are not requested after a plain load.
        variant = Variant("sdpa")
        return HfTorchModel(model, table, LoadReport(training=model.training), variant, self.threads)


ENCODER_ONLY = ("input_ids", "input_values", "head_mask")
"""Inputs of a whole call that belong to the encoder only."""


class HfTorchModel(documented.Documented):
    """One loaded model."""

    def __init__(self, model: Any, table: Table, report: LoadReport, variant: Variant, threads: int) -> None:
        self._model, self._table, self._variant, self._threads = model, table, variant, threads
        self.class_name = type(model).__name__
        self.report = report

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        """Everything in the state dict: parameters, their tied names, and the buffer ``final_logits_bias``."""
        for raw, tensor in self._model.state_dict().items():
            if not tensor.is_meta:
                yield self._canonical(raw), bits_on_host(tensor)

    def _canonical(self, raw: str) -> str:
        """The canonical name of a parameter or buffer."""
        return common.parameter_name(raw, "torch", self._table)[0]

    def as_loaded(self) -> dict[str, Any]:
        """Parameter counts by dtype and device, the attention implementation, and whether it is in training mode."""
        parameters = list(self._model.parameters())
        dtypes = Counter(str(each.dtype).removeprefix("torch.") for each in parameters)
        return {
            "dtypes": dict(dtypes),
            "devices": dict(Counter(str(each.device) for each in parameters)),
            "attention": getattr(self._model.config, "_attn_implementation", None),
            "training": self._model.training,
        }

    def save(self, folder: Path, format: str) -> None:
        """``save_pretrained``; since 5.0 it has only one form, and no argument to select it."""
        total = sum(tensor.numel() * tensor.element_size() for tensor in self._model.state_dict().values())
        own = "bin" if common.version_of("transformers") < (5,) else ""
        with common.notes_of_load():
            self._model.save_pretrained(folder, **common.save_arguments(format, own, total))

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field] | tuple:
        output = self._forward(self._tensors(inputs), return_dict=not as_tuple)
        return output if as_tuple else dict(output.items())

    def call_embedded(self, inputs: Mapping[str, np.ndarray], tokens: str) -> Mapping[str, Field]:
        """``inputs_embeds`` or ``decoder_inputs_embeds`` in place of the tokens."""
        tensors = self._tensors(inputs)
        ids = tensors.pop(tokens)
        half = self._model
        if "decoder_input_ids" in inputs:
            bare = half.base_model  # classifiers of 4.x have no get_encoder of their own
            half = bare.get_decoder() if tokens == "decoder_input_ids" else bare.get_encoder()
        rows = half.get_input_embeddings().weight[ids] * common.embedding_scale(half.config)
        return dict(self._forward({**tensors, common.EMBEDDINGS[tokens]: rows}).items())

    def call_uncached(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        return dict(self._forward({**self._tensors(inputs), "use_cache": False}).items())

    def call_requesting(self, inputs: Mapping[str, np.ndarray], requested: Sequence[str]) -> Mapping[str, Field]:
        import torch

        compute_as(self._variant, self._threads)
        with torch.no_grad():
            output = self._model(**self._tensors(inputs), **dict.fromkeys(requested, True), return_dict=True)
        return dict(output.items())

    def call_in_training(self, inputs: Mapping[str, np.ndarray], seed: int) -> Mapping[str, Field]:
        """``model.train()``, and the call."""
        import torch

        self._model.train()
        torch.manual_seed(seed)
        return dict(self._forward(self._tensors(inputs)).items())

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """``model.get_encoder()``, then a call with ``encoder_outputs`` and all inputs but ``input_ids``."""
        return self.encode_then_decode_in_form(inputs, "output")

    def encode_then_decode_in_form(self, inputs: Mapping[str, np.ndarray], form: str) -> Mapping[str, Field]:
        """The same, with ``encoder_outputs`` in another form (``parity.backends.hf.encoder_forms``)."""
        tensors = self._tensors(inputs)
        rest = {name: array for name, array in inputs.items() if name not in ENCODER_ONLY}
        if self.class_name.endswith(common.CLASSIFIER):
            rest["input_ids"] = common.ends(inputs["input_ids"], self._model.config)
        given = {**self._tensors(rest), "encoder_outputs": encoder_outputs(self._encoded(tensors), form)}
        return dict(self._forward(given).items())

    def decode_steps(
        self, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None = None
    ) -> Iterator[Step]:
        """``model.get_encoder()``, then calls with its output, the cache and ``use_cache=True``.

        A decoder-only model receives encoder states unchanged.
        """
        tensors = self._tensors(inputs)
        ids, seen = token_input_names(tensors)
        if ids == "decoder_input_ids":
            encoded = self._encoded(tensors).last_hidden_state
            source = {"encoder_outputs": (encoded,), "attention_mask": tensors["attention_mask"]}
        else:
            source = {name: tensor for name, tensor in tensors.items() if name.startswith("encoder_")}
        target, mask, cache, start = tensors[ids], tensors[seen], None, 0
        for size in sizes:
            if reorder is not None and reorder.at == start:
                rows = target.new_tensor(reorder.rows)
                cache, source, mask = self._reordered(cache, rows), _rows(source, rows), mask[rows]
            end = start + size
            fed = {ids: target[:, start:end], seen: mask[:, :end]}
            output = self._forward({**source, **fed, "past_key_values": cache, "use_cache": True})
            cache, start = output.past_key_values, end
            fields, layers = common.of_a_step(output), _layers(cache)
            yield Step(fields, layers, [list(tensor.shape) for tensor in layers[0]])

    def generate(self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Mapping[str, Field]:
        """``model.generate``; without settings, only the inputs are passed, and no scores can be requested.

        An explicit None overrides the model's own setting in every release: arguments are applied last
        (transformers 4.37.2 to 5.23.0, generation/configuration_utils.py, ``GenerationConfig.update``).
        """
        import torch

        compute_as(self._variant, self._threads)
        tensors = self._tensors(inputs)
        given = common.source_of(tensors)
        with torch.no_grad():
            return common.generated(self._model.generate(**given, **common.generate_arguments(settings)))

    def generate_in_form(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], form: str
    ) -> Mapping[str, Field]:
        """``parity.backends.hf.generate_forms``."""
        import torch

        compute_as(self._variant, self._threads)
        given, arguments = common.source_of(self._tensors(inputs)), common.generate_arguments(settings)
        with torch.no_grad():
            return common.generated(generate_in_form(self._model, form, given, arguments))

    def sample(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], draws: int, seed: int
    ) -> Mapping[str, Field]:
        """``model.generate`` with ``num_return_sequences``."""
        import torch

        compute_as(self._variant, self._threads)
        torch.manual_seed(seed)
        tensors = self._tensors(inputs)
        given = {**common.source_of(tensors), "decoder_input_ids": tensors["decoder_input_ids"]}
        arguments = {**common.generate_arguments(settings), "num_return_sequences": draws}
        with torch.no_grad():
            return common.drawn(self._model.generate(**given, **arguments))

    def generation_settings(self) -> Mapping[str, Any]:
        return common.generation_settings(self._model, in_torch=True)

    def composed(self, checkpoint: Path) -> HfTorchModel:
        """``from_encoder_decoder_pretrained`` of the halves of this composition."""
        kind = type(self._model)
        with documented.halves(checkpoint) as (encoder, decoder):
            joined = kind.from_encoder_decoder_pretrained(encoder, decoder)
        report = LoadReport(training=documented.in_training(joined))
        return HfTorchModel(joined, self._table, report, self._variant, self._threads)

    def flags(self) -> Mapping[str, Any]:
        """Properties of a composed model: the kind of its decoder, and its training mode."""
        return {**super().flags(), "evaluates": not self._model.training}

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        return self.reduced_gradients(inputs, lambda gradient: gradient)

    def reduced_gradients(
        self, inputs: Mapping[str, np.ndarray], keep: Callable[[np.ndarray], Any]
    ) -> tuple[Field, dict[str, Any]]:
        """In the order of the model's parameters."""
        self._model.zero_grad(set_to_none=True)
        loss = self._forward(self._tensors(inputs), gradients=True).loss
        found: dict[str, Any] = {}
        named = list(self._model.named_parameters())
        with taken(named, lambda raw, gradient: found.update({raw: keep(_gradient(gradient))})):
            loss.backward()
        named_gradients = {self._canonical(raw): found[raw] for raw, _ in named if raw in found}
        return loss.detach(), named_gradients

    def layerwise(self, inputs: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """By hooks on the library's own layers, and ``encoder_outputs``."""
        tensors, fed = self._tensors(inputs), self._tensors(states)
        rest = {name: tensor for name, tensor in tensors.items() if name not in ENCODER_ONLY}
        with layer_injection.in_torch(self._model, fed):
            encoded = self._encoded(tensors)
            output = self._forward({**rest, "encoder_outputs": (fed[layer_injection.MEMORY],)})
        return {**output, "encoder_hidden_states": encoded.hidden_states}

    def frozen_gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        """After ``model.freeze_feature_encoder()``, which is permanent."""
        self._model.freeze_feature_encoder()
        return self.gradients(inputs)

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        return on_host(value)

    def _tensors(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return as_tensors(inputs, self._model.device, self._model.dtype)

    def _output_options(self) -> dict[str, bool]:
        return {"output_hidden_states": True, "output_attentions": self._variant.attention == "eager"}

    def _encoded(self, tensors: Mapping[str, Any]) -> Any:
        """The encoder's output, with the same requested fields as a whole call."""
        import torch

        given = {name: tensors[name] for name in (*ENCODER_ONLY, "attention_mask") if name in tensors}
        # Classifiers of 4.37 have no get_encoder of their own.
        whole = self._model if hasattr(self._model, "get_encoder") else self._model.base_model
        compute_as(self._variant, self._threads)
        with torch.no_grad():
            return whole.get_encoder()(**given, **self._output_options(), return_dict=True)

    def _reordered(self, cache: Any, rows: Any) -> Any:
        """Reorders as the library's beam search does: by a method of the cache, or of the model if it is a tuple."""
        if isinstance(cache, tuple):
            return self._model._reorder_cache(cache, rows)
        cache.reorder_cache(rows)
        return cache

    def _forward(self, tensors: dict[str, Any], *, return_dict: bool = True, gradients: bool = False) -> Any:
        import torch

        compute_as(self._variant, self._threads)
        with nullcontext() if gradients else torch.no_grad():
            return self._model(**tensors, **self._output_options(), return_dict=return_dict)


def _rows(source: Mapping[str, Any], rows: Any) -> dict[str, Any]:
    """The encoder inputs in the same order as the cache; ``generate`` repeats each source for its beams."""
    return {
        name: tuple(each[rows] for each in value) if isinstance(value, tuple) else value[rows]
        for name, value in source.items()
    }


def _layers(cache: Any) -> tuple[tuple[Any, ...], ...]:
    """Keys and values of self- and cross-attention by layer: the tuple of 4.37, or the caches inside 4.57's and 5's."""
    if isinstance(cache, tuple):
        return cache
    if not hasattr(cache, "self_attention_cache"):
        return tuple((layer.keys, layer.values) for layer in cache.layers)
    pairs = zip(cache.self_attention_cache.layers, cache.cross_attention_cache.layers, strict=True)
    return tuple((own.keys, own.values, cross.keys, cross.values) for own, cross in pairs)


def _gradient(tensor: Any) -> np.ndarray:
    """A gradient in its dtype, or cast to float32 if numpy does not support that (bfloat16 without ml_dtypes)."""
    bits = bits_on_host(tensor)
    return on_host(tensor)[0] if bits.dtype == np.uint16 else bits


def _report(model: Any, info: dict[str, Any], table: Table) -> LoadReport:
    """The load report, from ``output_loading_info`` and the modules themselves."""
    named = [(common.parameter_name(raw, "torch", table)[0], each) for raw, each in model.state_dict().items()]
    return LoadReport(
        missing=sorted({common.parameter_name(raw, "torch", table)[0] for raw in info["missing_keys"]}),
        unexpected=sorted(info["unexpected_keys"]),
        tied=sharing_storage((name, tensor) for name, tensor in named if not tensor.is_meta),
        not_materialised=[name for name, tensor in named if tensor.is_meta],
        training=model.training,
    )
