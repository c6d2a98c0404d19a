"""Sources of examples: pages given as files, and the docstrings of a stack's transformers."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from parity.core.stacks import Stack
from parity.report.coverage import DOCUMENTED
from parity.tools.examples import DocsError
from parity.tools.examples.model import Source
from parity.tools.examples.pages import blocks_of
from parity.tools.examples.process import environment_of, make_home

SCRIPT = Path(__file__).with_name("docstrings.py")
LIMIT = 300.0
"""Time limit in seconds for importing every documented class of a stack."""


@dataclass(frozen=True)
class Installed:
    """What is installed in a stack."""

    python: str
    versions: dict[str, str]
    sources: tuple[Source, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)
    """Documented classes it does not have, with the reasons."""


def look_into(stack: Stack, *, docstrings: bool, classes: Sequence[str] = DOCUMENTED) -> Installed:
    """Queries a stack's versions and, if requested, the docstrings of the documented classes.

    Raises:
        DocsError: the interpreter cannot be started, has no transformers, or does not respond.
    """
    command = [str(stack.interpreter), str(SCRIPT), *(classes if docstrings else ())]
    try:
        with tempfile.TemporaryDirectory(prefix="parity-docs-") as folder:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=LIMIT,
                env=environment_of(stack, make_home(Path(folder))),
                check=False,
            )
    except OSError as error:
        raise DocsError(f"{stack.interpreter}: cannot be started as stack {stack.name}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise DocsError(f"{stack.interpreter}: stack {stack.name} did not answer within {LIMIT:g} s") from error
    if ended.returncode or not ended.stdout.strip():
        last = (ended.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
        raise DocsError(f"{stack.interpreter}: stack {stack.name} cannot show its docstrings: {last}")
    try:
        found = json.loads(ended.stdout.splitlines()[-1])
    except ValueError as error:
        raise DocsError(f"{stack.interpreter}: stack {stack.name} does not answer as a Python does") from error
    sources = [
        docstring(".".join(filter(None, (name, member))), text)
        for name, members in found["members"].items()
        for member, text in members
    ]
    return Installed(
        found["python"], found["versions"], tuple(source for source in sources if source.blocks), found["absent"]
    )


def docstring(name: str, text: str) -> Source:
    """The blocks of a docstring. A difference to the number of statements found by doctest, which does not support
    fences, is noted: the two must agree."""
    blocks = tuple(blocks_of(text))
    ours = sum(len(block.statements) for block in blocks if block.kind == "session")
    try:
        theirs = len(doctest.DocTestParser().get_examples(text))
    except ValueError as error:
        return Source(name, "docstring", blocks, (f"doctest cannot read it: {error}",))
    return Source(name, "docstring", blocks, (f"doctest finds {theirs} statements, not {ours}",) * (ours != theirs))


def names_of(paths: Sequence[Path]) -> dict[Path, str]:
    """A short name for each page: its file name, with as many folders as are needed to make it unique."""
    names = {path: path.name or str(path) for path in paths}
    for path, name in list(names.items()):
        if list(names.values()).count(name) > 1:
            names[path] = os.path.normpath(path)
    return names
