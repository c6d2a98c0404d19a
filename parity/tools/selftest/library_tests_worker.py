"""The process that runs a library's own tests with a mutation.

It collects the tests once. Each mutation is applied in a forked process, which runs the tests that pass without it and
execute its line, and ends at the first that fails. This process itself runs none: a fork of a process that has run a
backward pass cannot run another.

``python -m parity.tools.selftest.library_tests_worker RESULTS MODULE,… FILE…`` reads mutations from standard input, a
line each, and writes JSON Lines to the descriptor ``RESULTS``.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from parity.backends.mutants.library_source import apply, module_of, mutations, source_file
from parity.tools.selftest.executed import Lines, executed_lines

SLOW = 5.0
"""Seconds: tests that take longer are left out, such as those that compile."""
PATIENCE = 3.0
"""A mutation is given so many times the duration of its tests without it …"""
AT_LEAST = 20.0
"""… and so many seconds, and is detected if they do not end."""
MEMORY = 16 * 2**30
"""Bytes of address space for one mutation."""

Message = dict[str, Any]


class Loop:
    """Takes the place of pytest's loop over the tests.

    Args:
        results: the descriptor for results.
        modules: what is mutated.
    """

    def __init__(self, results: int, modules: list[str]) -> None:
        self.results, self.modules = results, modules
        self.failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of a part of a test: its whole is reported by ``_run``."""
        self.failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measures the tests, then runs those of each mutation; ends at once if a file cannot be collected."""
        if session.testsfailed:
            return True
        items = {item.nodeid: item for item in session.items}
        durations = {said["test"]: said["seconds"] for said in in_fork(lambda: self._passing(items.values()))}
        quick = [items[name] for name, seconds in durations.items() if seconds <= SLOW]
        lines = {said["test"]: said["lines"] for said in in_fork(lambda: self._executing(quick))}
        self._write({"tests": len(items), "passing": len(durations), "quick": len(lines)})
        known = {module: {each.name: each.line for each in mutations(module)} for module in self.modules}
        for name in map(str.strip, sys.stdin):
            module = module_of(name)
            reaching = [each for each, own in lines.items() if known[module][name] in own.get(module, ())]
            self._write({"mutation": name, **self._with(name, [items[each] for each in reaching], durations)})
        return True

    def _passing(self, items: Iterable[pytest.Item]) -> Iterable[Message]:
        for item in items:
            began = time.monotonic()
            if self._run(item) == "passed":
                yield {"test": item.nodeid, "seconds": time.monotonic() - began}

    def _executing(self, items: Iterable[pytest.Item]) -> Iterable[Message]:
        files = {str(importlib.import_module(module).__file__): module for module in self.modules}
        for item in items:
            lines: Lines = {}
            with executed_lines(files, lines):
                outcome = self._run(item)
            if outcome == "passed":
                yield {"test": item.nodeid, "lines": {module: sorted(each) for module, each in lines.items()}}

    def _with(self, mutation: str, items: list[pytest.Item], durations: dict[str, float]) -> Message:
        """What the library's tests say of a mutation."""
        if not items:
            return {"outcome": "not executed"}

        def run() -> Iterable[Message]:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            apply(mutation)
            for item in sorted(items, key=lambda each: durations[each.nodeid]):
                if self._run(item) == "failed":
                    yield {"outcome": "detected", "test": item.nodeid}
                    return
            yield {"outcome": "passed", "test": ""}

        limit = AT_LEAST + PATIENCE * sum(durations[item.nodeid] for item in items)
        said = list(in_fork(run, limit))
        # The process was stopped, or a test ended it.
        return said[-1] if said else {"outcome": "detected", "test": "does not end"}

    def _run(self, item: pytest.Item) -> str:
        self.failed = False
        reports = runtestprotocol(item, log=False, nextitem=None)
        if self.failed or any(report.failed for report in reports):
            return "failed"
        return "skipped" if any(report.skipped for report in reports) else "passed"

    def _write(self, message: Message) -> None:
        os.write(self.results, json.dumps(message).encode() + b"\n")


def in_fork(run: Callable[[], Iterable[Message]], limit: float | None = None) -> Iterable[Message]:
    """What ``run`` yields, from a forked process, which is stopped after ``limit`` seconds."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setpgid(0, 0)
        try:
            for each in run():
                os.write(writer, json.dumps(each).encode() + b"\n")
        finally:
            os._exit(0)
    os.close(writer)
    deadline = None if limit is None else time.monotonic() + limit
    text = b""
    with os.fdopen(reader, "rb", buffering=0) as file:
        while deadline is None or time.monotonic() < deadline:
            if select.select([file], [], [], 1.0)[0]:
                if not (read := file.read(1 << 20)):
                    break
                text += read
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(child, 0)
    return [json.loads(line) for line in text.splitlines()]


def check_sources(modules: Iterable[str]) -> str:
    """One line if the imported modules are not the installed ones: mutations are numbered by the latter."""
    for module in modules:
        installed, imported = source_file(module), Path(str(importlib.import_module(module).__file__))
        if installed.read_bytes() != imported.read_bytes():
            return f"{imported}: not the installed file {installed}"
    return ""


def main(results: int, modules: list[str], files: list[str]) -> int:
    loop = Loop(results, modules)
    if problem := check_sources(modules):
        loop._write({"problem": problem})
        return 2
    return int(pytest.main([*files, "-q", "-s", "-p", "no:cacheprovider", "-p", "no:randomly"], plugins=[loop]))


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]))
