"""``parity doctor``: the stacks and backends that can run on this machine, and how to install the others."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.text import Text

from parity.core.backends import ENGINES
from parity.core.display import printable, sentence
from parity.core.resources import in_clone
from parity.core.stacks import Row, StackError, find, how_to_make, main_interpreter, resolve_stack, table
from parity.report.console import console, plural, size


@dataclass(frozen=True)
class StackFinding:
    """The state of one stack on this machine."""

    row: Row
    interpreter: Path | None
    problem: str = ""
    """The reason why the stack cannot run at all."""
    todo: str = ""
    """The command that installs it."""
    versions: dict[str, str] = field(default_factory=dict)
    backends: dict[str, str] = field(default_factory=dict)
    """For each backend the reason why it cannot run, or ""."""
    engines: dict[str, str] = field(default_factory=dict)
    """For each engine and variant what to install, or ""."""
    need_gpu: frozenset[str] = frozenset()
    """Of these, the ones that do not run on a CPU."""
    off_pins: tuple[str, ...] = ()
    """Libraries whose version differs from the pinned one."""


@dataclass(frozen=True)
class Findings:
    """The result of ``examine``."""

    stacks: list[StackFinding]
    gpus: list[str]
    cores: int
    memory: int
    """Bytes of memory that are available to a run."""
    cache: Path
    cache_bytes: int
    cache_traces: int


def examine() -> Findings:
    """Examines the stacks (each in its own interpreter, without importing libraries), the machine and the cache."""
    import psutil

    from parity.capture.cache import TraceCache, default_cache
    from parity.capture.memory import available

    cached = TraceCache(default_cache()).list()
    return Findings(
        stacks=[_stack(row) for row in table().values()],
        gpus=_gpus(),
        cores=psutil.cpu_count() or 1,
        memory=available(),
        cache=default_cache(),
        cache_bytes=sum(entry.size for entry in cached),
        cache_traces=len(cached),
    )


def _stack(row: Row) -> StackFinding:
    from parity.backends.capabilities import cannot_run, capabilities, words_of
    from parity.capture.probe import probe
    from parity.capture.task import CaptureError

    # In a clone nox makes the stack in which its sessions run.
    install = "python -m nox -s parity" if row.name == "main" and in_clone() else how_to_make(row)
    try:
        interpreter = main_interpreter() if row.name == "main" else find(row.name)
        if interpreter is None:
            return StackFinding(row, None, "not installed here", install)
        stack = resolve_stack(row.name if row.name == "main" else f"{row.name}={interpreter}")
        facts = probe(row.name, interpreter, stack.environment, (*stack.backends, *ENGINES))
    except (StackError, CaptureError) as error:
        return StackFinding(row, None, str(error), install)
    lacking = {name: capabilities(name, "eager", facts["versions"])[1] for name in stack.backends}
    backends = {name: why.get(words_of(name)[0], "") for name, why in lacking.items()}
    engines = {name: cannot_run(name, facts["versions"]) and ENGINES[name].install for name in ENGINES}
    versions = {_normal(name): version for name, version in facts["versions"].items()}
    need_gpu = frozenset(name for name in ENGINES if "cpu" in capabilities(name, "eager", facts["versions"])[1])
    todo = install if all(backends.values()) else ""
    return StackFinding(row, interpreter, "", todo, versions, backends, engines, need_gpu, _off_pins(row, versions))


def _off_pins(row: Row, versions: Mapping[str, str]) -> tuple[str, ...]:
    """Libraries whose version is not the row's (a local part such as ``+cpu`` does not count)."""
    found = []
    for pin in (*row.requires, *row.no_deps):
        name, _, wanted = re.sub(r"\[.*\]", "", pin).partition("==")
        version = versions.get(_normal(name), "")
        if version and version.partition("+")[0] != wanted:
            found.append(f"{name} {version}, pinned {wanted}")
    return tuple(found)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _gpus() -> list[str]:
    """The driver's list of devices; empty without a driver."""
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    # One line a device, `GPU 0: NAME (UUID: …)`.
    return [
        line.partition(": ")[2].partition(" (UUID")[0] for line in answer.stdout.splitlines() if line.startswith("GPU")
    ]


def show(findings: Findings) -> int:
    """Prints the findings. Returns 0 if a backend can run in ``main``, else 2."""
    out = console()
    for finding in findings.stacks:
        for line in _stack_lines(finding):
            out.print(line)
    if findings.gpus:
        todo = "python -m nox -s parity-gpu" if in_clone() else "parity audit PATH/TO/CHECKPOINT --device cuda"
        out.print(f"\ncuda      {printable(', '.join(findings.gpus))}: {todo}")
    else:
        out.print("\ncuda      no device (nvidia-smi lists none): runs with --device cuda cannot be made here")
    out.print(f"machine   {plural(findings.cores, 'core')}, {size(findings.memory)} of memory free for a run")
    out.print(
        f"cache     {plural(findings.cache_traces, 'trace')}, {size(findings.cache_bytes)}: {printable(findings.cache)}"
    )
    main = findings.stacks[0]
    if any(not why for why in main.backends.values()):
        out.print("\nnext      parity audit PATH/TO/CHECKPOINT")
        return 0
    out.print(f"\nnext      {main.todo}")
    return 2


def _stack_lines(finding: StackFinding) -> list[Text]:
    head = Text(f"{finding.row.name:<9} ", "bold")
    head.append(finding.row.purpose, "bright_black")
    lines = [head]
    if finding.interpreter is not None:
        lines.append(Text(f"  {printable(finding.interpreter, 1000)}"))
    if finding.problem:
        lines.append(Text(f"  no   {sentence(finding.problem)}; to create it: {finding.todo}", "yellow"))
    for backend, why in finding.backends.items():
        lines.append(
            Text(f"  no   {backend}: {sentence(why)}", "yellow") if why else Text(f"  yes  {backend}", "green")
        )
    if installed := [name for name, install in finding.engines.items() if not install]:
        words = ", ".join(f"{name} (needs a GPU)" if name in finding.need_gpu else name for name in installed)
        lines.append(Text(f"  yes  only if named, --backend NAME: {words}", "green"))
    for engine, install in finding.engines.items():
        # An engine is optional: where it is missing is told for the first stack only.
        if install and finding.row.name == "main":
            lines.append(Text(f"  opt  {engine}: pip install {install}", "bright_black"))
    for line in finding.off_pins:
        lines.append(Text(f"  note {line}: verdicts may differ from those recorded in known issues", "yellow"))
    return lines
