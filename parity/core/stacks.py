"""Stacks: the table of pinned versions, and the interpreter of each on this machine."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.core.backends import audited, offered_by
from parity.core.errors import InputError
from parity.core.nearest import nearest
from parity.core.resources import data, in_clone

SWITCHES = ("USE_TORCH", "USE_TF", "USE_FLAX", "USE_JAX")
"""Environment variables that restrict transformers to some frameworks, read when it is imported."""
MAIN_ROW = "PARITY_MAIN"
"""Environment variable: the row of the table that the stack ``main`` was made from (nox sets it)."""
STAMP = "parity-stack.json"
"""Written last into a stack's environment; without it the installation was begun and not completed."""


class StackError(InputError):
    """A stack cannot be found; the message says which and how to make it."""


@dataclass(frozen=True)
class Row:
    """One stack of ``stacks.toml``: its purpose and its pins."""

    name: str
    purpose: str
    python: str
    """Supported Python versions, ``>=3.11,<3.14``."""
    backends: tuple[str, ...]
    """Backends that can run with these pins (``parity.core.backends.offered_by``)."""
    requires: tuple[str, ...]
    references: bool = False
    """Whether the references run there, beside the command itself."""
    examples: tuple[str, ...] = ()
    """Additional packages that documented examples import."""
    no_deps: tuple[str, ...] = ()
    """Installed without their own dependencies."""
    environment: tuple[tuple[str, str], ...] = ()
    """Environment variables of its processes."""
    unset: tuple[str, ...] = ()
    """Environment variables its processes must not inherit."""


@dataclass(frozen=True)
class Stack:
    """A stack on this machine."""

    name: str
    interpreter: Path
    environment: dict[str, str]
    """Environment variables to set; an empty string removes one."""
    backends: tuple[str, ...]
    """Backends it may offer; the probe checks which libraries are installed."""


def table() -> dict[str, Row]:
    """The rows of ``stacks.toml`` by name."""
    content = tomllib.loads(data("core/data/stacks.toml").read_text(encoding="utf-8"))
    return {name: _row(name, fields) for name, fields in content.items()}


def _row(name: str, fields: dict[str, Any]) -> Row:
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    fields["environment"] = tuple(fields.get("environment", {}).items())
    fields["backends"] = tuple(offered_by(fields["requires"], fields.get("references", False)))
    return Row(name, **fields)


def resolve_stack(text: str) -> Stack:
    """Resolves a stack given by the user.

    Args:
        text: ``main`` (``main_interpreter``), the name of another row of the table, ``PATH/TO/PYTHON`` (called by its
            environment's folder), or ``NAME=PATH/TO/PYTHON``.

    Raises:
        StackError: the file or stack does not exist; the message says how to create it.
    """
    if text == "main":
        return _of_row(main_row(), "main", main_interpreter())
    name, _, path = text.rpartition("=")
    if name or "/" in path or os.sep in path:
        return _of_path(name, Path(path).expanduser())
    row = find_row(text)
    found = find(row.name)
    if found is None:
        raise StackError(f"{text}: not installed; to create it: {how_to_make(row)}")
    return _of_row(row, row.name, found)


def find_row(name: str) -> Row:
    """The row of a stack.

    Raises:
        StackError: the table has none of that name; the message has the nearest.
    """
    rows = table()
    if name not in rows:
        close = nearest(name, rows)
        meant = f"did you mean {close}? " if close else ""
        known = ", ".join(rows)
        raise StackError(f"{name}: no such stack; {meant}there are {known}, or a path to a Python interpreter")
    return rows[name]


def main_row() -> Row:
    """What ``main`` is made from: the row of its name, or that which ``PARITY_MAIN`` names.

    Raises:
        StackError: the table has no such row.
    """
    return find_row(os.environ.get(MAIN_ROW) or "main")


def main_interpreter() -> Path:
    """Where the oracle and the references run: the running interpreter where it has PyTorch, else the stack's own.

    ``PARITY_STACK_MAIN`` names another. A command that ``pipx`` or ``uvx`` installed has no framework;
    ``parity stack make main`` makes an environment that has. Where there is none either, it is the running interpreter,
    and the capture reports what is missing.
    """
    running = Path(sys.executable)
    if os.environ.get(variable("main")):
        return find("main") or running
    try:
        importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return find(main_row().name) or running
    return running


def find(name: str) -> Path | None:
    """A named stack's interpreter: from ``PARITY_STACK_<NAME>``, else where nox makes it in this clone, else where
    ``parity stack make`` does.

    Raises:
        StackError: the variable is set and names no file.
    """
    named = os.environ.get(variable(name))
    if named:
        if not Path(named).is_file():
            raise StackError(f"{named}: no such interpreter (from {variable(name)})")
        return Path(named)
    for folder in (data("").parent / ".nox" / "stacks" / name, made_folder(name)):
        python = interpreter_in(folder)
        if python.is_file() and (folder / STAMP).is_file():
            return python
    return None


def made_folder(name: str) -> Path:
    """Where ``parity stack make`` puts a stack's environment: below the user's data directory."""
    import platformdirs

    return Path(platformdirs.user_data_dir("encdec-parity")) / "stacks" / name


def interpreter_in(folder: Path) -> Path:
    """The interpreter of a virtual environment, whether it is there or not."""
    return folder / "bin" / "python"


def how_to_make(row: Row) -> str:
    """What to type for a stack that is not here: in a clone nox makes it, elsewhere the command does."""
    make = f"python -m nox -s stack-{row.name}" if in_clone() else f"parity stack make {row.name}"
    return f"{make}, or set {variable(row.name)}=PATH/TO/PYTHON"


def variable(name: str) -> str:
    """The environment variable for a stack's interpreter: ``PARITY_STACK_DOCS_4_37``."""
    return "PARITY_STACK_" + "".join(letter if letter.isalnum() else "_" for letter in name.upper())


def _of_row(row: Row, name: str, interpreter: Path) -> Stack:
    environment = {**dict(row.environment), **dict.fromkeys(row.unset, "")}
    return Stack(name, interpreter, environment, row.backends)


def _of_path(name: str, interpreter: Path) -> Stack:
    if not interpreter.is_file():
        raise StackError(f"{interpreter}: no such interpreter")
    # Not resolved: Python finds a virtual environment through the link it is started by.
    interpreter = Path(os.path.abspath(interpreter))  # noqa: PTH100
    name = name or interpreter.parent.parent.name or interpreter.name
    if name == "main":
        raise StackError(f"{interpreter}: 'main' is the oracle's stack: name this NAME=PATH, or set {variable(name)}")
    row = table().get(name)
    if row is not None:
        return _of_row(row, name, interpreter)
    return Stack(name, interpreter, {}, tuple(audited()))


def as_markdown() -> str:
    """The table in Markdown, as in CONTRIBUTING.md."""
    lines = ["| stack | Python | pins | backends | for |", "|---|---|---|---|---|"]
    for row in table().values():
        pins, backends = ", ".join((*row.requires, *row.no_deps)), ", ".join(row.backends)
        lines.append(f"| `{row.name}` | {row.python} | {pins} | {backends} | {row.purpose} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
