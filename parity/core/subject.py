"""Subjects: one implementation, and how it computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["oracle", "noise_floor", "candidate", "file"]
ATTENTIONS = ("eager", "sdpa")
DTYPES = ("float64", "float32", "bfloat16", "float16")
HALF = ("bfloat16", "float16")
DEVICES = ("cpu", "cuda")
MODIFIERS = ("default-precision", "permuted", "reversed-widths", "1-thread")
MUTANT = "mutant-"


@dataclass(frozen=True)
class Variant:
    """How a backend computes, written ``attention[+modifier…]``.

    ``eager`` and ``sdpa`` name the attention; ``+default-precision`` lets the framework pick its matmul precision (TF32
    on CUDA; without it every product runs at the highest); ``+permuted`` reverses the rows of the batch and restores
    the order of the results; ``+reversed-widths`` does the same with every width of the model (references only);
    ``+1-thread`` computes on one thread. ``+mutant-NAME`` injects a fault of ``parity.backends.mutants``.
    """

    attention: str = "eager"
    default_precision: bool = False
    permuted: bool = False
    reversed_widths: bool = False
    one_thread: bool = False
    mutant: str = ""

    @classmethod
    def parse(cls, name: str) -> Variant:
        """Parses a variant's name.

        Raises:
            ValueError: the attention or a modifier is not one of ``ATTENTIONS`` and ``MODIFIERS``.
        """
        attention, *modifiers = name.split("+")
        mutants = [m.removeprefix(MUTANT) for m in modifiers if m.startswith(MUTANT)]
        unknown = [m for m in modifiers if m not in MODIFIERS and not m.startswith(MUTANT)]
        if attention not in ATTENTIONS or unknown:
            raise ValueError(f"unknown variant {name!r}: {ATTENTIONS} then any of {MODIFIERS}, joined by '+'")
        flags = [m in modifiers for m in MODIFIERS]
        return cls(attention, *flags, mutant=mutants[0] if mutants else "")

    def __str__(self) -> str:
        flags = (self.default_precision, self.permuted, self.reversed_widths, self.one_thread)
        mutants = [MUTANT + self.mutant] if self.mutant else []
        return "+".join([self.attention, *(m for m, on in zip(MODIFIERS, flags, strict=True) if on), *mutants])


@dataclass(frozen=True)
class Subject:
    """One backend × variant × stack × device × dtype, and its role in a run.

    ``oracle`` computes the expected values, ``noise_floor`` members measure the error of conforming implementations,
    ``candidate`` subjects are judged, ``file`` is the weight file itself, read without any framework.
    """

    backend: str
    variant: str = "eager"
    stack: str = "main"
    device: str = "cpu"
    dtype: str = "float32"
    role: Role = "candidate"

    @property
    def label(self) -> str:
        """The display name: ``hf-torch``, ``hf-torch/sdpa``, ``hf-flax@docs-4.37``."""
        name = self.backend if self.variant == "eager" else f"{self.backend}/{self.variant}"
        return name if self.stack == "main" else f"{name}@{self.stack}"


TORCH, FLAX = REFERENCES = ("reference-torch", "reference-flax")
"""Our two implementations. Each is measured by its peer, the other one."""
ORACLE = Subject(TORCH, dtype="float64", role="oracle")
FILE = Subject("file", role="file")


def noise_floor_ensemble(
    device: str, dtype: str, precision: str = "", references: Sequence[str] = REFERENCES
) -> list[Subject]:
    """The implementations whose error sets the tolerances at one device and dtype.

    Torch and Flax, eager and SDPA, batch and widths reversed, one thread and all: each sums the same terms in another
    order. A single reference runs in more orders, and still covers less of the error than two: its errors are
    multiplied by the factors measured for one reference (``parity.judge.tolerance``).

    Args:
        precision: ``""`` for the highest or ``"+default-precision"``.
        references: those that can run here.
    """
    orders = {
        TORCH: ["eager", "sdpa", "eager+permuted+reversed-widths", "sdpa+reversed-widths", "eager+1-thread"],
        FLAX: ["eager", "eager+permuted+reversed-widths"],
    }
    if len(references) == 1:
        orders[TORCH] += ["eager+reversed-widths", "eager+permuted"]
        orders[FLAX] += ["eager+reversed-widths", "eager+permuted"]
    members = [(backend, variant) for backend in REFERENCES if backend in references for variant in orders[backend]]
    named = [(backend, str(Variant.parse(variant + precision))) for backend, variant in members]
    return [Subject(backend, variant, "main", device, dtype, "noise_floor") for backend, variant in named]
