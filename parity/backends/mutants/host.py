"""The references with one mutant applied (``parity.backends.mutants``), selected by the variant
``eager+mutant-NAME``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.backends.mutants import applied
from parity.backends.protocol import Model
from parity.backends.reference.flax_backend import ReferenceFlax
from parity.backends.reference.torch_backend import ReferenceTorch
from parity.core.subject import Variant


class MutantTorch:
    """``reference-torch`` with a mutant that is applied only while it loads and while it handles a request."""

    original: type = ReferenceTorch
    sets_before_use = ReferenceTorch.sets_before_use

    def __init__(self) -> None:
        self._backend = self.original()

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        self._backend.setup(threads=threads, device=device, cache=cache)

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str) -> MutantModel:
        """Raises KeyError if the variant has no mutant of that name."""
        plain = replace(variant, mutant="")
        with applied(variant.mutant):
            model = self._backend.load(checkpoint, plain, device=device, dtype=dtype, model_class=model_class)
        return MutantModel(model, variant.mutant)


class MutantFlax(MutantTorch):
    """``reference-flax``, modified in the same way."""

    original = ReferenceFlax
    sets_before_use = ReferenceFlax.sets_before_use

    def load(self, checkpoint: Path, variant: Variant, **how: Any) -> MutantModel:
        import jax

        from reference.in_flax import loading

        # Modules and traces cached before the change would otherwise be used after it.
        jax.clear_caches()
        loading.outline.cache_clear()
        return super().load(checkpoint, variant, **how)


class MutantModel:
    """A loaded reference in which the mutant is applied during every call."""

    def __init__(self, model: Model, name: str) -> None:
        self._model, self._name = model, name
        self.class_name, self.report, self.to_numpy = model.class_name, model.report, model.to_numpy

    def __getattr__(self, method: str) -> Any:
        """``call``, ``encode_then_decode``, ``generate``, ``generation_settings``, ``gradients``."""
        given = getattr(self._model, method)

        def altered(*arguments: Any, **keywords: Any) -> Any:
            with applied(self._name):
                return given(*arguments, **keywords)

        return altered

    def parameters(self) -> Iterator[Any]:
        with applied(self._name):
            yield from self._model.parameters()

    def decode_steps(self, *arguments: Any, **keywords: Any) -> Iterator[Any]:
        with applied(self._name):
            yield from self._model.decode_steps(*arguments, **keywords)
