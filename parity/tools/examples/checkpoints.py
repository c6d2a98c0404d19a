"""The checkpoints and data sets that examples load: stand-ins, or the real ones in the user's hub cache."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from parity.core.stacks import Stack
from parity.tools.examples.dependence import ids_of
from parity.tools.examples.model import Block
from parity.tools.examples.stand_ins import hub_ids, prepare


class CheckpointProvider(Protocol):
    """Provides the content of an example's ``HF_HOME``."""

    fills: Path | None
    """The hub cache that examples may fill from the network; None: they have no network."""

    def prepare(self, stack: Stack, blocks: Sequence[Block]) -> None:
        """Creates what these examples load in a stack, before the first of them runs; existing entries are not
        replaced."""
        ...

    def lacks(self, ids: Sequence[str], stack: Stack) -> str:
        """Why an example that loads these ids cannot run; empty where it can."""
        ...

    def standing_in(self, stack: Stack) -> frozenset[str]:
        """Ids for which there is only a stand-in."""
        ...

    def about(self, block: Block, stack: Stack) -> str:
        """Identifies the content of the ids that an example loads: a text that changes with the content."""
        ...

    def install(self, home: Path, stack: Stack, block: Block) -> None:
        """Fills an ``HF_HOME``."""
        ...

    def close(self) -> None:
        """Removes the created files."""
        ...


class StandIns:
    """A hub cache of the tiny stand-ins that examples name, created for each stack and linked for each example."""

    fills: Path | None = None

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="parity-stand-ins-", ignore_cleanup_errors=True)
        self._laid_out: dict[str, frozenset[str]] = {}
        self._lacking: dict[str, str] = {}

    def prepare(self, stack: Stack, blocks: Sequence[Block]) -> None:
        wanted = {name for block in blocks for name in named_in(block)} - self.standing_in(stack) - set(self._lacking)
        if wanted or stack.name not in self._laid_out:
            found = prepare(self._home(stack), ids=wanted)
            self._laid_out[stack.name] = self.standing_in(stack) | found.ids
            self._lacking |= found.lacking

    def _home(self, stack: Stack) -> Path:
        return Path(self._folder.name) / stack.name

    def lacks(self, ids: Sequence[str], stack: Stack) -> str:
        absent = [name for name in ids if name not in self.standing_in(stack)]
        # Reasons are returned without the ids, so that a reason common to all examples is reported once.
        whys = list(dict.fromkeys(self._lacking[name] for name in absent if name in self._lacking))
        unknown = [name for name in absent if name not in self._lacking]
        if unknown:
            whys.append(f"no stand-in for {', '.join(unknown)}")
        return "; ".join(whys)

    def standing_in(self, stack: Stack) -> frozenset[str]:
        return self._laid_out.get(stack.name, frozenset())

    def about(self, block: Block, stack: Stack) -> str:
        # A stand-in is a link into a folder named by the digest of its sources.
        hub = self._home(stack) / "hub"
        return " ".join(sorted({str(entry.resolve().parent) for entry in hub.glob("*--*")}) if ids_of(block) else ())

    def install(self, home: Path, stack: Stack, block: Block) -> None:
        if stack.name not in self._laid_out:
            return
        shutil.copytree(self._home(stack), home, symlinks=True, copy_function=_link, dirs_exist_ok=True)

    def close(self) -> None:
        self._folder.cleanup()


class Real:
    """The user's hub cache, linked entry by entry; with the network, that cache itself.

    Args:
        network: whether missing entries may be downloaded.
    """

    def __init__(self, *, network: bool) -> None:
        from huggingface_hub import constants

        self.network, self.cache = network, Path(constants.HF_HUB_CACHE)
        self.fills = self.cache if network else None
        # Where ``datasets`` stores what it has converted from a repository's files; offline it looks nowhere else.
        self._prepared = Path(os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets")

    def _entries(self, name: str) -> dict[Path, list[Path]]:
        """The existing entries of a name, each with its versions."""
        hub = [self.cache / "--".join([kind, *name.split("/")]) for kind in ("models", "datasets")]
        found = {entry: sorted(entry.glob("snapshots/*")) for entry in hub}
        prepared = self._prepared / "___".join(name.split("/"))
        found[prepared] = sorted(path.parent for path in prepared.glob("*/*/*/dataset_info.json"))
        return {entry: versions for entry, versions in found.items() if versions}

    def prepare(self, stack: Stack, blocks: Sequence[Block]) -> None:
        """Does nothing: the cache exists."""

    def lacks(self, ids: Sequence[str], stack: Stack) -> str:
        absent = [] if self.network else [name for name in ids if not self._entries(name)]
        return f"{', '.join(absent)} is not in {self.cache}, and the network was not allowed" if absent else ""

    def standing_in(self, stack: Stack) -> frozenset[str]:
        return frozenset()

    def about(self, block: Block, stack: Stack) -> str:
        found = (versions for name in ids_of(block) for versions in self._entries(name).values())
        return " ".join(str(version) for versions in found for version in versions)

    def install(self, home: Path, stack: Stack, block: Block) -> None:
        if self.network:
            return
        for name in ids_of(block):
            for entry in self._entries(name):
                folder = home / ("datasets" if entry.parent == self._prepared else "hub")
                folder.mkdir(exist_ok=True)
                (folder / entry.name).symlink_to(entry)

    def close(self) -> None:
        """Does nothing: there is nothing to remove."""


def named_in(block: Block) -> set[str]:
    """Ids with a stand-in that an example loads, or that its code contains as a string, as it may load by a
    variable."""
    code = "".join(each.code for each in block.statements)
    return {name for name in hub_ids() if f'"{name}"' in code or f"'{name}'" in code} | set(ids_of(block))


def _link(source: str, target: str) -> None:
    """Hard-links a file, or copies it where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
