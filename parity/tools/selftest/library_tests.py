"""What a library's own tests say of a mutation: ``parity selftest --library hf-torch --against DIR``.

``DIR`` is a checkout of the library's repository, of the installed version or a near one: only tests that pass with the
installed version are run. As for the checks, only tests that execute a mutation's line run, and the first failure
ends it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from parity.capture.task import CaptureError
from parity.core.errors import InputError


class SelectedTests(NamedTuple):
    """How many tests there are: all that were collected, those that pass, and those of them that are quick enough."""

    collected: int
    passing: int
    selected: int


class OwnResult(NamedTuple):
    """A mutation's outcome in the library's tests: ``detected``, ``passed`` or ``not executed``; and the failing
    test."""

    mutation: str
    outcome: str
    test: str


def run_library_tests(
    checkout: Path, files: Sequence[str], modules: Sequence[str], names: Sequence[str]
) -> Iterator[SelectedTests | OwnResult]:
    """Runs the library's tests with each mutation. The first result tells how many tests are run.

    Args:
        files: the test files, in the checkout.
        modules: all modules of ``names``.
        names: of mutations.

    Raises:
        InputError: the checkout lacks a test file, or its source is imported in place of the installed one.
        CaptureError: the tests could not be run.
    """
    for each in files:
        if not (checkout / each).is_file():
            raise InputError(f"{checkout}: has no {each}; it is not a checkout of the library's repository")
    reader, writer = os.pipe()
    with tempfile.TemporaryFile("w+") as errors, os.fdopen(reader, encoding="utf-8") as results:
        worker = "parity.tools.selftest.library_tests_worker"
        process = subprocess.Popen(
            [sys.executable, "-m", worker, str(writer), ",".join(modules), *files],
            cwd=checkout,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=errors,
            stderr=subprocess.STDOUT,
            pass_fds=[writer],
            text=True,
        )
        os.close(writer)
        try:
            yield from _results(process, results, names)
        except EOFError as error:
            errors.seek(0)
            raise CaptureError(f"{checkout}: its tests cannot be run: {_cause(errors.read())}") from error
        finally:
            process.kill()
            process.communicate()


def _cause(output: str) -> str:
    """The line of pytest's output that says why: its first error, or else the last line."""
    said = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in said if line.startswith(("E  ", "ERROR "))), said[-1] if said else "no output")


def _environment() -> dict[str, str]:
    """Without a network, with one thread, and with this package."""
    package = str(Path(__file__).parents[3])
    known = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **known, "PYTHONPATH": path}


def _results(
    process: subprocess.Popen[str], results: Iterator[str], names: Sequence[str]
) -> Iterator[SelectedTests | OwnResult]:
    """Raises EOFError if the process ends early, and InputError for what it cannot run."""
    first = _next(results)
    if "problem" in first:
        raise InputError(first["problem"])
    yield SelectedTests(first["tests"], first["passing"], first["quick"])
    assert process.stdin is not None
    for name in names:
        process.stdin.write(f"{name}\n")
        process.stdin.flush()
        said = _next(results)
        yield OwnResult(said["mutation"], said["outcome"], said.get("test", ""))
    process.stdin.close()


def _next(results: Iterator[str]) -> dict:
    for line in results:
        return json.loads(line)
    raise EOFError
