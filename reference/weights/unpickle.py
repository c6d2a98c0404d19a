"""Reads the pickle inside a PyTorch file without running anything of it.

A pickle is a program for a stack machine. This machine knows the instructions ``torch.save`` writes and no other, and
where a pickle calls a function it notes the name and the arguments: nothing is imported, nothing is called.
Source: the Python library's ``pickletools``, whose ``genops`` cuts the instructions apart.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import Any


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


def load(file: BufferedIOBase, permitted: Callable[[str], bool]) -> Any:
    """The value of the pickle that begins at the file's position; the position after it is behind its end.

    Args:
        permitted: whether a name, ``module.name``, may be referred to.

    Raises:
        ForbiddenGlobal: the pickle refers to another name.
        BadPickle: truncated, garbage, or not what ``torch.save`` writes.
    """
    machine = _Machine(permitted)
    try:
        with warnings.catch_warnings():
            # genops warns of odd escapes in a text, which garbage has; the text is of no use either way.
            warnings.simplefilter("ignore", DeprecationWarning)
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
            self.stack.append(_FRESH[name]())
        elif name in _GETS:
            self.stack.append(self.memo[argument])
        elif name in _PUTS:
            self.memo[argument] = self.stack[-1]
        elif hasattr(self, f"do_{name.lower()}"):
            getattr(self, f"do_{name.lower()}")(argument)
        elif name not in ("PROTO", "FRAME"):
            raise BadPickle(f"not a pickle of weights: it has the instruction {name}")

    def _to_mark(self) -> list[Any]:
        """Everything above the last mark, taken off with the mark."""
        at = max(index for index, value in enumerate(self.stack) if value is _MARK)
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _refer(self, name: str) -> None:
        if not self.permitted(name):
            raise ForbiddenGlobal(name)
        self.stack.append(Global(name))

    def _call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise BadPickle(f"not a pickle of weights: it calls {type(function).__name__}")
        self.stack.append(Call(function.name, arguments))

    def do_mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def do_stop(self, _: Any) -> None:
        self.result = self.stack.pop()

    def do_pop(self, _: Any) -> None:
        self.stack.pop()

    def do_none(self, _: Any) -> None:
        self.stack.append(None)

    def do_newtrue(self, _: Any) -> None:
        self.stack.append(True)

    def do_newfalse(self, _: Any) -> None:
        self.stack.append(False)

    def do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_global(self, argument: str) -> None:
        self._refer(argument.replace(" ", "."))

    def do_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise BadPickle("not a pickle of weights: a name that is no text")
        self._refer(f"{module}.{name}")

    def do_inst(self, argument: str) -> None:
        self._refer(argument.replace(" ", "."))
        raise BadPickle("not a pickle of weights: it has the instruction INST")

    def do_binpersid(self, _: Any) -> None:
        self.stack.append(Persistent(self.stack.pop()))

    def do_reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self._call(function, arguments)

    do_newobj = do_reduce

    def do_build(self, _: Any) -> None:
        # The state is torch's ``_metadata`` (versions of modules), which says nothing of weights.
        self.stack.pop()
        if not isinstance(self.stack[-1], Call):
            raise BadPickle("not a pickle of weights: it gives a state to what has none")

    def do_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._to_mark()))

    def do_list(self, _: Any) -> None:
        self.stack.append(self._to_mark())

    def do_tuple1(self, _: Any) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def do_tuple2(self, _: Any) -> None:
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def do_tuple3(self, _: Any) -> None:
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    def do_dict(self, _: Any) -> None:
        items = self._to_mark()
        self.stack.append({})
        self._add(items)

    def do_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._add([key, value])

    def do_setitems(self, _: Any) -> None:
        self._add(self._to_mark())

    def _add(self, flat: list[Any]) -> None:
        """Keys and values, in turn, into the mapping on top of the stack."""
        target = self.stack[-1]
        mapping = target.items if isinstance(target, Call) else target
        if not isinstance(mapping, dict):
            raise BadPickle("not a pickle of weights: it adds items to what is no mapping")
        # Hashing a tuple of tuples of tuples … a million deep would end the process.
        if not all(type(key) in (str, int) for key in flat[::2]):
            raise BadPickle("not a pickle of weights: a key is neither text nor number")
        mapping.update(zip(flat[::2], flat[1::2], strict=True))

    def do_append(self, _: Any) -> None:
        value = self.stack.pop()
        self._extend([value])

    def do_appends(self, _: Any) -> None:
        self._extend(self._to_mark())

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise BadPickle("not a pickle of weights: it appends to what is no list")
        self.stack[-1].extend(values)


_LITERALS = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8",
))  # fmt: skip
_FRESH: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
