"""Definition of a mutant, and applying it to and removing it from a reference."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

TORCH = "reference.in_torch."
UNCHANGED = "none"
"""The name of the unmodified variant, which must pass every check that the mutants are run on."""

Change = Callable[["Patches"], None]


@dataclass(frozen=True)
class Mutant:
    """One mutant.

    Attributes:
        name: lower-case words joined by hyphens.
        group: the component that it changes: the name of its module.
        what: what it computes instead, one clause.
        fixtures: the checkpoints that it is run on.
        shows: canonical tensors or parameters, one of which must be the first reported as divergent; for mutants of
            generation, the only cases that may fail.
        writes: whether text generation is run.
        history: a historical occurrence of such a bug.
        change: the function that applies it.
        backend: the backend that it is a variant of.
    """

    name: str
    group: str
    what: str
    fixtures: tuple[str, ...]
    shows: tuple[str, ...]
    writes: bool
    history: str
    change: Change
    backend: str = "mutant"


MUTANTS: dict[str, Mutant] = {}


def mutant(
    name: str,
    what: str,
    *shows: str,
    on: str | tuple[str, ...] = "bart-odd",
    writes: bool = False,
    history: str = "",
    backend: str = "mutant",
) -> Callable[[Change], Change]:
    """Registers the function that applies a mutant; arguments as the attributes of ``Mutant``."""

    def register(change: Change) -> Change:
        if name in MUTANTS or name == UNCHANGED:
            raise ValueError(f"two mutants are called {name}")
        fixtures = (on,) if isinstance(on, str) else on
        group = change.__module__.rpartition(".")[2]
        MUTANTS[name] = Mutant(name, group, what, fixtures, shows, writes, history, change, backend)
        return change

    return register


class Patches:
    """Replaces attributes, and records their previous values."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def __call__(self, target: str, make: Callable[[Any], Any]) -> None:
        """Replaces an attribute by ``make`` of its value.

        Args:
            target: ``module:Class.attribute``, or ``module:TABLE[name]`` for an entry of a dict. The module is relative
                to ``reference.in_torch``, unless it begins with ``reference.`` or ``parity.``.
        """
        module, _, path = target.partition(":")
        full = module if module.startswith(("reference.", "parity.")) else TORCH + module
        owner: Any = importlib.import_module(full)
        *owners, name = path.split(".")
        for each in owners:
            owner = getattr(owner, each)
        if name.endswith("]"):
            table, _, key = name[:-1].partition("[")
            self._exchange(getattr(owner, table), key, make)
            return
        before = vars(owner)[name]
        made = make(before)
        setattr(owner, name, made)
        self._undo.append(lambda: setattr(owner, name, before))

    def _exchange(self, table: dict[str, Any], key: str, make: Callable[[Any], Any]) -> None:
        before = table[key]
        table[key] = make(before)
        self._undo.append(lambda: table.__setitem__(key, before))

    def undo(self) -> None:
        """Restores all previous values."""
        while self._undo:
            self._undo.pop()()


@contextmanager
def applied(name: str) -> Iterator[None]:
    """Applies the named mutant inside the block.

    Raises:
        KeyError: there is no mutant of that name.
    """
    patches = Patches()
    try:
        if name != UNCHANGED:
            MUTANTS[name].change(patches)
        yield
    finally:
        patches.undo()
