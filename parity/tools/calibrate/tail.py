"""How far conforming ratios reach: the level that the worst of an audit exceeds once in so many comparisons
(``TAILS``).

The ratios of one subject on one checkpoint are no independent draws: they share inputs, weights and rounding, and
come in clumps (one ill-conditioned row shows in every tensor after it). So the tail is read from block maxima, a block
being one subject's ratios on one checkpoint: with n ratios in a block, N comparisons are N/n blocks, and the level that
one of so many blocks exceeds is wanted (Coles 2001, An Introduction to Statistical Modeling of Extreme
Values, chapters 3 and 5). Read from single ratios instead, a clump of twenty counts as twenty pieces of evidence, and
the same data promise a tail that no audit shows.

The largest maxima exceed a threshold by a generalised Pareto law (Pickands 1975, Annals of Statistics 3), fitted by
probability-weighted moments (Hosking and Wallis 1987, Technometrics 29), which do well in small samples. A fitted shape
below zero would promise an end that nothing is ever beyond; it is read as zero, the exponential tail. Checkpoints of
one architecture are alike, so confidence comes from drawing whole architectures anew (a cluster bootstrap).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

TAILS = {"float32": 1e-7, "float64": 1e-6, "coarse": 1e-6}
"""By precision, the share of comparisons that may exceed their tolerance by chance.

An audit makes some 3,600 comparisons, so that five hundred without an alarm need less than one in ten million. For that
float32 has been measured on enough checkpoints; of the other precisions there are too few, and a tail read ten times
farther out than they reach would be a guess (68 in place of 17 for gradients in half precision).
"""

TOP = 0.2
"""The share of the maxima that the tail is read from."""

FEWEST = 20
"""Peaks that a fit needs."""

CONFIDENCE = 0.95
RESAMPLED = 1000


def block_maxima(
    values: Float[np.ndarray, " ratios"], blocks: Shaped[np.ndarray, " ratios"]
) -> tuple[Float[np.ndarray, " blocks"], Shaped[np.ndarray, " blocks"]]:
    """The largest ratio of each block, and the blocks in that order."""
    names, index = np.unique(blocks, return_inverse=True)
    maxima = np.full(len(names), -np.inf)
    np.maximum.at(maxima, index, values)
    return maxima, names


def pareto(peaks: Float[np.ndarray, " peaks"]) -> tuple[float, float]:
    """Shape (not below zero) and scale of the law that excesses over a threshold follow.

    Args:
        peaks: excesses, all positive.
    """
    ordered = np.sort(peaks)
    above = 1 - (np.arange(1, len(ordered) + 1) - 0.35) / len(ordered)
    mean, weighted = float(ordered.mean()), float((above * ordered).mean())
    shape = 2 - mean / (mean - 2 * weighted) if mean > 2 * weighted else 1.0
    return (0.0, mean) if shape <= 0 else (shape, mean * max(1 - shape, 0.1))


def level(maxima: Float[np.ndarray, " blocks"], share: float) -> float:
    """What a ``share`` of such maxima would exceed; the largest of them where that is more."""
    largest, count = float(maxima.max()), max(FEWEST, int(TOP * len(maxima)))
    if len(maxima) <= count:
        return largest
    ordered = np.sort(maxima)[-count - 1 :]
    threshold, peaks = float(ordered[0]), ordered[1:][ordered[1:] > ordered[0]] - ordered[0]
    rarer = len(peaks) / len(maxima) / share
    if rarer <= 1:
        return largest
    shape, scale = pareto(peaks)
    beyond = scale * np.log(rarer) if shape == 0 else scale / shape * (rarer**shape - 1)
    return max(largest, threshold + float(beyond))


def confident_level(
    maxima: Float[np.ndarray, " blocks"], clusters: Shaped[np.ndarray, " blocks"], share: float, seed: int = 0
) -> float:
    """The ``level`` that ``CONFIDENCE`` of all resamples of whole clusters stay below; never below the sample's own.

    Args:
        clusters: which maxima belong together.
    """
    names = np.unique(clusters)
    parts = [maxima[clusters == name] for name in names]
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(parts), size=(RESAMPLED, len(parts)))
    found = [level(np.concatenate([parts[i] for i in row]), share) for row in drawn]
    return max(level(maxima, share), float(np.quantile(found, CONFIDENCE)))


def reach(
    values: Float[np.ndarray, " ratios"],
    blocks: Shaped[np.ndarray, " ratios"],
    clusters: Shaped[np.ndarray, " ratios"],
    tail: float,
) -> tuple[float, float]:
    """The level that one comparison in ``1 / tail`` would exceed: as estimated, and with ``CONFIDENCE``.

    Args:
        blocks: subject and checkpoint of each ratio.
        clusters: what its checkpoint shares with others; the same throughout a block.
    """
    maxima, names = block_maxima(values, blocks)
    of = dict(zip(blocks.tolist(), clusters.tolist(), strict=True))
    share = tail * len(values) / len(maxima)
    return level(maxima, share), confident_level(maxima, np.array([of[name] for name in names.tolist()]), share)
