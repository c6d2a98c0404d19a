"""``python -m parity.docs.making FOLDER``: a hub cache of every stand-in."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tomllib
from pathlib import Path

from parity.docs.making.models import write_checkpoint
from parity.docs.making.vocabularies import write_vocabulary
from parity.resources import data


def make(folder: Path) -> None:
    """Writes ``models--ORG--NAME/{refs/main, snapshots/REVISION/…}`` for each checkpoint of the table."""
    table = tomllib.loads(data("docs/stand_ins.toml").read_text(encoding="utf-8"))
    vocabularies = folder / ".vocabularies"
    for name, row in table["vocabulary"].items():
        write_vocabulary(row, vocabularies / name)
    for name, row in table["checkpoint"].items():
        print(name, flush=True)
        snapshot = new_snapshot(folder, name)
        if "vocabulary" in row:
            link_all(vocabularies / row["vocabulary"], snapshot)
        write_checkpoint(name, table, snapshot)
        for other in row.get("also", ()):
            link_all(snapshot, new_snapshot(folder, other))
    shutil.rmtree(vocabularies)


def new_snapshot(folder: Path, hub_id: str, kind: str = "models") -> Path:
    """An empty snapshot of a repository in a hub cache (huggingface_hub, "Understand caching")."""
    repository = folder / "--".join([kind, *hub_id.split("/")])
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
