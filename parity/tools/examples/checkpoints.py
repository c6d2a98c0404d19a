"""The checkpoints and data sets that examples load: stand-ins, or the real ones of the user's hub cache."""

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
    """What an example finds in its ``HF_HOME``."""

    fills: Path | None
    """The hub cache that examples may fill from the network; None: they get no network."""

    def prepare(self, stack: Stack, blocks: Sequence[Block]) -> None:
        """Makes what these examples will find in a stack, before the first of them that loads anything; what stands
        there already stays."""
        ...

    def lacks(self, ids: Sequence[str], stack: Stack) -> str:
        """Why an example that loads these cannot be run; empty where it can."""
        ...

    def standing_in(self, stack: Stack) -> frozenset[str]:
        """Ids of which there is a stand-in only."""
        ...

    def about(self, block: Block, stack: Stack) -> str:
        """What stands under the ids that an example loads, in a word that changes with it."""
        ...

    def install(self, home: Path, stack: Stack, block: Block) -> None:
        """Fills an ``HF_HOME``."""
        ...

    def close(self) -> None:
        """Takes away what was laid out."""
        ...


class StandIns:
    """A hub cache of the tiny stand-ins that examples name, laid out for each stack and linked for each example."""

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
        # Why is said alone where one thing is missing for all, so that it is said once for all examples.
        whys = list(dict.fromkeys(self._lacking[name] for name in absent if name in self._lacking))
        unknown = [name for name in absent if name not in self._lacking]
        if unknown:
            whys.append(f"no stand-in for {', '.join(unknown)}")
        return "; ".join(whys)

    def standing_in(self, stack: Stack) -> frozenset[str]:
        return self._laid_out.get(stack.name, frozenset())

    def about(self, block: Block, stack: Stack) -> str:
        # A stand-in is a link into a folder that is named by the digest of what it was made from.
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
        network: whether what is not there may be fetched.
    """

    def __init__(self, *, network: bool) -> None:
        from huggingface_hub import constants

        self.network, self.cache = network, Path(constants.HF_HUB_CACHE)
        self.fills = self.cache if network else None
        # Where ``datasets`` keeps what it has made of a repository's files; offline it looks nowhere else.
        self._prepared = Path(os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets")

    def _entries(self, name: str) -> dict[Path, list[Path]]:
        """By entry that is there for a name, the versions that it holds."""
        hub = [self.cache / "--".join([kind, *name.split("/")]) for kind in ("models", "datasets")]
        found = {entry: sorted(entry.glob("snapshots/*")) for entry in hub}
        prepared = self._prepared / "___".join(name.split("/"))
        found[prepared] = sorted(path.parent for path in prepared.glob("*/*/*/dataset_info.json"))
        return {entry: versions for entry, versions in found.items() if versions}

    def prepare(self, stack: Stack, blocks: Sequence[Block]) -> None:
        """Nothing: it is there."""

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
                place = home / ("datasets" if entry.parent == self._prepared else "hub")
                place.mkdir(exist_ok=True)
                (place / entry.name).symlink_to(entry)

    def close(self) -> None:
        """Nothing to be taken away."""


def named_in(block: Block) -> set[str]:
    """Ids with a stand-in that an example loads, or names in a text of its own: it may load by a variable."""
    code = "".join(each.code for each in block.statements)
    return {name for name in hub_ids() if f'"{name}"' in code or f"'{name}'" in code} | set(ids_of(block))


def _link(source: str, target: str) -> None:
    """A second name for a file, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
