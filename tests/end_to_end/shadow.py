"""A copy of the installed transformers in which one module is edited; everything else in it is a link."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path


def shadow_transformers(directory: Path, module: str, appended: str) -> Path:
    """Makes ``directory/transformers`` with code appended to one module.

    Args:
        module: path within the package, ``models/bart/modeling_bart.py``.

    Returns:
        What to put in PYTHONPATH.
    """
    return _shadow(directory, module, lambda source: f"{source}\n\n{appended}")


def shadow_line(directory: Path, module: str, line: str, instead: str) -> Path:
    """Makes ``directory/transformers`` with one line of one module replaced, which stands there once.

    Args:
        line: the line without its indentation, or the lines before it and then itself, to tell it from others.
        instead: what the last of these lines becomes.
    """

    def edited(source: str) -> str:
        lines, wanted = source.split("\n"), line.split("\n")
        stripped = [text.strip() for text in lines]
        found = [i for i in range(len(lines)) if stripped[i : i + len(wanted)] == wanted]
        assert len(found) == 1, f"{module}: {wanted[-1]!r} stands there {len(found)} times"
        place = found[0] + len(wanted) - 1
        lines[place] = lines[place].replace(wanted[-1], instead)
        return "\n".join(lines)

    return _shadow(directory, module, edited)


def shadow_interpreter(directory: Path) -> Path:
    """A command in ``directory`` that is the running interpreter, with the packages in ``directory`` before others."""
    command = directory / "python"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{directory}" exec "{sys.executable}" "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return command


def stacks_of_copies(folder: Path, make: Callable[[str, Path], object], names: Iterable[str]) -> list[str]:
    """Options that add a stack for each name: the running interpreter with the copy that ``make(name, path)`` makes."""
    options = []
    for name in names:
        place = folder / name
        make(name, place)
        options += ["--stack", f"{name}={shadow_interpreter(place)}"]
    return options


def _shadow(directory: Path, module: str, edited: Callable[[str], str]) -> Path:
    original = Path(importlib.util.find_spec("transformers").origin).parent
    folder = directory / "transformers"
    folder.mkdir(parents=True)
    *parents, name = Path(module).parts
    for parent in [*parents, name]:
        for entry in original.iterdir():
            if entry.name not in (parent, "__pycache__"):
                (folder / entry.name).symlink_to(entry)
        original /= parent
        folder /= parent
        if parent != name:
            folder.mkdir()
    folder.write_text(edited(original.read_text(encoding="utf-8")), encoding="utf-8")
    return directory
