"""Stand-ins: tiny checkpoints and data sets under the ids that the documents' examples name, as ``HF_HOME`` has them.

Each is made when it is first wanted, by the libraries of the stack ``main`` in a process of its own, and kept in the
user's cache under a digest of everything they depend on. What stands in for what is ``stand_ins.toml``.
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
"""What makes the stand-ins: other versions may draw other weights, and a missing one cannot write its format."""
TABLE = "tools/examples/stand_ins.toml"


class StandInError(InputError):
    """The stand-ins cannot be made or laid out; the message says why in one line."""


def hub_ids() -> frozenset[str]:
    """Every hub id that has a stand-in, data sets among them."""
    table = _table()
    named = (name for own, row in table["checkpoint"].items() for name in (own, *row.get("also", ())))
    return frozenset([*named, *table["dataset"]])


@dataclass(frozen=True)
class LaidOut:
    """What stands in a hub cache, and what could not be made for it."""

    ids: frozenset[str]
    lacking: dict[str, str]
    """By id that was wanted: why it is not there, with what to install where that is why."""


def prepare(home: Path, cache: Path | None = None, ids: Iterable[str] | None = None) -> LaidOut:
    """Writes stand-ins under ``home/hub`` and ``home/datasets``, for a process with ``HF_HOME=home``,
    ``HF_HUB_OFFLINE=1`` and ``HF_DATASETS_OFFLINE=1``.

    Args:
        home: a folder, made where it is not there; a repository that is there already under ``hub`` stays.
        cache: where they are kept once made; by default the user's cache directory.
        ids: only these, of which those without a stand-in are left out; by default every one there is. What needs a
            library that is not installed is not made, and says so, and the others are.

    Raises:
        StandInError: they cannot be kept or written.
    """
    wanted = hub_ids() if ids is None else hub_ids() & set(ids)
    made, lacking = _made(cache, wanted)
    hub = home / "hub"
    try:
        hub.mkdir(parents=True, exist_ok=True)
        # Without it transformers 4.37 takes the cache for one of before 4.22, and migrates it.
        (hub / "version.txt").write_text("1", encoding="utf-8")
        for name in sorted(wanted - set(lacking)):
            source = made / place_of(name)
            if name in _table()["dataset"]:
                # Copied, for reading a data set writes locks beside it.
                shutil.copytree(source, home / place_of(name), dirs_exist_ok=True)
            else:
                _place(source, home / place_of(name))
    except OSError as error:
        raise StandInError(f"{home}: stand-ins cannot be written: {error.strerror or error}") from error
    return LaidOut(frozenset(wanted - set(lacking)), lacking)


def place_of(name: str) -> Path:
    """Where an id stands below ``HF_HOME``."""
    if name in _table()["dataset"]:
        return Path("datasets", name.replace("/", "___"))
    return Path("hub", "--".join(["models", *name.split("/")]))


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(data(TABLE).read_text(encoding="utf-8"))


def _place(repository: Path, target: Path) -> None:
    if target.exists() or target.is_symlink():
        return
    try:
        target.symlink_to(repository, target_is_directory=True)
    except OSError:
        shutil.copytree(repository, target)


def kept(cache: Path | None = None) -> Path:
    """Where stand-ins are kept once made, a folder for each table, code and set of libraries that made them."""
    from parity.capture.cache import default_cache

    return (cache or default_cache()) / "stand-ins"


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder, each counted once however many names it has."""
    found = (path.lstat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum({entry.st_ino: entry.st_size for entry in found}.values())


def _made(cache: Path | None, wanted: frozenset[str]) -> tuple[Path, dict[str, str]]:
    """The folder with those of this table, in which what is wanted and not there is made first; and what cannot be."""
    folder = kept(cache)
    own = folder / _key()
    missing = sorted(name for name in wanted if not (own / place_of(name)).is_dir())
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


def _keep(made: Path, place: Path) -> None:
    place.parent.mkdir(exist_ok=True)
    try:
        made.rename(place)
    except OSError:
        # Another process may have been faster; then its folder is as good.
        if not place.is_dir():
            raise


def cannot_make(name: str) -> str:
    """Which libraries a stand-in takes that are not installed, and what to type; empty where it can be made."""
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
    except ModuleNotFoundError:  # not even the package that it would be in
        return False


def _make(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Makes them in a process of its own, each apart from the others; returns which failed, and why."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    alone = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", **quiet, **alone, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-m", "parity.tools.examples.making", str(folder), *names]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"name"')]
    failed = {each["name"]: f"it cannot be made: {each['error']}" for each in told if each["error"]}
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        done = {each["name"] for each in told}
        failed |= {name: f"it cannot be made: {sentence(last, 300)}" for name in names if name not in done}
    return failed


def _key() -> str:
    """Digest of the table, the code that makes them, and the libraries' versions."""
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
