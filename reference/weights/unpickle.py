"""Reads the pickle inside a PyTorch file without running anything of it.

A pickle is a program for a stack machine. This machine knows the instructions ``torch.save`` writes and no other, and
where a pickle calls a function it notes the name and the arguments: nothing is imported, nothing is called.
Source: the Python library's ``pickletools``, whose ``genops`` cuts the instructions apart.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO


class ForbiddenGlobal(ValueError):
    """The pickle names something no weight file needs; ``name`` is ``module.name``."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the pickle asks for {name}, which no weight file needs; nothing was run")


class BadPickle(ValueError):
    """The bytes are no pickle, or one with an instruction a weight file does not need."""


@dataclass(frozen=True)
class Global:
    """A name the pickle refers to."""

    name: str


@dataclass
class Call:
    """A function the pickle wants called; ``items`` and ``state`` are what it adds to the result afterwards."""

    function: str
    arguments: tuple[Any, ...]
    items: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Persistent:
    """What torch keeps outside the pickle: a storage."""

    content: Any


_MARK = object()


def load(file: BinaryIO, permitted: Callable[[str], bool]) -> Any:
    """The value of the pickle that begins at the file's position; the position after it is behind its end.

    Args:
        permitted: whether a name, ``module.name``, may be referred to.

    Raises:
        ForbiddenGlobal: the pickle refers to another name.
        BadPickle: truncated, garbage, or not what ``torch.save`` writes.
    """
    machine = _Machine(permitted)
    try:
        for instruction, argument, _ in pickletools.genops(file):
            machine.run(instruction.name, argument)
    except (ForbiddenGlobal, BadPickle):
        raise
    # genops and a stack that runs empty raise these on garbage; each means the same to the reader.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise BadPickle(f"not a pickle of weights: {type(error).__name__}: {error}") from error
    return machine.result


class _Machine:
    """The stack, the memo, and one method for each kind of instruction."""

    def __init__(self, permitted: Callable[[str], bool]) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.permitted = permitted
        self.result: Any = None

    def run(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _FRESH:
            dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}


_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
