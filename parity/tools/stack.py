"""``parity stack``: make a stack's environment from the pins that come with the package, and find those made."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from parity.capture import locks
from parity.core.resources import PACKAGE, data, in_clone
from parity.core.stacks import STAMP, Row, StackError, find, find_row, interpreter_in, made_folder, table

UNSET = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV")
"""Variables that would send an installation elsewhere, or libraries from elsewhere into it."""
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "Failed to establish", "Max retries", "ConnectTimeout")
CPU_TORCH = "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu"
"""What spares a Linux machine without a GPU the CUDA libraries that the default wheel of torch depends on."""


@dataclass(frozen=True)
class Made:
    """One stack of the table as it is on this machine."""

    row: Row
    interpreter: Path | None
    """None where it is not here."""
    state: str
    """``ready``, ``not here``, ``incomplete`` (begun) or ``out of date`` (other pins than this version's)."""


def stacks() -> list[Made]:
    """Every stack of the table, and whether it is here."""
    return [_made(row) for row in table().values()]


def path(name: str) -> Path:
    """The interpreter of a stack that is here.

    Raises:
        StackError: there is no such stack, or it is not here; the message says what to type.
    """
    row = find_row(name)
    found = find(name)
    if found is None:
        raise StackError(f"{name}: not here; to create it: parity stack make {row.name}")
    return found


def make(name: str, python: str | None = None, progress: Callable[[str], None] | None = None) -> Path:
    """Makes a stack's environment below the user's data directory, or completes one that was begun.

    The versions are those of ``stacks.toml`` and ``constraints/NAME.txt``; pip's own configuration (index, proxy,
    certificates) applies. An environment that is there as this version pins it is left as it is.

    Args:
        name: a row of the table.
        python: the interpreter to make it from: a path, a name on ``PATH``, or a version as ``3.12``. By default the
            running one where it fits, else the newest on ``PATH`` that does.
        progress: called with a line for each step, and with what is downloaded.

    Returns:
        The stack's interpreter.

    Raises:
        StackError: no such stack, no Python that fits, no network, a full disk, or another process is at it; one line.
    """
    report = progress or (lambda line: None)
    row, folder = find_row(name), made_folder(name)
    interpreter, stamp = interpreter_in(folder), folder / STAMP
    if python is None and _is_current(row, folder) and interpreter.is_file():
        report("already made as this version pins it")
        return interpreter
    chosen = _python(row, python)
    try:
        lock = locks.take(folder.with_name(f".{name}.lock"))
    except locks.Locked:
        raise StackError(f"{name}: another process is making it in {folder}") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        log_file(name).write_text("", encoding="utf-8")
        if _version(str(interpreter)) != _version(chosen):
            report(f"environment with Python {'.'.join(map(str, _version(chosen) or ()))}: {folder}")
            _environment(row, folder, chosen)
        _install(row, folder, report)
        stamp.write_text(json.dumps({"stack": name, "pins": pins(row)}) + "\n", encoding="utf-8")
    except OSError as error:
        raise StackError(f"{name}: {error.filename or folder}: {error.strerror}") from error
    finally:
        locks.leave(folder.with_name(f".{name}.lock"), lock)
    return interpreter


def pins(row: Row) -> str:
    """A digest of all that decides which versions a stack has."""
    held = [json.dumps(asdict(row), sort_keys=True), data(f"constraints/{row.name}.txt").read_text(encoding="utf-8")]
    return hashlib.sha256("\n".join([*held, *own_requirements(row)]).encode()).hexdigest()


def own_requirements(row: Row) -> list[str]:
    """What this package itself depends on, for a stack in which the references run."""
    if not row.references:
        return []
    if in_clone():
        import tomllib

        project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return list(project["dependencies"])
    given = map(Requirement, importlib.metadata.requires("encdec-parity") or [])
    return [str(each) for each in given if each.marker is None or each.marker.evaluate({"extra": ""})]


def _made(row: Row) -> Made:
    try:
        interpreter = find(row.name)
    except StackError as error:
        return Made(row, None, str(error))
    folder = made_folder(row.name)
    if interpreter is None:
        return Made(row, None, "incomplete" if folder.is_dir() else "not here")
    ours = interpreter == interpreter_in(folder)
    return Made(row, interpreter, "ready" if not ours or _is_current(row, folder) else "out of date")


def _is_current(row: Row, folder: Path) -> bool:
    try:
        return json.loads((folder / STAMP).read_text(encoding="utf-8"))["pins"] == pins(row)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _python(row: Row, requested: str | None) -> str:
    """The interpreter to make a stack from.

    Raises:
        StackError: there is none that fits.
    """
    wanted = SpecifierSet(row.python)
    if requested is not None:
        command = f"python{requested}" if re.fullmatch(r"\d+\.\d+", requested) else requested
        found = _version(command)
        if found is None:
            raise StackError(f"{requested}: no such Python")
        if ".".join(map(str, found)) not in wanted:
            raise StackError(
                f"{requested}: Python {'.'.join(map(str, found))}, and the stack {row.name} needs {row.python}"
            )
        return command
    if ".".join(map(str, sys.version_info[:3])) in wanted:
        return sys.executable
    for minor in range(30, 10, -1):
        command = f"python3.{minor}"
        if f"3.{minor}.0" in wanted and _version(command) is not None:
            return command
    running = sys.version.split()[0]
    raise StackError(
        f"{row.name}: needs Python {row.python}; this is {running}, and none is on PATH: install one, or name it with "
        "--python PATH"
    )


def _version(command: str) -> tuple[int, int, int] | None:
    """The version of an interpreter; None where it cannot be run."""
    code = "import sys; print(*sys.version_info[:3])"
    try:
        answer = subprocess.run([command, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)
        major, minor, micro = map(int, answer.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return major, minor, micro


def _environment(row: Row, folder: Path, python: str) -> None:
    """Makes a virtual environment in a folder, in place of one that was made from another Python."""
    _run(row, [python, "-I", "-m", "venv", "--clear", str(folder)], lambda line: None)


def _install(row: Row, folder: Path, report: Callable[[str], None]) -> None:
    """Installs what the row pins, then what it wants without its dependencies; pip keeps what is there already."""
    constraints = str(data(f"constraints/{row.name}.txt"))
    pip = [str(interpreter_in(folder)), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    wanted = [*own_requirements(row), *row.requires, *row.examples]
    report(f"{len(wanted)} packages and their dependencies, as pinned")
    _run(row, [*pip, "-c", constraints, *wanted], _downloads(report))
    if row.no_deps:
        _run(row, [*pip, "-c", constraints, "--no-deps", *row.no_deps], _downloads(report))


def _downloads(report: Callable[[str], None]) -> Callable[[str], None]:
    """Of pip's lines passes on what is downloaded, and that it begins to install."""

    def line(text: str) -> None:
        text = text.strip()
        if text.startswith(("Downloading ", "Using cached ")) and ".metadata" not in text:
            name, _, rest = text.removeprefix("Using cached ").rpartition("/")[2].partition("-")
            name = name.removeprefix("Downloading ")
            amount = rest.partition("(")[2].rstrip(")")
            report(f"{name.replace('_', '-')} {rest.partition('-')[0]}" + (f" ({amount})" if amount else ""))
        elif text.startswith("Installing collected packages"):
            report(f"installing {text.count(',') + 1} packages")

    return line


def _run(row: Row, command: list[str], on_line: Callable[[str], None]) -> None:
    """Runs one step, its output in the log.

    Raises:
        StackError: it failed; the line has the cause and the log.
    """
    environment = {name: value for name, value in os.environ.items() if name not in UNSET}
    lines: list[str] = []
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    with log_file(row.name).open("a", encoding="utf-8") as log:
        print("$", *command, file=log, flush=True)
        with subprocess.Popen(command, env=environment, **piped) as child:
            try:
                for text in child.stdout or ():
                    log.write(text)
                    lines.append(text)
                    on_line(text)
            except BaseException:
                # An interrupted command must not leave pip at work behind it.
                child.terminate()
                raise
    if child.returncode:
        raise StackError(f"{row.name}: {_cause(lines)} (details: {log_file(row.name)})")


def _cause(lines: list[str]) -> str:
    """Why a step failed, from what it printed."""
    text = "".join(lines)
    if "No space left on device" in text or "Errno 28" in text:
        return f"the disk is full: an environment with CUDA libraries takes 8 GB; without a GPU set {CPU_TORCH}"
    if any(word in text for word in NO_NETWORK):
        return "no network: the package index cannot be reached; the same command continues from there"
    if "ensurepip" in text:
        return (
            "this Python cannot make environments with pip: install its package venv (python3-venv), or --python PATH"
        )
    said = [line for line in lines if line.startswith("ERROR: ")] or [*lines[-1:], "it ended without a word"]
    return said[0].strip().removeprefix("ERROR: ")


def log_file(name: str) -> Path:
    """What venv and pip printed while a stack was made."""
    return made_folder(name).with_name(f"{name}.log")
