"""``python -m parity.docs.making FOLDER``: every stand-in, below ``FOLDER`` as they are to lie in ``HF_HOME``."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tomllib
from pathlib import Path

from parity.docs.making.models import write_checkpoint
from parity.docs.making.speech import write_speech
from parity.docs.making.vocabularies import write_vocabulary
from parity.resources import data


def make(folder: Path) -> None:
    """Writes ``hub/models--ORG--NAME/{refs/main, snapshots/REVISION/…}`` for each checkpoint of the table, and
    ``datasets/…`` for each data set."""
    table = tomllib.loads(data("docs/stand_ins.toml").read_text(encoding="utf-8"))
    hub, vocabularies = folder / "hub", folder / ".vocabularies"
    for name, row in table["vocabulary"].items():
        write_vocabulary(row, vocabularies / name)
    for name, row in table["checkpoint"].items():
        print(name, flush=True)
        snapshot = new_snapshot(hub, name)
        if "vocabulary" in row:
            link_all(vocabularies / row["vocabulary"], snapshot)
        write_checkpoint(name, table, snapshot)
        for other in row.get("also", ()):
            link_all(snapshot, new_snapshot(hub, other))
    shutil.rmtree(vocabularies)
    for name, row in table["dataset"].items():
        print(name, flush=True)
        write_speech(name, row, folder / "datasets")


def new_snapshot(hub: Path, hub_id: str) -> Path:
    """An empty snapshot of a repository in a hub cache (huggingface_hub, "Understand caching")."""
    repository = hub / "--".join(["models", *hub_id.split("/")])
    revision = hashlib.sha1(hub_id.encode()).hexdigest()
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision, encoding="utf-8")
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    return snapshot


def link_all(source: Path, folder: Path) -> None:
    """The same files once more, without a second copy on the disk where that can be."""
    for path in source.iterdir():
        try:
            os.link(path, folder / path.name)
        except OSError:
            shutil.copyfile(path, folder / path.name)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
