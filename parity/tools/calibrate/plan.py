"""The random checkpoints of one calibration, cut into chunks that are captured together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from parity.core.case import Case
from parity.core.options import AuditOptions
from parity.tools.calibrate.draw import architecture, deviation, write_checkpoint

CHUNK = 4
"""Architectures captured together: a worker that is started once for many checkpoints spends its time on them."""

NARROWEST = 16
"""Architectures of a smaller ``d_model`` are passed over. LayerNorm over a handful of numbers, whose mean may be many
times their deviation, is ill-conditioned in a way that no model is that anybody trained."""

LARGEST_GAIN = 2.0
"""Checkpoints of a larger gain are passed over: the weights' deviation times the root of ``d_model``, by which a layer
stretches what it is given. BART starts at 0.64 (0.02 · √1024). From about 2 on attention is a hard choice between
positions, conforming backends err by percents in float32 (gradients by 4 % were seen), and an error no longer grows in
proportion to what caused it, which is all that a tolerance can scale."""


@dataclass(frozen=True)
class Chunk:
    """Architectures ``first`` to ``last - 1`` of a seed, ``draws`` checkpoints of each, computed in one dtype."""

    seed: int
    first: int
    last: int
    draws: int
    dtype: str
    backends: tuple[str, ...] | None

    @property
    def name(self) -> str:
        return f"{self.seed}-{self.first:04}-{self.last:04}-{self.dtype}"

    def write(self, directory: Path) -> list[Path]:
        """Its checkpoints as directories ``ARCHITECTURE-DRAW``."""
        written = []
        for number in range(self.first, self.last):
            config = architecture(np.random.default_rng([self.seed, number]))
            for draw in range(self.draws):
                if is_requested(self.seed, number, draw):
                    written.append(directory / f"{number}-{draw}")
                    write_checkpoint(written[-1], np.random.default_rng([self.seed, number, draw]), config)
        return written

    def options(self, scratch: Path, cases: Callable[..., list[Case]]) -> AuditOptions:
        """How it is captured: into ``scratch``, in one process at a time, since chunks run side by side."""
        return AuditOptions(
            out=scratch / "run",
            cache=scratch / "cache",
            backends=self.backends,
            dtypes=[self.dtype],
            cases=cases,
            jobs=1,
        )


@cache
def is_requested(seed: int, number: int, draw: int) -> bool:
    """Whether a checkpoint is none of those that are passed over (``NARROWEST``, ``LARGEST_GAIN``)."""
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
) -> Iterator[Chunk]:
    """All of them, the dtypes in turn.

    Args:
        backends: the ones measured throughout; None for all.
        dear: in the first so many chunks every backend is measured.
        size: architectures of a chunk.
    """
    for number, first in enumerate(range(0, architectures, size)):
        wanted = None if backends is None or number < dear else tuple(backends)
        last, dtype = min(first + size, architectures), dtypes[number % len(dtypes)]
        yield Chunk(seed, first, last, draws, dtype, wanted)
