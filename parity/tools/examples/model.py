"""Data classes for the content of a page or a docstring: sources, blocks, statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["session", "script", "signature", "shell", "unreadable"]
"""``session``: ``>>>`` statements; ``script``: plain Python; ``signature``: a call signature, not code."""
EXECUTED: tuple[Kind, ...] = ("session", "script")


@dataclass(frozen=True)
class Statement:
    """One ``>>>``, or one top-level statement of a script."""

    code: str
    expected: str
    """The documented output, with its line end; empty if there is none."""
    line: int
    """The line in the page or docstring, from 1."""


@dataclass(frozen=True)
class Block:
    """One block of code of a page or docstring. A block that is executed is an example."""

    kind: Kind
    line: int
    statements: tuple[Statement, ...] = ()
    reason: str = ""
    """Why the block is unreadable."""
    notes: tuple[str, ...] = ()
    """What was repaired while it was read."""


@dataclass(frozen=True)
class Source:
    """A page, or the docstring of one class or method."""

    name: str
    """The page's file name, or ``BartModel.forward``."""
    kind: Literal["page", "docstring"]
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()

    def examples(self) -> list[tuple[str, Block]]:
        """Blocks to be executed, by name: ``bart.md:53`` or ``BartModel.forward#1``."""
        executed = [block for block in self.blocks if block.kind in EXECUTED]
        if self.kind == "page":
            return [(f"{self.name}:{block.line}", block) for block in executed]
        return [(f"{self.name}#{number}", block) for number, block in enumerate(executed, 1)]
