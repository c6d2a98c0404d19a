"""``parity init``: what a repository with a checkpoint of its own needs, written without replacing anything."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from parity.core.errors import InputError
from parity.core.files import write_whole
from parity.core.project_config import FILE, SECTION
from parity.core.resources import data
from parity.core.version import __version__

WORKFLOW = Path(".github/workflows/parity.yml")
BASELINE = "parity-baseline.json"
TEMPLATE = "tools/init/workflow.yml"
IGNORED = "runs/"
WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "tf_model*.h5", "flax_model*.msgpack", "*.index.json")
NOT_SEARCHED = {"node_modules", "runs", "venv", "__pycache__", "site-packages"}
DEPTH = 4


@dataclass(frozen=True)
class Change:
    """One file: what it holds, what it would hold, and whether that was written."""

    path: Path
    before: str | None
    """None where there was no such file."""
    after: str
    written: bool

    @property
    def diff(self) -> str:
        """The difference as a unified diff."""
        before, after = ((text or "").splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(before, after, f"a/{self.path}", f"b/{self.path}"))


def init(root: Path, checkpoints: Sequence[str] = (), force: bool = False) -> list[Change]:
    """Writes ``[tool.parity]`` into ``pyproject.toml``, the workflow, and a line into ``.gitignore``.

    Args:
        root: the repository's top folder.
        checkpoints: directories or hub ids; by default the directories below ``root`` that hold one.
        force: replace a section or a workflow that is there and differs.

    Returns:
        A change for each of the three files.

    Raises:
        InputError: no checkpoint is named and none is found, or the section cannot be replaced.
        OSError: a file cannot be written.
    """
    given = [_relative(root, each) for each in checkpoints] or [str(each.relative_to(root)) for each in found(root)]
    if not given:
        raise InputError("no checkpoint found below this folder: parity init --checkpoint DIR")
    changes = [_section(root, given, force), _workflow(root, force), _ignored(root)]
    for change in changes:
        if change.written:
            write_whole(root / change.path, change.after)
    return changes


def found(root: Path) -> list[Path]:
    """The directories below a folder that hold a config and weights."""
    return sorted(_walk(root, DEPTH))


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / "config.json").is_file() and any(next(folder.glob(each), None) for each in WEIGHTS):
        yield folder
        return
    if depth:
        for entry in os.scandir(folder):
            hidden = entry.name.startswith(".") or entry.name in NOT_SEARCHED
            if not hidden and entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), depth - 1)


def _relative(root: Path, given: str) -> str:
    path = Path(given).expanduser()
    if not path.exists():
        return given
    return os.path.relpath(path, root)


def _section(root: Path, checkpoints: Sequence[str], force: bool) -> Change:
    path = root / FILE
    before = path.read_text(encoding="utf-8") if path.exists() else None
    section = (
        f"{SECTION}\ncheckpoints = {json.dumps(list(checkpoints), ensure_ascii=False)}\n"
        f'baseline = "{BASELINE}"\n# backends, checks, stacks, known-issues, memory, jobs, …: parity audit --help\n'
    )
    try:
        tool = tomllib.loads(before or "").get("tool", {})
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}") from None
    if "parity" not in tool:
        joined = f"{before.rstrip()}\n\n{section}" if before and before.strip() else section
        return Change(Path(FILE), before, joined, True)
    after = _replaced(before or "", section)
    if after is None:
        raise InputError(f"{path}: tool.parity is not written as {SECTION}; change it by hand")
    return Change(Path(FILE), before, after, force and after != before)


def _replaced(text: str, section: str) -> str | None:
    """The text with another section; None where that would change anything else."""
    lines = text.splitlines(keepends=True)
    heads = [number for number, line in enumerate(lines) if line.strip() == SECTION]
    if len(heads) != 1:
        return None
    begin = heads[0]
    end = next((number for number in range(begin + 1, len(lines)) if lines[number].startswith("[")), len(lines))
    after = "".join([*lines[:begin], section, *(["\n", *lines[end:]] if end < len(lines) else [])])
    try:
        was, now = tomllib.loads(text), tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        return None
    for each in (was, now):
        each["tool"].pop("parity")
    return after if was == now else None


def _workflow(root: Path, force: bool) -> Change:
    path = root / WORKFLOW
    before = path.read_text(encoding="utf-8") if path.exists() else None
    after = data(TEMPLATE).read_text(encoding="utf-8").replace("@VERSION@", __version__).replace("@BASELINE@", BASELINE)
    return Change(WORKFLOW, before, after, before is None or (force and before != after))


def _ignored(root: Path) -> Change:
    path = root / ".gitignore"
    before = path.read_text(encoding="utf-8") if path.exists() else None
    lines = (before or "").splitlines()
    if any(line.strip().strip("/") == IGNORED.strip("/") for line in lines):
        return Change(Path(".gitignore"), before, before or "", False)
    begun = before if not before or before.endswith("\n") else f"{before}\n"
    return Change(Path(".gitignore"), before, f"{begun or ''}{IGNORED}\n", True)
