"""Reads the list of checkpoints of a fleet: one directory or hub id a line, with an optional revision."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parity.core.errors import InputError

LONGEST = 4096
"""Characters of a line."""
_TOKEN = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True)
class Target:
    """One checkpoint of the list."""

    source: str
    """A directory or hub id, as the list has it; a directory that exists without ``.``, ``..`` and a last slash."""
    revision: str = ""
    """A branch, tag or commit of the hub; empty: the default branch."""

    @property
    def label(self) -> str:
        return f"{self.source} {self.revision}".rstrip()


@dataclass(frozen=True)
class Job:
    """One task of a fleet: a checkpoint on a device."""

    target: Target
    device: str = "cpu"

    @property
    def name(self) -> str:
        """Unique in a fleet, the same in each run, and a valid file name: ``bart-odd-1f2e3d4c5b``."""
        last = re.sub(r"[^\w.-]+", "_", "--".join(Path(self.target.source).parts[-2:]), flags=re.ASCII)
        key = "\0".join((self.target.source, self.target.revision, self.device))
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{last.lstrip('._-')[:80] or 'checkpoint'}-{digest[:10]}"


@dataclass(frozen=True)
class TargetList:
    """The content of a list."""

    targets: Sequence[Target]
    """Each once, in the order of the list."""
    repeated: Sequence[tuple[str, int]]
    """Labels that the list has more than once, and how often."""
    wrong: Sequence[tuple[Target, str]]
    """Lines that name no checkpoint, with the reason; they are not among the targets."""


def read_targets(path: Path) -> TargetList:
    """Reads a list.

    A line is a directory or hub id and, after white space, a revision. A directory with spaces in its name stands in
    double quotes. What follows ``#`` at the start of a line or after white space is a comment.

    Raises:
        InputError: the file cannot be read, or names no checkpoint.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8") from error
    counts: Counter[Target] = Counter()
    wrong: list[tuple[Target, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = _words(line)
        if not words:
            continue
        where = f"{path}:{number}"
        if len(line) > LONGEST:
            wrong.append((Target(line[:80]), f"{where}: longer than {LONGEST} characters"))
        elif len(words) > 2:
            wrong.append((Target(line.strip()), f"{where}: more than a checkpoint and a revision"))
        else:
            counts[Target(_normal(words[0]), *words[1:])] += 1
    if not counts:
        raise InputError(f"{path}: names no checkpoint")
    repeated = [(target.label, count) for target, count in counts.items() if count > 1]
    return TargetList(list(counts), repeated, list(dict.fromkeys(wrong)))


def _words(line: str) -> list[str]:
    line = re.sub(r"(^|\s)#.*$", "", line)
    return [quoted or plain for quoted, plain in _TOKEN.findall(line) if quoted or plain]


def _normal(source: str) -> str:
    """A directory that is here by one name, so that ``model`` and ``./model/`` are the same; anything else as it is."""
    path = Path(source).expanduser()
    try:
        return str(path.absolute()) if path.is_dir() else source
    except (OSError, ValueError):
        return source
