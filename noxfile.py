"""Sessions: ``parity`` (audit the fixtures), ``parity-gpu``, ``tests``, ``lint``, and ``stack-NAME`` for the other stacks.

Each stack of ``parity/stacks.toml`` has one environment, ``.nox/<stack>``, that the sessions share and keep: it is
installed once and again only when its pins change. With ``--no-venv`` nothing is installed and the running
interpreter is used.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):
    sys.exit(f"encdec-parity needs Python 3.11 or newer; this is {sys.version.split()[0]}. Run nox with a newer one.")

import hashlib
import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import nox

ROOT = Path(__file__).parent
STACKS = tomllib.loads((ROOT / "parity" / "stacks.toml").read_text(encoding="utf-8"))
STAMP = "parity-stack.json"

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint"]


@nox.session(venv_location=".nox/main")
def parity(session: nox.Session) -> None:
    """Audit a checkpoint on five backends: `-- CHECKPOINT… OPTIONS…`; without a checkpoint, every fixture."""
    python = _environment(session, "main")
    session.run(python, "-m", "parity", "audit", *_arguments(session.posargs), env=_variables("main"), external=True)


@nox.session(name="parity-gpu", venv_location=".nox/gpu")
def parity_gpu(session: nox.Session) -> None:
    """The same on a CUDA device, with the stack `gpu`."""
    if not _cuda_device():
        print(
            "parity-gpu: no CUDA device: neither nvidia-smi nor this interpreter's torch sees one. "
            "On this machine run instead: python -m nox -s parity",
            file=sys.stderr,
        )
        sys.exit(2)
    python = _environment(session, "gpu")
    arguments = ["--device", "cuda", *_arguments(session.posargs)]
    session.run(python, "-m", "parity", "audit", *arguments, env=_variables("gpu"), external=True)


@nox.session(venv_location=".nox/main")
def tests(session: nox.Session) -> None:
    """Every test, the five-backend audit of the fixtures included: `-- PYTEST OPTIONS…`."""
    python = _environment(session, "main", "test")
    arguments = session.posargs or ["-n", "2", "--dist", "loadgroup"]
    session.run(python, "-m", "pytest", *arguments, env=_variables("main"), external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and layout: ruff check, ruff format --check."""
    python = _interpreter(session)
    if _has_venv(session):
        session.install("ruff", "-c", _constraints("main"))
    session.run(python, "-m", "ruff", "check", ".", external=True)
    session.run(python, "-m", "ruff", "format", "--check", ".", external=True)


def _stack_session(name: str) -> None:
    lowest = STACKS[name]["python"].split(",")[0].removeprefix(">=")
    running = _python_fits(name)

    @nox.session(name=f"stack-{name}", venv_location=f".nox/{name}", python=None if running else lowest)
    def install(session: nox.Session) -> None:
        print(f"{name}: {_environment(session, name)}")
        print(f"use it: python -m nox -s parity -- CHECKPOINT --stack main --stack {name}")

    install.__doc__ = f"Make the stack `{name}`: {STACKS[name]['purpose']}."


def _environment(session: nox.Session, name: str, *extras: str) -> str:
    """Installs a stack once, and says which interpreter has it."""
    python = _interpreter(session)
    if not _has_venv(session):
        return python
    stack = STACKS[name]
    if session.python is None and not _python_fits(name):
        session.error(f"stack {name} needs Python {stack['python']}; this is {sys.version.split()[0]}")
    stamp = Path(session.virtualenv.location) / STAMP
    wanted = {"stack": name, "pins": _pins_digest(name), "extras": sorted(extras)}
    installed = json.loads(stamp.read_text()) if stamp.exists() else {"pins": "", "extras": []}
    if installed["pins"] == wanted["pins"] and set(extras) <= set(installed["extras"]):
        return python
    stamp.unlink(missing_ok=True)
    own = [_own(extras)] if "reference-torch" in stack["backends"] else []
    session.install(*own, *stack["requires"], "-c", _constraints(name))
    if stack.get("no_deps"):
        session.install("--no-deps", *stack["no_deps"], "-c", _constraints(name))
    stamp.write_text(json.dumps(wanted) + "\n")
    return python


def _own(extras: tuple[str, ...]) -> str:
    """The project itself, editable, where a stack runs the command; other stacks need nothing of ours."""
    return f"--editable=.[{','.join(extras)}]" if extras else "--editable=."


def _pins_digest(name: str) -> str:
    files = [ROOT / "pyproject.toml", ROOT / "parity" / "stacks.toml", ROOT / _constraints(name)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _constraints(name: str) -> str:
    return f"parity/constraints/{name}.txt"


def _variables(name: str) -> dict[str, str | None]:
    """Environment variables of a stack; None takes one away. PARITY_MAIN names the row that is `main` here."""
    stack = STACKS[name]
    return {**stack.get("environment", {}), **dict.fromkeys(stack.get("unset", [])), "PARITY_MAIN": name}


def _arguments(posargs: list[str]) -> list[str]:
    """Checkpoints come first; where none is named, every fixture is audited."""
    if posargs and not posargs[0].startswith("-"):
        return list(posargs)
    fixtures = sorted(path.parent for path in Path("fixtures/checkpoints").glob("*/config.json"))
    return [*map(str, fixtures), *posargs]


def _has_venv(session: nox.Session) -> bool:
    return session.virtualenv.venv_backend != "none"


def _interpreter(session: nox.Session) -> str:
    """The session's own, or, with --no-venv, the one that runs nox."""
    return "python" if _has_venv(session) else sys.executable


def _python_fits(name: str) -> bool:
    """Whether the running interpreter is within `>=3.x,<3.y`."""
    lowest, below = (part.lstrip("<>=") for part in STACKS[name]["python"].split(","))
    return _version(lowest) <= sys.version_info[:2] < _version(below)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _cuda_device() -> bool:
    """Asks the driver, then the running interpreter's torch, in another process; installs nothing."""
    asked = [["nvidia-smi", "-L"]] if shutil.which("nvidia-smi") else []
    asked.append([sys.executable, "-c", "import torch; print('GPU' if torch.cuda.is_available() else '')"])
    return any("GPU" in subprocess.run(command, capture_output=True, text=True).stdout for command in asked)


for _name in STACKS:
    if _name != "main":
        _stack_session(_name)
