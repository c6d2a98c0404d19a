"""A ``torch.nn.Module``: with the interface of transformers' classes, or with arguments of documented names."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from parity.backends.hf.common import parameter_name
from parity.backends.hf.torch_backend import HfTorchModel
from parity.backends.protocol import LoadReport
from parity.backends.torch_util import as_tensors, bits_on_host, sharing_storage
from parity.backends.user.function import FunctionModel, extend_offer
from parity.backends.user.offer import (
    NotUsable,
    Offer,
    accepted_inputs,
    all_lacking,
    in_one_process,
    required_inputs,
    unaccepted,
)
from parity.core.backends import library_backends
from parity.core.model_spec import ModelSpec
from parity.core.subject import ATTENTIONS, Variant

Rename = Callable[[str], str | None]
"""From a module's own name of a parameter to the canonical one; None leaves the parameter out."""
PREFIXES = ("_orig_mod.", "module.", "base_model.model.")
"""Prefixes added by ``torch.compile``, by data parallelism and by PEFT."""
INTERFACE = ("get_encoder", "generate", "config")
"""What a class of transformers has besides its call."""


def describe_module(
    module: Any,
    spec: ModelSpec,
    inputs: Mapping[str, np.ndarray],
    *,
    rename: Rename | None = None,
    capture: Mapping[str, Any] | None = None,
) -> Any:
    """Wraps a module, and finds out what it offers, with one call unless it has the interface of transformers.

    Args:
        module: in evaluation mode.
        inputs: of the documented call, for that call.
        rename: from the module's parameter names to canonical ones.
        capture: by canonical tensor (``encoder.hidden.1``), the submodule, or its name, whose output it is.

    Raises:
        NotUsable: it does not accept the main input; ``capture`` lacks a state of a layer, or names no submodule.
    """
    documented = all(hasattr(module, name) for name in INTERFACE) and "output_hidden_states" in _arguments(module)
    if documented and spec.speech is None and not capture:
        return _DocumentedModule(module, spec, rename)
    return _any_module(module, spec, inputs, rename, capture)


def _arguments(module: Any) -> Mapping[str, inspect.Parameter]:
    """The arguments of a module's ``forward``; those of the wrapped module where it takes any (PEFT)."""
    for each in (module, *_wrapped(module)):
        try:
            found = inspect.signature(each.forward).parameters
        except (TypeError, ValueError):
            continue
        if all(kind.kind is not kind.VAR_KEYWORD for kind in found.values()):
            return found
    return {}


def _wrapped(module: Any) -> Iterator[Any]:
    """The modules inside ``torch.compile`` and PEFT, outermost first."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and callable(getattr(module, "get_base_model", None)):
            inner = module.get_base_model()
        if inner is None or inner is module:
            return
        yield inner
        module = inner


def canonical_name(raw: str, spec: ModelSpec, rename: Rename | None) -> str | None:
    """The canonical name of a parameter, without the prefixes of wrappers; None if ``rename`` leaves it out."""
    if rename is not None:
        return rename(raw)
    for prefix in PREFIXES:
        raw = raw.removeprefix(prefix)
    return parameter_name(raw, "torch", spec.table)[0]


def _floating(module: Any) -> Any:
    """The first floating-point parameter or buffer; None without one."""
    both = (*module.parameters(), *module.buffers())
    return next((each for each in both if each.is_floating_point()), None)


def _dtype_and_device(module: Any) -> tuple[str, str]:
    first = _floating(module)
    if first is None:
        return "float32", "cpu"
    return str(first.dtype).removeprefix("torch."), first.device.type


def _unreadable(module: Any, spec: ModelSpec, rename: Rename | None) -> dict[str, str]:
    """Why its parameters cannot be compared with the file; empty if they can."""
    found = {canonical_name(raw, spec, rename) for raw, value in module.state_dict().items() if hasattr(value, "shape")}
    tied = {name for group in spec.table.groups if found & set(group) for name in group}
    buffers = {row.name for row in spec.table.rows if row.buffer}
    missing = [name for name in spec.table.shapes if name not in found | tied | buffers]
    if not missing:
        return {}
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    reason = f"the module has no parameter {missing[0]}{more}: pass rename=, from its names to the file's"
    return {"load": reason, "gradients": reason}


def _frozen(module: Any) -> dict[str, str]:
    frozen = [name for name, each in module.named_parameters() if not each.requires_grad]
    reason = f"{frozen[0]} and {len(frozen) - 1} more do not require a gradient" if frozen else ""
    return {"gradients": reason} if frozen else {}


class _DocumentedModule(HfTorchModel):
    """A model with the interface of transformers' PyTorch classes: the same class, or one derived from it."""

    def __init__(self, module: Any, spec: ModelSpec, rename: Rename | None) -> None:
        import torch

        attention = getattr(module.config, "_attn_implementation", "eager") or "eager"
        arguments, name = _arguments(module), type(module).__name__
        lacking = {**_unreadable(module, spec, rename), **_frozen(module)}
        if attention != "eager":
            lacking["attentions"] = f"its attention implementation {attention} returns no weights"
        for word, argument in (
            ("labels", "labels"),
            ("head_masks", "head_mask"),
            ("tuple", "return_dict"),
            ("default_decoder_inputs", "decoder_input_ids"),
            ("decode_steps", "past_key_values"),
        ):
            if argument not in arguments and not (spec.decoder_only and word == "default_decoder_inputs"):
                lacking[word] = f"{name} takes no {argument}"
        if "labels" in lacking:
            lacking["gradients"] = lacking["labels"]
        dtype, device = _dtype_and_device(module)
        classes = (cls for each in (module, *_wrapped(module)) for cls in type(each).__mro__)
        of_the_library = any(cls.__module__.startswith("transformers.models.") for cls in classes)
        derives_from = library_backends(framework="torch")[0] if of_the_library else ""
        known = attention if of_the_library and attention in ATTENTIONS else "eager"
        self.offer = Offer(name, "torch", lacking, {}, dtype, device, derives_from, known)
        self._spec, self._rename = spec, rename
        super().__init__(
            module,
            spec.table,
            LoadReport(training=False, tied=_tied(module, spec, rename)),
            Variant(),
            torch.get_num_threads(),
        )
        # A wrapper forwards attributes; the device of one without parameters of its own is unknown.
        self._at = torch.device(device), getattr(torch, dtype)

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        for raw, tensor in self._model.state_dict().items():
            name = canonical_name(raw, self._spec, self._rename)
            if name is not None and hasattr(tensor, "is_meta") and not tensor.is_meta:
                yield name, bits_on_host(tensor)

    def _canonical(self, raw: str) -> str:
        return canonical_name(raw, self._spec, self._rename) or raw

    def _tensors(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return as_tensors(inputs, *self._at)

    # Every call of the module passes through one of these.
    _forward = in_one_process(HfTorchModel._forward)
    _encoded = in_one_process(HfTorchModel._encoded)
    generate = in_one_process(HfTorchModel.generate)

    def _output_options(self) -> dict[str, bool]:
        return {"output_hidden_states": True, "output_attentions": self.offer.offers("attentions")}


def _any_module(
    module: Any,
    spec: ModelSpec,
    inputs: Mapping[str, np.ndarray],
    rename: Rename | None,
    capture: Mapping[str, Any] | None,
) -> FunctionModel:
    import torch

    name = type(module).__name__
    accepted = accepted_inputs(module.forward)
    lacking = all_lacking(f"{name} has no interface for it")
    readable = _unreadable(module, spec, rename)
    del lacking["load"], lacking["labels"]
    if readable:
        lacking["load"] = readable["load"]
    if accepted is None or "labels" not in accepted:
        lacking["labels"] = f"{name} takes no labels"
    dtype, device = _dtype_and_device(module)
    offer = Offer(name, "torch", lacking, unaccepted(f"{name}.forward", accepted, spec), dtype, device)
    extra = {"output_hidden_states": True} if accepted and "output_hidden_states" in accepted else {}
    hooks = _Hooks(module, capture or {}, spec)

    def to_input(array: np.ndarray) -> Any:
        return as_tensors({"": array}, torch.device(device), getattr(torch, dtype))[""]

    def parameters() -> Iterator[tuple[str, np.ndarray]]:
        for raw, value in module.state_dict().items():
            canonical = canonical_name(raw, spec, rename)
            if canonical is not None and hasattr(value, "is_floating_point"):
                yield canonical, bits_on_host(value)

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        with torch.no_grad(), hooks:
            yield

    model = FunctionModel(
        lambda **given: module(**given, **extra),
        offer,
        spec,
        to_input=to_input,
        parameters=parameters,
        around=around,
        states=hooks.states if capture else None,
        report=LoadReport(training=False, tied=_tied(module, spec, rename)),
        required=required_inputs(f"{name}.forward", module.forward, spec),
    )
    extend_offer(model, inputs)
    if capture and not model.offer.offers("hidden_states"):
        hooks.require_all()
    return model


def _tied(module: Any, spec: ModelSpec, rename: Rename | None) -> list[list[str]]:
    """Groups of canonical names that share storage."""
    named = ((canonical_name(raw, spec, rename), tensor) for raw, tensor in module.state_dict().items())
    return sharing_storage(
        (name, tensor) for name, tensor in named if name is not None and hasattr(tensor, "data_ptr") and tensor.numel()
    )


class _Hooks:
    """Records the outputs of submodules during a call, under canonical tensor names."""

    def __init__(self, module: Any, capture: Mapping[str, Any], spec: ModelSpec) -> None:
        self._spec, self._found, self._handles = spec, {}, []
        self._modules = {}
        for tensor, each in capture.items():
            try:
                self._modules[tensor] = module.get_submodule(each) if isinstance(each, str) else each
            except AttributeError as error:
                raise NotUsable(f"capture: {tensor}: {type(module).__name__} has no submodule {each}") from error

    def __enter__(self) -> None:
        self._found = {}
        for tensor, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._recording(tensor)))

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _recording(self, tensor: str) -> Callable[..., None]:
        def hook(module: Any, arguments: Any, output: Any) -> None:
            self._found[tensor] = output[0] if isinstance(output, tuple) else output

        return hook

    def _wanted(self) -> dict[str, list[str]]:
        halves = {"encoder": self._spec.encoder.layers, "decoder": self._spec.decoder.layers}
        return {half: [f"{half}.hidden.{index}" for index in range(count + 1)] for half, count in halves.items()}

    def states(self) -> dict[str, Any]:
        """The hidden states of both halves, if all of them were recorded."""
        wanted = self._wanted()
        if not all(name in self._found for names in wanted.values() for name in names):
            return {}
        found = {f"{half}_hidden_states": tuple(self._found[name] for name in names) for half, names in wanted.items()}
        if "encoder.last" in self._found:
            found["encoder_last_hidden_state"] = self._found["encoder.last"]
        return found

    def require_all(self) -> None:
        """
        Raises:
            NotUsable: a state of a layer is not captured, or its submodule was not called.
        """
        for names in self._wanted().values():
            for name in names:
                if name not in self._modules:
                    raise NotUsable(f"capture: {name} is missing: first divergences need every layer's state")
                if name not in self._found:
                    raise NotUsable(f"capture: {name}: its submodule is not called in forward")
