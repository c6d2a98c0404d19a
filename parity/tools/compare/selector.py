"""How a side of a comparison is named: ``WHAT[::BACKEND[/VARIANT][@STACK][:DTYPE][:DEVICE]]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from parity.core.errors import InputError
from parity.core.records import SubjectRecord


class CompareError(InputError):
    """Two sides cannot be compared; the message names them and the cause."""


@dataclass(frozen=True)
class SubjectSelector:
    """A subject as a side names it."""

    backend: str
    variant: str = "eager"
    stack: str = "main"
    dtype: str = "float32"
    device: str = "cpu"

    @classmethod
    def parse(cls, text: str) -> SubjectSelector:
        """Reads ``hf-torch/sdpa@docs-4.37:bfloat16:cuda``.

        Raises:
            CompareError: the text has another form.
        """
        label, *rest = text.split(":")
        if len(rest) > 2 or not label or label.startswith(("@", "/")):
            raise CompareError(f"{text!r}: a side is WHAT::BACKEND[/VARIANT][@STACK][:DTYPE][:DEVICE]")
        name, _, stack = label.partition("@")
        backend, _, variant = name.partition("/")
        return cls(backend, variant or "eager", stack or "main", *rest)

    def is_it(self, subject: SubjectRecord) -> bool:
        own = (self.backend, self.variant, self.stack, self.dtype, self.device)
        return own == (subject.backend, subject.variant, subject.stack, subject.dtype, subject.device)


@dataclass(frozen=True)
class Operand:
    """One side of a comparison: a captured run and one subject of it; None for every subject."""

    name: str
    directory: Path
    who: SubjectSelector | None
