"""Stand-ins: tiny checkpoints and data sets under the ids that the documents' examples name, in the layout of
``HF_HOME``.

Each is created when it is first needed, by the libraries of the stack ``main`` in a subprocess, and stored in the
user's cache under a digest of everything it depends on. ``stand_ins.toml`` defines them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from parity.core.display import sentence
from parity.core.errors import InputError
from parity.core.resources import PACKAGE, data
from parity.core.stacks import SWITCHES

LIBRARIES = (
    "transformers",
    "tokenizers",
    "sentencepiece",
    "protobuf",
    "torch",
    "tensorflow-cpu",
    "tensorflow",
    "flax",
    "pyarrow",
)
"""Libraries that create the stand-ins: other versions may draw other weights, and a missing one cannot write its
format."""
TABLE = "tools/examples/stand_ins.toml"


class StandInError(InputError):
    """The stand-ins cannot be created or linked; the message has the cause in one line."""


def hub_ids() -> frozenset[str]:
    """Every hub id that has a stand-in, including data sets."""
    table = _table()
    named = (name for own, row in table["checkpoint"].items() for name in (own, *row.get("also", ())))
    return frozenset([*named, *table["dataset"]])


@dataclass(frozen=True)
class LaidOut:
    """The contents of a hub cache, and what could not be created for it."""

    ids: frozenset[str]
    lacking: dict[str, str]
    """By requested id: why it is missing, and what to install where that is the cause."""


def prepare(home: Path, cache: Path | None = None, ids: Iterable[str] | None = None) -> LaidOut:
    """Writes stand-ins under ``home/hub`` and ``home/datasets``, for a process with ``HF_HOME=home``,
    ``HF_HUB_OFFLINE=1`` and ``HF_DATASETS_OFFLINE=1``.

    Args:
        home: a folder, created if necessary; existing repositories under ``hub`` are not changed.
        cache: where created stand-ins are stored; by default the user's cache directory.
        ids: only these; those without a stand-in are ignored. By default all of them. A stand-in that needs a library
            that is not installed is reported in the result; the others are created.

    Raises:
        StandInError: they cannot be stored or written.
    """
    wanted = hub_ids() if ids is None else hub_ids() & set(ids)
    made, lacking = _made(cache, wanted)
    hub = home / "hub"
    try:
        hub.mkdir(parents=True, exist_ok=True)
        # Without it transformers 4.37 treats the cache as older than 4.22, and migrates it.
        (hub / "version.txt").write_text("1", encoding="utf-8")
        for name in sorted(wanted - set(lacking)):
            source = made / folder_of(name)
            if name in _table()["dataset"]:
                # Copied, because reading a data set writes locks beside it.
                shutil.copytree(source, home / folder_of(name), dirs_exist_ok=True)
            else:
                _link(source, home / folder_of(name))
    except OSError as error:
        raise StandInError(f"{home}: stand-ins cannot be written: {error.strerror or error}") from error
    return LaidOut(frozenset(wanted - set(lacking)), lacking)


def folder_of(name: str) -> Path:
    """The path of an id below ``HF_HOME``."""
    if name in _table()["dataset"]:
        return Path("datasets", name.replace("/", "___"))
    return Path("hub", "--".join(["models", *name.split("/")]))


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(data(TABLE).read_text(encoding="utf-8"))


def _link(repository: Path, target: Path) -> None:
    if target.exists() or target.is_symlink():
        return
    try:
        target.symlink_to(repository, target_is_directory=True)
    except OSError:
        shutil.copytree(repository, target)


def stand_in_folder(cache: Path | None = None) -> Path:
    """Where stand-ins are stored, one folder for each combination of table, code and library versions."""
    from parity.capture.cache import default_cache

    return (cache or default_cache()) / "stand-ins"


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder, each counted once however many hard links it has."""
    found = (path.lstat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum({entry.st_ino: entry.st_size for entry in found}.values())


def _made(cache: Path | None, wanted: frozenset[str]) -> tuple[Path, dict[str, str]]:
    """The folder of this table's stand-ins, after creating the requested ones that are missing; and those that
    failed."""
    folder = stand_in_folder(cache)
    own = folder / _key()
    missing = sorted(name for name in wanted if not (own / folder_of(name)).is_dir())
    lacking = {name: why for name in missing if (why := cannot_make(name))}
    missing = [name for name in missing if name not in lacking]
    if not missing:
        return own, lacking
    try:
        own.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as scratch:
            part = Path(scratch) / "home"
            failed = _make(part, missing)
            for repository in (*part.glob("hub/*"), *part.glob("datasets/*")):
                _keep(repository, own / repository.relative_to(part))
    except OSError as error:
        raise StandInError(f"{folder}: stand-ins cannot be kept: {error.strerror or error}") from error
    return own, {**lacking, **failed}


def _keep(made: Path, folder: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    try:
        made.rename(folder)
    except OSError:
        # Another process may have created it first; its folder is equivalent.
        if not folder.is_dir():
            raise


def cannot_make(name: str) -> str:
    """Which libraries a stand-in needs that are not installed, and how to install them; empty where it can be
    created."""
    table = _table()
    if name in table["dataset"]:
        extra, needed = "docs", ["numpy", "pyarrow"]
    else:
        row = next(row for own, row in table["checkpoint"].items() if name in (own, *row.get("also", ())))
        extra, needed = "main", ["torch", "transformers"]
        if all(find_spec(module) for module in needed) and "vocabulary" in row:
            vocabulary = table["vocabulary"][row["vocabulary"]]
            extra, needed = "docs", ["sentencepiece", "google.protobuf"] if vocabulary["kind"] == "unigram" else []
    absent = [module.removeprefix("google.") for module in needed if not _is_there(module)]
    if not absent:
        return ""
    verb = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {verb} not installed: pip install 'encdec-parity[{extra}]'"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package is missing too
        return False


def _make(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Creates them in a subprocess, independently of each other; returns which failed, with the reasons."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    alone = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    # Otherwise transformers uses only the frameworks that the user, or an adapter in this process, has switched on.
    every = dict.fromkeys(SWITCHES, "AUTO")
    own = {**quiet, **alone, **every, "TF_USE_LEGACY_KERAS": "1", "PYTHONPATH": str(PACKAGE.parent)}
    environment = {**os.environ, **own}
    command = [sys.executable, "-m", "parity.tools.examples.making", str(folder), *names]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    results = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"name"')]
    failed = {each["name"]: f"it cannot be made: {each['error']}" for each in results if each["error"]}
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        done = {each["name"] for each in results}
        failed |= {name: f"it cannot be made: {sentence(last, 300)}" for name in names if name not in done}
    return failed


def _key() -> str:
    """Digest of the table, the code that creates them, and the libraries' versions."""
    digest = hashlib.sha256()
    for path in [data(TABLE), *sorted(data("tools/examples/making").glob("*.py"))]:
        digest.update(path.read_bytes())
    digest.update("\n".join(_versions()).encode())
    return digest.hexdigest()[:32]


def _versions() -> Iterator[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} -"
