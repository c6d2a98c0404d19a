"""Runs the blocks of a page that are marked as run, and compares what they print with the page.

``<!-- run -->`` before a fenced block marks it: a ``console`` block, whose commands begin with ``$``, or a ``python``
block, executed with the names of the blocks before it. ``<!-- run: full -->`` marks what takes long, and ``exit 1``
the exit code of the commands: ``<!-- run: full, exit 1 -->``. ``<!-- run: full, needs NAME -->`` is run where a package
is installed, in a test of its own, after the block marked as ``<!-- run: first -->``.

``python -m tests.docs.runner PAGE`` runs all blocks of a page and writes what they print into it.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"^<!-- run(?P<options>[^>\n]*) -->\n```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
VOLATILE = (
    (re.compile(r"\b(\d+ h )?(\d+ min )?\d+(\.\d+)? s\b"), "TIME"),
    (re.compile(r"\d+(\.\d+)? [kMG]B"), "SIZE"),
    (re.compile(r"\d+ of \d+ traces|\d+(\.\d+)? ?%"), "SHARE"),
    (re.compile(r"\S*\bruns/\S+"), "RUN"),
    # Rounding differs between processors: where an error is, and how large, but not which tensor has it.
    (re.compile(r"\[\w+ \d+(, \w+ \d+)*\]"), "[INDEX]"),
    (re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)? × tolerance"), "ERROR × tolerance"),
    (re.compile(r"[-+]?\d+\.\d+(e[-+]?\d+)?"), "NUMBER"),
    (re.compile(r"\d+ / \d+"), "COUNTS"),
)
"""What differs between two runs or two machines, and what it is compared as."""
LONGEST = 1200
"""Seconds that one command may take."""


class Block(NamedTuple):
    """A block that is run."""

    language: str
    body: str
    full: bool
    code: int
    line: int
    first: bool
    needs: str
    """A package that no stack has."""


def blocks(page: Path) -> list[Block]:
    """The marked blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [_block(found, text) for found in BLOCK.finditer(text)]


def _block(found: re.Match[str], text: str) -> Block:
    options = found["options"]
    code = re.search(r"exit (\d+)", options)
    needs = re.search(r"needs (\w+)", options)
    line = text.count("\n", 0, found.start("body")) + 1
    return Block(
        found["language"],
        found["body"],
        "full" in options,
        int(code[1]) if code else 0,
        line,
        "first" in options,
        needs[1] if needs else "",
    )


def commands(body: str) -> Iterator[tuple[str, str]]:
    """The commands of a ``console`` block, each with the output that stands behind it."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def prepare(folder: Path, cache: Path) -> dict[str, str]:
    """Makes a folder in which commands of the documentation find the fixtures, and leave nothing in the clone.

    Args:
        folder: where they are run.
        cache: the traces that they read and write.

    Returns:
        The environment for them.
    """
    for name in ("fixtures", "reports"):
        (folder / name).symlink_to(ROOT / name)
    cache.mkdir(parents=True, exist_ok=True)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "encdec-parity").symlink_to(cache)
    return {**os.environ, "XDG_CACHE_HOME": str(folder / ".cache"), "COLUMNS": "120", "NO_COLOR": "1"}


def execute(command: str, folder: Path, environment: Mapping[str, str], code: int) -> str:
    """What a command prints to standard output.

    Raises:
        AssertionError: it ends with another exit code.
    """
    program, *arguments = shlex.split(command)
    assert program == "parity", f"{command}: only parity is run here"
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from parity.__main__ import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", start, *arguments],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert ended.returncode == code, f"{command}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}"
    return "".join(f"{line.rstrip()}\n" for line in ended.stdout.strip("\n").splitlines())


def comparable(output: str) -> str:
    """An output without what differs between two runs."""
    lines = [line.rstrip() for line in output.strip("\n").splitlines()]
    text = "\n".join(lines)
    for pattern, name in VOLATILE:
        text = pattern.sub(name, text)
    return re.sub(r" {2,}", "  ", text)


def run_page(page: Path, folder: Path, environment: Mapping[str, str], full: bool, package: str = "") -> None:
    """Runs the blocks of a page, those that take long too with ``full``.

    Args:
        package: run only the first block and those that need this package; by default those that need none.

    Raises:
        AssertionError: an output is not that of the page, with the difference.
    """
    names: dict[str, Any] = {}
    for block in blocks(page):
        if (block.full and not full) or (block.needs != package and not block.first):
            continue
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.body, str(page), "exec"), names)
            continue
        for command, shown in commands(block.body):
            output = execute(command, folder, environment, block.code)
            assert comparable(output) == comparable(shown), f"{page.name}: {command}\n" + "\n".join(
                difflib.unified_diff(comparable(shown).splitlines(), comparable(output).splitlines(), "page", "now")
            )


def renewed(page: Path, folder: Path, environment: Mapping[str, str]) -> str:
    """A page with the outputs of its ``console`` blocks as they are now."""

    def renew(found: re.Match[str]) -> str:
        block = _block(found, found.string)
        if block.language != "console":
            return found[0]
        body = "".join(
            f"$ {command}\n{execute(command, folder, environment, block.code)}" for command, _ in commands(block.body)
        )
        return f"<!-- run{found['options']} -->\n```console\n{body}```"

    return BLOCK.sub(renew, page.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.docs.runner", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "encdec-parity")
    given = parser.parse_args()
    for page in given.pages:
        with tempfile.TemporaryDirectory() as folder:
            environment = prepare(Path(folder), given.cache)
            page.write_text(renewed(page, Path(folder), environment), encoding="utf-8")


if __name__ == "__main__":
    main()
