"""The random checkpoints of one calibration, divided into chunks that are captured together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from parity.core.case import Case
from parity.core.options import AuditOptions
from parity.tools.calibrate.draw import architecture, deviation, write_checkpoint

CHUNK = 4
"""Number of architectures captured together, to divide the start-up time of a worker among many checkpoints."""

NARROWEST = 16
"""Architectures with a smaller ``d_model`` are excluded. LayerNorm over a handful of numbers, whose mean may be many
times their deviation, is ill-conditioned in a way that no trained model is."""

LARGEST_GAIN = 2.0
"""Checkpoints with a larger gain are excluded: the weights' deviation times the root of ``d_model``, the factor by
which a layer scales its input. BART starts at 0.64 (0.02 · √1024). From about 2 on attention is nearly a hard selection
of positions, conforming backends have errors of several percent in float32 (4 % in gradients was observed), and errors
are no longer proportional to their causes, which is what a tolerance assumes."""


@dataclass(frozen=True)
class Chunk:
    """Architectures ``first`` to ``last - 1`` of a seed, ``draws`` checkpoints of each, computed in one dtype."""

    seed: int
    first: int
    last: int
    draws: int
    dtype: str
    backends: tuple[str, ...] | None
    equal_heads: bool = False
    """Whether the decoders have the encoders' numbers of heads, which some engines require."""
    fixed: tuple[tuple[str, Any], ...] = ()
    """Fields of each config that are not drawn, with their values: what an engine can express."""
    case_set: str = "standard"
    """The cases that are audited (``AuditOptions.case_set``)."""

    @property
    def name(self) -> str:
        return f"{self.seed}-{self.first:04}-{self.last:04}-{self.dtype}"

    def write(self, directory: Path) -> list[Path]:
        """Writes its checkpoints as directories ``ARCHITECTURE-DRAW``."""
        written = []
        for number in range(self.first, self.last):
            rng = np.random.default_rng([self.seed, number])
            config = architecture(rng, equal_heads=self.equal_heads) | dict(self.fixed)
            for draw in range(self.draws):
                if is_requested(self.seed, number, draw):
                    written.append(directory / f"{number}-{draw}")
                    write_checkpoint(written[-1], np.random.default_rng([self.seed, number, draw]), config)
        return written

    def options(self, scratch: Path, cases: Callable[..., list[Case]]) -> AuditOptions:
        """The options for capturing it: into ``scratch``, in one process at a time, since chunks run in parallel."""
        return AuditOptions(
            out=scratch / "run",
            cache=scratch / "cache",
            backends=self.backends,
            dtypes=[self.dtype],
            cases=cases,
            case_set=self.case_set,
            jobs=1,
        )


@cache
def is_requested(seed: int, number: int, draw: int) -> bool:
    """Whether a checkpoint is part of the plan, that is, not excluded (``NARROWEST``, ``LARGEST_GAIN``)."""
    d_model = architecture(np.random.default_rng([seed, number]))["d_model"]
    gain = deviation(np.random.default_rng([seed, number, draw])) * d_model**0.5
    return d_model >= NARROWEST and gain <= LARGEST_GAIN


def chunks(
    seed: int,
    architectures: int,
    draws: int,
    dtypes: Sequence[str],
    backends: Sequence[str] | None,
    dear: int = 0,
    size: int = CHUNK,
    equal_heads: bool = False,
    fixed: Sequence[tuple[str, Any]] = (),
    case_set: str = "standard",
) -> Iterator[Chunk]:
    """All chunks; the dtypes alternate.

    Args:
        backends: the ones measured in every chunk; None for all.
        dear: number of chunks, from the first, in which every backend is measured.
        size: architectures of a chunk.
        equal_heads, fixed, case_set: as for ``Chunk``.
    """
    for number, first in enumerate(range(0, architectures, size)):
        wanted = None if backends is None or number < dear else tuple(backends)
        last, dtype = min(first + size, architectures), dtypes[number % len(dtypes)]
        yield Chunk(seed, first, last, draws, dtype, wanted, equal_heads, tuple(fixed), case_set)
