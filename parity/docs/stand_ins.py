"""Stand-ins: tiny checkpoints and data sets under the ids that the documents' examples name, as ``HF_HOME`` has them.

They are made once, by the libraries of the stack ``main`` in a process of its own, and kept in the user's cache under a
digest of everything they depend on. What stands in for what is ``stand_ins.toml``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from parity.errors import GivenError
from parity.resources import PACKAGE, data

LIBRARIES = ("transformers", "tokenizers", "sentencepiece", "torch", "tensorflow-cpu", "tensorflow", "flax", "pyarrow")
"""What makes the stand-ins: other versions may draw other weights, and a missing one cannot write its format."""
TABLE = "docs/stand_ins.toml"


class StandInError(GivenError):
    """The stand-ins cannot be made or laid out; the message says why in one line."""


def hub_ids() -> frozenset[str]:
    """Every hub id that has a stand-in, data sets among them."""
    table = tomllib.loads(data(TABLE).read_text(encoding="utf-8"))
    named = (name for own, row in table["checkpoint"].items() for name in (own, *row.get("also", ())))
    return frozenset([*named, *table["dataset"]])


def lay_out(home: Path, python: Path, cache: Path | None = None) -> frozenset[str]:
    """Writes stand-ins under ``home/hub`` and ``home/datasets``, for a process with ``HF_HOME=home``,
    ``HF_HUB_OFFLINE=1`` and ``HF_DATASETS_OFFLINE=1``.

    Args:
        home: a folder, made where it is not there; a repository that is there already under ``hub`` stays.
        python: the interpreter of the stack whose process will read it.
        cache: where they are kept once made; by default the user's cache directory.

    Returns:
        The ids that stand there.

    Raises:
        StandInError: they cannot be made, kept or written.
    """
    made, hub = _made(cache), home / "hub"
    try:
        hub.mkdir(parents=True, exist_ok=True)
        # Without it transformers 4.37 takes the cache for one of before 4.22, and migrates it.
        (hub / "version.txt").write_text("1", encoding="utf-8")
        for repository in sorted((made / "hub").iterdir()):
            _place(repository, hub / repository.name)
        # Copied, for reading a data set writes locks beside it.
        shutil.copytree(made / "datasets", home / "datasets", dirs_exist_ok=True)
    except OSError as error:
        raise StandInError(f"{home}: stand-ins cannot be written: {error.strerror or error}") from error
    return hub_ids()


def _place(repository: Path, target: Path) -> None:
    if target.exists() or target.is_symlink():
        return
    try:
        target.symlink_to(repository, target_is_directory=True)
    except OSError:
        shutil.copytree(repository, target)


def _made(cache: Path | None) -> Path:
    """The folder where they are kept; they are made first where it is not there."""
    from parity.capture.cache import default_cache

    folder = (cache or default_cache()) / "stand-ins"
    kept = folder / _key()
    if kept.is_dir():
        return kept
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as scratch:
            part = Path(scratch) / "home"
            _make(part)
            part.rename(kept)
    except OSError as error:
        # Another process may have been faster; then its folder is as good.
        if not kept.is_dir():
            raise StandInError(f"{folder}: stand-ins cannot be kept: {error.strerror or error}") from error
    return kept


def _make(folder: Path) -> None:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    alone = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", **quiet, **alone, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-m", "parity.docs.making", str(folder)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        last = ended.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        at = ended.stdout.split()[-1:] or ["the vocabularies"]
        raise StandInError(f"stand-ins cannot be made ({at[0]}): {last[0]}")


def _key() -> str:
    """Digest of the table, the code that makes them, and the libraries' versions."""
    digest = hashlib.sha256()
    for path in [data(TABLE), *sorted(data("docs/making").glob("*.py"))]:
        digest.update(path.read_bytes())
    digest.update("\n".join(_versions()).encode())
    return digest.hexdigest()[:32]


def _versions() -> Iterator[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} -"
