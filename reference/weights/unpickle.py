"""Reads the pickle inside a PyTorch file without executing it.

A pickle is a program for a stack machine. This interpreter implements only the instructions that ``torch.save`` writes,
and represents function calls by name and arguments: nothing is imported or called. Time and memory are linear in the
size of the pickle, and the number of instructions is limited, because one byte can create a list object of 56 bytes.
Source: Python's ``pickletools`` (the list ``opcodes``), for the instructions and their arguments.
"""

from __future__ import annotations

import codecs
import gc
import struct
from collections.abc import Callable
from io import BufferedIOBase
from typing import Any

MOST_INSTRUCTIONS = 4_000_000
"""The maximum number of instructions; a state dict of 100,000 tensors has two and a half million."""
LONGEST_TEXT = 1 << 20
"""The maximum size of one string, number or name in bytes; a tensor name has about sixty."""
_MOST_DIGITS = 1000
LARGEST_KEY = 1 << 60
"""The limit for numbers as keys: many larger numbers have the same hash, which makes lookups linear."""


class ForbiddenGlobal(ValueError):
    """The pickle refers to a global that weight files do not need; ``name`` is ``module.name``."""

    def __init__(self, name: str) -> None:
        self.name = name if len(name) <= 200 else f"{name[:200]}…"
        super().__init__(f"the pickle refers to {self.name}, which weight files do not need; nothing was executed")


class BadPickle(ValueError):
    """The bytes are not a pickle, or have an instruction that weight files do not need."""


class Global:
    """A global that the pickle refers to."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Call:
    """A function call in the pickle; ``items`` are entries that the pickle adds to the result afterwards, ``state`` is
    what it sets as the result's state."""

    __slots__ = ("arguments", "function", "items", "state")

    def __init__(self, function: str, arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments = function, arguments
        self.items: dict[Any, Any] = {}
        self.state: Any = None


class Persistent:
    """A storage, which torch saves outside the pickle."""

    __slots__ = ("content",)

    def __init__(self, content: Any) -> None:
        self.content = content


def load(file: BufferedIOBase, permitted: Callable[[str], bool]) -> Any:
    """The value of the pickle that starts at the file's position; afterwards the position is after its end.

    Args:
        permitted: whether a global, ``module.name``, is permitted.

    Raises:
        ForbiddenGlobal: the pickle refers to another name.
        BadPickle: truncated, garbage, endless, or not what ``torch.save`` writes.
    """
    collecting = gc.isenabled()
    # Garbage collection would take most of the time, because millions of objects are created and none is garbage.
    gc.disable()
    try:
        return _Machine(file, permitted).run()
    except (ForbiddenGlobal, BadPickle):
        raise
    # An empty stack or an undecodable string raises these on garbage; all are reported as the same error.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise BadPickle(f"not a pickle of weights: {type(error).__name__}: {str(error)[:100]}") from error
    finally:
        if collecting:
            gc.enable()


class _Machine:
    """The interpreter: stack, memo, and one method for each kind of instruction."""

    def __init__(self, file: BufferedIOBase, permitted: Callable[[str], bool]) -> None:
        self.file, self.permitted = file, permitted
        self.stack: list[Any] = []
        self.marks: list[int] = []
        """The stack size at each mark, in order of the marks."""
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        read, steps = self.file.read, _STEPS
        for _ in range(MOST_INSTRUCTIONS):
            code = read(1)
            if code == b".":
                return self.stack.pop()
            step = steps.get(code)
            if step is None:
                what = f"the instruction {code!r}" if code else "no end"
                raise BadPickle(f"not a pickle of weights: it has {what}")
            step(self)
        raise BadPickle(f"not a pickle of weights: more than {MOST_INSTRUCTIONS:,} instructions")

    def take(self, count: int) -> bytes:
        """Reads a number of bytes from the file."""
        if not 0 <= count <= LONGEST_TEXT:
            raise BadPickle(f"not a pickle of weights: a value of {count} bytes")
        found = self.file.read(count)
        if len(found) != count:
            raise BadPickle("not a pickle of weights: it ends within a value")
        return found

    def number(self, layout: struct.Struct) -> Any:
        return layout.unpack(self.take(layout.size))[0]

    def line(self) -> bytes:
        """Reads up to the end of the line."""
        found = self.file.readline(LONGEST_TEXT)
        if not found.endswith(b"\n"):
            raise BadPickle("not a pickle of weights: a line without an end")
        return found[:-1]

    def digits(self) -> str:
        """A decimal number up to the end of the line."""
        if len(found := self.line()) > _MOST_DIGITS:
            raise BadPickle(f"not a pickle of weights: a number of {len(found)} digits")
        return found.decode("ascii")

    def named(self) -> None:
        """A module and a name, one line each."""
        module, name = self.line().decode(), self.line().decode()
        self.refer(f"{module}.{name}")

    def items(self) -> list[Any]:
        """Removes and returns all values above the last mark, and removes the mark."""
        at = self.marks.pop()
        found = self.stack[at:]
        del self.stack[at:]
        return found

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def refer(self, name: str) -> None:
        if not self.permitted(name):
            raise ForbiddenGlobal(name)
        self.stack.append(Global(name))

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or type(arguments) is not tuple:
            raise BadPickle(f"not a pickle of weights: it calls {type(function).__name__}")
        self.stack.append(Call(function.name, arguments))

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def pop(self) -> None:
        # No values above the mark: the mark itself is popped.
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def put(self, index: int) -> None:
        if not 0 <= index <= MOST_INSTRUCTIONS:
            raise BadPickle("not a pickle of weights: a memo index beyond its length")
        self.memo[index] = self.stack[-1]

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise BadPickle("not a pickle of weights: a name that is not a string")
        self.refer(f"{module}.{name}")

    def inst(self) -> None:
        self.named()
        raise BadPickle("not a pickle of weights: it has the instruction INST")

    def build(self) -> None:
        # Of a state dict the state is torch's ``_metadata`` (versions of modules), which does not affect weights.
        state = self.stack.pop()
        if type(self.stack[-1]) is not Call:
            raise BadPickle("not a pickle of weights: it sets the state of an object that has none")
        self.stack[-1].state = state

    def add(self, flat: list[Any]) -> None:
        """Adds alternating keys and values to the mapping on top of the stack."""
        target = self.stack[-1]
        mapping = target.items if type(target) is Call else target
        if type(mapping) is not dict:
            raise BadPickle("not a pickle of weights: it adds items to an object that is not a mapping")
        # Hashing a tuple nested a million levels deep would crash the process.
        for key in flat[::2]:
            if type(key) is not str and not (type(key) is int and abs(key) < LARGEST_KEY):
                raise BadPickle("not a pickle of weights: a key is neither text nor a number of usual size")
        mapping.update(zip(flat[::2], flat[1::2], strict=True))

    def extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise BadPickle("not a pickle of weights: it appends to an object that is not a list")
        self.stack[-1].extend(values)

    def last(self, count: int) -> None:
        """Replaces the last values by a tuple of them."""
        if len(self.stack) < count:
            raise BadPickle("not a pickle of weights: stack underflow")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def dictionary(self) -> None:
        items = self.items()
        self.stack.append({})
        self.add(items)

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.add([key, value])


def _pushes(read: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(read(m))


def _binary(layout: str, after: Callable[[_Machine, Any], Any] | None = None) -> Callable[[_Machine], Any]:
    """Reads a number in this format and returns it, or passes it to ``after`` as a length."""
    packed = struct.Struct(layout)
    return (lambda m: m.number(packed)) if after is None else (lambda m: after(m, m.number(packed)))


def _text(m: _Machine, count: int) -> str:
    return m.take(count).decode("utf-8", "surrogatepass")


def _long(m: _Machine, count: int) -> int:
    return int.from_bytes(m.take(count), "little", signed=True)


def _literal(m: _Machine) -> str:
    """STRING: a quoted text with escapes."""
    line = m.line()
    if len(line) < 2 or line[0] != line[-1] or line[0] not in b"\"'":
        raise BadPickle("not a pickle of weights: a text without quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("ascii")


def _integer(m: _Machine) -> int:
    """INT, which also encodes true and false."""
    digits = m.digits()
    return {"00": False, "01": True}[digits] if digits in ("00", "01") else int(digits)


_take, _latin = _Machine.take, lambda m, count: m.take(count).decode("latin-1")
_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": lambda m: m.take(1),
    b"\x95": lambda m: m.take(8),  # PROTO, FRAME
    b"I": _pushes(_integer),
    b"L": _pushes(lambda m: int(m.digits().removesuffix("L"))),
    b"J": _pushes(_binary("<i")),
    b"K": _pushes(_binary("<B")),
    b"M": _pushes(_binary("<H")),
    b"\x8a": _pushes(_binary("<B", _long)),
    b"\x8b": _pushes(_binary("<i", _long)),
    b"F": _pushes(lambda m: float(m.digits())),
    b"G": _pushes(_binary(">d")),
    b"S": _pushes(_literal),
    b"T": _pushes(_binary("<i", _latin)),
    b"U": _pushes(_binary("<B", _latin)),
    b"V": _pushes(lambda m: m.line().decode("raw-unicode-escape")),
    b"X": _pushes(_binary("<I", _text)),
    b"\x8c": _pushes(_binary("<B", _text)),
    b"\x8d": _pushes(_binary("<Q", _text)),
    b"B": _pushes(_binary("<I", _take)),
    b"C": _pushes(_binary("<B", _take)),
    b"\x8e": _pushes(_binary("<Q", _take)),
    b"N": _pushes(lambda m: None),
    b"\x88": _pushes(lambda m: True),
    b"\x89": _pushes(lambda m: False),
    b"}": _pushes(lambda m: {}),
    b"]": _pushes(lambda m: []),
    b")": _pushes(lambda m: ()),
    b"(": _Machine.mark,
    b"0": _Machine.pop,
    b"g": _pushes(lambda m: m.memo[int(m.digits())]),
    b"h": _pushes(lambda m: m.memo[m.take(1)[0]]),
    b"j": _pushes(_binary("<I", lambda m, index: m.memo[index])),
    b"p": lambda m: m.put(int(m.digits())),
    b"q": lambda m: m.put(m.take(1)[0]),
    b"r": _binary("<I", _Machine.put),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"c": _Machine.named,
    b"\x93": _Machine.stack_global,
    b"i": _Machine.inst,
    b"Q": lambda m: m.stack.append(Persistent(m.stack.pop())),
    b"R": _Machine.call,
    b"\x81": _Machine.call,
    b"b": _Machine.build,
    b"t": lambda m: m.push(tuple(m.items())),
    b"l": lambda m: m.push(m.items()),
    b"\x85": lambda m: m.last(1),
    b"\x86": lambda m: m.last(2),
    b"\x87": lambda m: m.last(3),
    b"d": _Machine.dictionary,
    b"s": _Machine.set_item,
    b"u": lambda m: m.add(m.items()),
    b"a": lambda m: m.extend([m.stack.pop()]),
    b"e": lambda m: m.extend(m.items()),
}
"""The implementation of each instruction by its byte, except STOP."""
