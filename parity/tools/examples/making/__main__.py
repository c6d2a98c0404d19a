"""``python -m parity.tools.examples.making FOLDER ID…``: creates stand-ins below ``FOLDER`` in the layout of
``HF_HOME``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parity.core.resources import data
from parity.tools.examples.making.models import write_checkpoint
from parity.tools.examples.making.speech import write_speech
from parity.tools.examples.making.vocabularies import write_vocabulary


def make(folder: Path, names: Sequence[str]) -> None:
    """Writes ``hub/models--ORG--NAME/{refs/main, snapshots/REVISION/…}`` for each checkpoint, and ``datasets/…`` for
    each data set.

    The result of each is a line of JSON on standard output; a failure of one does not affect the others.
    """
    table = tomllib.loads(data("tools/examples/stand_ins.toml").read_text(encoding="utf-8"))
    rows = {name: own for own, row in table["checkpoint"].items() for name in (own, *row.get("also", ()))}
    for own in dict.fromkeys(rows.get(name, name) for name in names):
        row = table["checkpoint"].get(own)
        try:
            if row is None:
                write_speech(own, table["dataset"][own], folder / "datasets")
            else:
                _write(own, table, folder)
            error = ""
        except Exception as raised:  # libraries of other versions may raise anything
            error = f"{type(raised).__name__}: {raised}"[:1000]
        for name in (own, *(row.get("also", ()) if row else ())):
            if error:
                shutil.rmtree(repository_of(folder / "hub", name), ignore_errors=True)
            print(json.dumps({"name": name, "error": " ".join(error.split())}), flush=True)


def _write(name: str, table: dict[str, Any], folder: Path) -> None:
    """Writes one checkpoint, with its tokenizer, under all its ids."""
    row, hub = table["checkpoint"][name], folder / "hub"
    snapshot = new_snapshot(hub, name)
    if "vocabulary" in row:
        vocabulary = folder / ".vocabularies" / row["vocabulary"]
        if not vocabulary.is_dir():
            try:
                write_vocabulary(table["vocabulary"][row["vocabulary"]], vocabulary)
            except BaseException:
                shutil.rmtree(vocabulary, ignore_errors=True)
                raise
        link_all(vocabulary, snapshot)
    write_checkpoint(name, table, snapshot)
    for other in row.get("also", ()):
        link_all(snapshot, new_snapshot(hub, other))


def repository_of(hub: Path, hub_id: str) -> Path:
    """The path of a model's repository in a hub cache."""
    return hub / "--".join(["models", *hub_id.split("/")])


def new_snapshot(hub: Path, hub_id: str) -> Path:
    """Creates an empty snapshot of a repository in a hub cache (huggingface_hub, "Understand caching")."""
    repository = repository_of(hub, hub_id)
    revision = hashlib.sha1(hub_id.encode()).hexdigest()
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision, encoding="utf-8")
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    return snapshot


def link_all(source: Path, folder: Path) -> None:
    """Hard-links the same files into another folder, where possible without a second copy on the disk."""
    for path in source.iterdir():
        try:
            os.link(path, folder / path.name)
        except OSError:
            shutil.copyfile(path, folder / path.name)


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2:])
