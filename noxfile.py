"""Sessions: ``parity`` (audit the fixtures), ``parity-gpu``, ``tests``, ``tests-full``,
``tests-s3``, ``coverage``, ``lint``, ``stack-NAME`` for each stack.

Each stack of ``parity/core/data/stacks.toml`` has one environment, ``.nox/stacks/NAME``, which the sessions share: it
is installed once, and again only when its pins change. With ``--no-venv`` nothing is installed and the running
interpreter is used.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    sys.exit("encdec-parity needs a POSIX system; on Windows run it in WSL 2.")
if sys.version_info < (3, 11):
    sys.exit(f"encdec-parity needs Python 3.11 or newer; this is {sys.version.split()[0]}. Run nox with a newer one.")

import hashlib
import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nox

ROOT = Path(__file__).parent
TABLE = ROOT / "parity" / "core" / "data" / "stacks.toml"
STACKS = tomllib.loads(TABLE.read_text(encoding="utf-8"))
STAMP = "parity-stack.json"
SHOWN_FIXTURE = "fixtures/checkpoints/bart-odd"
"""The fixture that the most checks and known issues apply to, relative to its size."""
ALL_FIXTURES = "--all-fixtures"
HELP = {"-h", "--help"}
NO_DEPS = {"witness", "real"}
"""Extras installed without their dependencies: the ones that are used are already in the stack."""
S3 = ["s3fs==2026.9.0", "moto[server]==5.2.5"]
"""Packages of `tests-s3`: a server of S3, and its file system for fsspec."""
SELECTIONS = {"tests": "not full", "tests-full": "full"}
"""The tests of each session, by pytest's markers: together every test, each once."""
WITHOUT_FRAMEWORKS = [
    *(f"parity/{each}" for each in ("core", "checkpoint", "cases", "judge", "report", "cli", "api.py")),
    *(f"reference/{each}" for each in ("config", "names", "weights", "tokenizer", "generation")),
]
"""The packages that pyright can check where no framework is installed."""
PARALLEL = ["-n", "2", "--dist", "worksteal", "--durations", "20"]

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint"]


@nox.session
def parity(session: nox.Session) -> None:
    """Audit a checkpoint with five implementations: `-- CHECKPOINT… OPTIONS…`; by default a fixture.

    `-- --all-fixtures` audits every fixture.

    A stack named by `--stack NAME` is installed first if it is missing: `-- --stack docs-4.37 --stack current`.
    """
    python = _environment(session, "main")
    for name in _stacks_named(session.posargs):
        _environment(session, name)
    session.run(python, "-m", "parity", "audit", *_arguments(session), env=_variables("main"), external=True)


@nox.session(name="parity-gpu")
def parity_gpu(session: nox.Session) -> None:
    """The same audit on a CUDA device, with the stack `gpu`."""
    if not _cuda_device():
        print(
            "parity-gpu: no CUDA device: neither nvidia-smi nor this interpreter's torch sees one. "
            "On this machine run instead: python -m nox -s parity",
            file=sys.stderr,
        )
        sys.exit(2)
    python = _environment(session, "gpu")
    arguments = ["--device", "cuda", *_arguments(session)]
    session.run(python, "-m", "parity", "audit", *arguments, env=_variables("gpu"), external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Tests to run during development, in minutes: every package, and a complete audit; `-- PYTEST OPTIONS…`."""
    _pytest(session, "tests")


@nox.session(name="tests-full")
def tests_full(session: nox.Session) -> None:
    """The other tests, including the audits of all fixtures; `-- --shard 1/2` runs one half of them."""
    _pytest(session, "tests-full")


@nox.session(name="tests-s3")
def tests_s3(session: nox.Session) -> None:
    """The tests of `parity fleet` with a server of S3 that runs here; `tests-full` skips them."""
    python = _environment(session, "main", "test", "witness", "real", "engines", "ray")
    packages, stamp = ROOT / ".nox" / "s3", json.dumps(S3)
    # A folder in front of the stack's packages: they need other versions of some than it pins.
    if not (packages / STAMP).exists() or (packages / STAMP).read_text() != stamp:
        shutil.rmtree(packages, ignore_errors=True)
        session.run_install(python, "-m", "pip", "install", "-q", "--target", str(packages), *S3, external=True)
        (packages / STAMP).write_text(stamp)
    variables = {**_variables("main"), "PYTHONPATH": str(packages)}
    files = [f"tests/fleet/{name}.py" for name in ("test_places", "test_shared_cache")]
    session.run(python, "-m", "pytest", "-m", "full", *files, *session.posargs, env=variables, external=True)


@nox.session
def coverage(session: nox.Session) -> None:
    """The tests of `tests`, with line and branch coverage: a table, and coverage.xml."""
    _pytest(session, "tests", "coverage", options=["--cov", "--cov-report=term", "--cov-report=xml"])


@nox.session
def lint(session: nox.Session) -> None:
    """Style (ruff), import contracts (import-linter), the documentation site (mkdocs, strict), and types (pyright).

    Types of the frameworks are read from the stack `main`; while it is not installed, packages that import them are not
    checked.
    """
    python = "python" if _has_venv(session) else sys.executable
    if _has_venv(session):
        # Types need the common dependencies, which are small; and pyright needs Node.js, which is installed as a wheel.
        needed = ["ruff", "import-linter", "pyright[nodejs]", *_needs(["site"])]
        session.install("-q", *needed, "-c", "parity/constraints/main.txt")
    session.run(python, "-m", "ruff", "check", ".", external=True)
    session.run(python, "-m", "ruff", "format", "--check", ".", external=True)
    contracts = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    session.run(python, "-c", contracts, external=True)
    if _has_venv(session):
        # mkdocs reports broken links and anchors, and pages outside the navigation, as warnings; `--strict` makes them
        # fail.
        quiet = {"NO_MKDOCS_2_WARNING": "1"}
        session.run(python, "-m", "mkdocs", "build", "--strict", "--quiet", env=quiet, external=True)
    if _has_venv(session) and not _is_made("main"):
        # Imports of the frameworks cannot be resolved here, so only packages without them are checked.
        own = str(Path(session.virtualenv.location, "bin/python"))
        session.run(python, "-m", "pyright", "--pythonpath", own, *WITHOUT_FRAMEWORKS, external=True)
        return
    libraries = _interpreter("main") if _has_venv(session) else sys.executable
    session.run(python, "-m", "pyright", "--pythonpath", libraries, external=True)


def _pytest(session: nox.Session, selection: str, *extras: str, options: Iterable[str] = ()) -> None:
    """Runs one of `SELECTIONS`: in two processes, unless files or tests are named."""
    python = _environment(session, "main", "test", "witness", "real", "engines", "ray", *extras)
    named = any(Path(argument.partition("::")[0]).exists() for argument in session.posargs)
    arguments = ["-m", SELECTIONS[selection], *([] if named else PARALLEL), *options, *session.posargs]
    session.run(python, "-m", "pytest", *arguments, env=_variables("main"), external=True)


def _stack_session(name: str) -> None:
    @nox.session(name=f"stack-{name}")
    def install(session: nox.Session) -> None:
        extras = set(session.posargs)
        known = set(_project()["optional-dependencies"]) if STACKS[name].get("references") else set()
        if not extras <= known:
            session.error(f"{name}: no such extra: {', '.join(sorted(extras - known))}")
        print(f"{name}: {_environment(session, name, *extras)}")
        option = "" if name == "main" else f" --stack {name}"
        print(f"use it: python -m nox -s parity -- CHECKPOINT{option}")

    install.__doc__ = f"Make the stack `{name}`: {STACKS[name]['purpose']}; `-- EXTRA…` of pyproject.toml besides."


def _environment(session: nox.Session, name: str, *extras: str) -> str:
    """Installs a stack once, and returns the path of its interpreter."""
    if not _has_venv(session):
        return sys.executable
    stack, folder, python = STACKS[name], _folder(name), _interpreter(name)
    stamp = folder / STAMP
    installed = json.loads(stamp.read_text()) if stamp.exists() else {"pins": "", "extras": []}
    pins = _pins_digest(name)
    if installed["pins"] == pins and set(extras) <= set(installed["extras"]):
        return python
    stamp.unlink(missing_ok=True)
    if not Path(python).exists():
        session.run_install(
            sys.executable, "-m", "virtualenv", "-q", "-p", _python(session, name), str(folder), external=True
        )
    # What the command itself needs there; the project is not installed: sessions run in the clone, and a worker must
    # not have the clone on its path.
    own = _needs(set(extras) - NO_DEPS) if stack.get("references") else []
    pip = [python, "-m", "pip", "install", "-q", "-c", f"parity/constraints/{name}.txt"]
    session.run_install(*pip, *own, *stack["requires"], *stack.get("examples", []), external=True)
    no_deps = [*stack.get("no_deps", []), *_extras(NO_DEPS & set(extras))]
    if no_deps:
        session.run_install(*pip, "--no-deps", *no_deps, external=True)
    stamp.write_text(json.dumps({"stack": name, "pins": pins, "extras": sorted(extras)}) + "\n")
    return python


def _folder(name: str) -> Path:
    return ROOT / ".nox" / "stacks" / name


def _interpreter(name: str) -> str:
    """The interpreter of a stack's environment, whether or not it is installed."""
    return str(_folder(name) / "bin/python")


def _is_made(name: str) -> bool:
    """Whether an environment exists and matches the current pins."""
    stamp = _folder(name) / STAMP
    return stamp.exists() and json.loads(stamp.read_text())["pins"] == _pins_digest(name)


def _python(session: nox.Session, name: str) -> str:
    """The interpreter for creating a stack's environment: the running one if it is suitable, else the oldest that
    is."""
    lowest, below = (part.lstrip("<>=") for part in STACKS[name]["python"].split(","))
    if _version(lowest) <= sys.version_info[:2] < _version(below):
        return sys.executable
    if shutil.which(f"python{lowest}") is None:
        running = sys.version.split()[0]
        session.error(f"stack {name} needs Python {STACKS[name]['python']}; this is {running}: install Python {lowest}")
    return f"python{lowest}"


def _needs(extras: Iterable[str]) -> list[str]:
    """The project's dependencies according to ``pyproject.toml``."""
    return [*_project()["dependencies"], *_extras(extras)]


def _extras(names: Iterable[str]) -> list[str]:
    return [needed for name in sorted(names) for needed in _project()["optional-dependencies"][name]]


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _pins_digest(name: str) -> str:
    dependencies = {key: _project()[key] for key in ("dependencies", "optional-dependencies")}
    files = [TABLE, ROOT / "parity" / "constraints" / f"{name}.txt"]
    parts = [json.dumps(dependencies, sort_keys=True).encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _variables(name: str) -> dict[str, str | None]:
    """Environment variables of a stack; None removes one. PARITY_MAIN names the stack that is `main` here."""
    stack = STACKS[name]
    return {**stack.get("environment", {}), **dict.fromkeys(stack.get("unset", [])), "PARITY_MAIN": name}


def _stacks_named(posargs: list[str]) -> list[str]:
    """The other stacks named by ``--stack NAME`` and ``--stack=NAME``; paths of interpreters are ignored."""
    pairs = zip(posargs, [*posargs, ""][1:], strict=True)
    named = [
        following if given == "--stack" else given.removeprefix("--stack=")
        for given, following in pairs
        if given.startswith("--stack")
    ]
    return [name for name in dict.fromkeys(named) if name in STACKS and name != "main"]


def _arguments(session: nox.Session) -> list[str]:
    """The arguments with checkpoints first; by default one fixture is audited, or with ``--all-fixtures`` each of
    them."""
    posargs = list(session.posargs)
    if (posargs and not posargs[0].startswith("-")) or HELP & set(posargs):
        return posargs
    if ALL_FIXTURES in posargs:
        fixtures = sorted(path.parent for path in Path("fixtures/checkpoints").glob("*/config.json"))
        return [*map(str, fixtures), *(argument for argument in posargs if argument != ALL_FIXTURES)]
    print(f"{SHOWN_FIXTURE} is audited; every fixture: python -m nox -s {session.name} -- {ALL_FIXTURES}", flush=True)
    return [SHOWN_FIXTURE, *posargs]


def _has_venv(session: nox.Session) -> bool:
    return session.virtualenv.venv_backend != "none"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _cuda_device() -> bool:
    """Whether there is a CUDA device: queries the driver, then the running interpreter's torch in a subprocess;
    installs nothing."""
    commands = [["nvidia-smi", "-L"]] if shutil.which("nvidia-smi") else []
    commands.append([sys.executable, "-c", "import torch; print('GPU' if torch.cuda.is_available() else '')"])
    return any("GPU" in subprocess.run(command, capture_output=True, text=True).stdout for command in commands)


for _name in STACKS:
    _stack_session(_name)
