"""What a mutant is, and how it is put into a reference and taken out again."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

TORCH = "reference.in_torch."
UNCHANGED = "none"
"""The name of the variant without a change: it must pass whatever the mutants are asked."""

Change = Callable[["Patches"], None]


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        name: in words joined by hyphens.
        family: the subject it is about: the name of its module.
        what: what it computes instead, one clause.
        fixtures: the checkpoints that it is put to.
        shows: the canonical tensors or parameters of which one must be the first that is named, or of a fault of
            generation the cases that alone may fail.
        writes: whether it is asked to generate text.
        history: where such a fault was once made.
        change: puts it in.
        backend: whose variant it is.
    """

    name: str
    family: str
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
    """Registers the function that puts a mutant in; arguments as the attributes of ``Mutant``."""

    def register(change: Change) -> Change:
        if name in MUTANTS or name == UNCHANGED:
            raise ValueError(f"two mutants are called {name}")
        fixtures = (on,) if isinstance(on, str) else on
        family = change.__module__.rpartition(".")[2]
        MUTANTS[name] = Mutant(name, family, what, fixtures, shows, writes, history, change, backend)
        return change

    return register


class Patches:
    """Attributes that were exchanged, and what they were."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def __call__(self, place: str, make: Callable[[Any], Any]) -> None:
        """Exchanges what stands at a place for what ``make`` makes of it.

        Args:
            place: ``module:Class.attribute``, or ``module:TABLE[name]`` for a table's entry; a module that begins with
                neither ``reference.`` nor ``parity.`` is one of ``reference.in_torch``.
        """
        module, _, path = place.partition(":")
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
        """Everything as it was."""
        while self._undo:
            self._undo.pop()()


@contextmanager
def applied(name: str) -> Iterator[None]:
    """The named mutant is in place inside of the block.

    Raises:
        KeyError: no mutant is called so.
    """
    patches = Patches()
    try:
        if name != UNCHANGED:
            MUTANTS[name].change(patches)
        yield
    finally:
        patches.undo()
