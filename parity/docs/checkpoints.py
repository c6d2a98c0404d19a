"""The checkpoints and data sets that examples load: stand-ins, or the real ones of the user's hub cache."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from parity.docs.dependence import ids_of
from parity.docs.examples import Block
from parity.docs.stand_ins import lay_out
from parity.stacks import Stack


class Shelf(Protocol):
    """What an example finds in its ``HF_HOME``."""

    fills: Path | None
    """The hub cache that examples may fill from the network; None: they get no network."""

    def lay_out(self, stack: Stack) -> None:
        """Makes what a stack's examples will find, before the first of them that loads anything."""

    def lacks(self, ids: Sequence[str], stack: Stack) -> str:
        """Why an example that loads these cannot be run; empty where it can."""

    def standing_in(self, stack: Stack) -> frozenset[str]:
        """Ids of which there is a stand-in only."""

    def about(self, block: Block, stack: Stack) -> str:
        """What stands under the ids that an example loads, in a word that changes with it."""

    def furnish(self, home: Path, stack: Stack, block: Block) -> None:
        """Fills an ``HF_HOME``."""

    def close(self) -> None:
        """Takes away what was laid out."""


class StandIns:
    """A hub cache of tiny stand-ins, laid out once for each stack and linked for each example."""

    fills: Path | None = None

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="parity-stand-ins-", ignore_cleanup_errors=True)
        self._laid_out: dict[str, frozenset[str]] = {}

    def lay_out(self, stack: Stack) -> None:
        self._home(stack).mkdir()
        self._laid_out[stack.name] = lay_out(self._home(stack), stack.interpreter)

    def _home(self, stack: Stack) -> Path:
        return Path(self._folder.name) / stack.name

    def lacks(self, ids: Sequence[str], stack: Stack) -> str:
        absent = [name for name in ids if name not in self.standing_in(stack)]
        return f"no stand-in for {', '.join(absent)}" if absent else ""

    def standing_in(self, stack: Stack) -> frozenset[str]:
        return self._laid_out.get(stack.name, frozenset())

    def about(self, block: Block, stack: Stack) -> str:
        # A stand-in is a link into a folder that is named by the digest of what it was made from.
        hub = self._home(stack) / "hub"
        return " ".join(sorted({str(entry.resolve().parent) for entry in hub.glob("*--*")}) if ids_of(block) else ())

    def furnish(self, home: Path, stack: Stack, block: Block) -> None:
        if stack.name not in self._laid_out:
            return
        shutil.copytree(self._home(stack), home, symlinks=True, copy_function=_link, dirs_exist_ok=True)

    def close(self) -> None:
        self._folder.cleanup()


class Real:
    """The user's hub cache, linked entry by entry; with the network, that cache itself.

    Args:
        network: whether what is not there may be fetched.
    """

    def __init__(self, *, network: bool) -> None:
        from huggingface_hub import constants

        self.network, self.cache = network, Path(constants.HF_HUB_CACHE)
        self.fills = self.cache if network else None

    def _entries(self, name: str) -> list[Path]:
        folder = name.replace("/", "--")
        found = (self.cache / f"{kind}--{folder}" for kind in ("models", "datasets"))
        return [entry for entry in found if (entry / "snapshots").is_dir()]

    def lay_out(self, stack: Stack) -> None:
        """Nothing: it is there."""

    def lacks(self, ids: Sequence[str], stack: Stack) -> str:
        absent = [] if self.network else [name for name in ids if not self._entries(name)]
        return f"{', '.join(absent)} is not in {self.cache}, and the network was not allowed" if absent else ""

    def standing_in(self, stack: Stack) -> frozenset[str]:
        return frozenset()

    def about(self, block: Block, stack: Stack) -> str:
        entries = [entry for name in ids_of(block) for entry in self._entries(name)]
        return " ".join(str(revision) for entry in entries for revision in sorted((entry / "snapshots").iterdir()))

    def furnish(self, home: Path, stack: Stack, block: Block) -> None:
        if self.network:
            return
        (home / "hub").mkdir(exist_ok=True)
        for name in ids_of(block):
            for entry in self._entries(name):
                (home / "hub" / entry.name).symlink_to(entry)

    def close(self) -> None:
        """Nothing to be taken away."""


def _link(source: str, target: str) -> None:
    """A second name for a file, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
