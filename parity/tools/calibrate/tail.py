"""The tail of conforming ratios: the level that the largest ratio of an audit exceeds once in a given number of
comparisons (``TAILS``).

The ratios of one subject on one checkpoint are not independent draws: they share inputs, weights and rounding, and are
clustered (one ill-conditioned row affects every tensor after it). The tail is therefore estimated from block maxima, a
block being one subject's ratios on one checkpoint: with n ratios in a block, N comparisons are N/n blocks, and the
result is the level that one of that many blocks exceeds (Coles 2001, An Introduction to Statistical Modeling of Extreme
Values, chapters 3 and 5). An estimate from single ratios would count a cluster of twenty as twenty independent
observations, and predict a tail that no audit shows.

The largest maxima exceed a threshold by a generalised Pareto law (Pickands 1975, Annals of Statistics 3), fitted by
probability-weighted moments (Hosking and Wallis 1987, Technometrics 29), which are accurate for small samples. A fitted
shape below zero would imply a finite upper bound; it is replaced by zero, the exponential tail. Checkpoints of one
architecture are similar, so confidence comes from resampling whole architectures (a cluster bootstrap).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

TAILS = {"float32": 1e-7, "float64": 1e-6, "coarse": 1e-6}
"""By precision, the share of comparisons that may exceed their tolerance by chance.

An audit makes some 3,600 comparisons, so that five hundred without an alarm need less than one in ten million. For that
float32 has been measured on enough checkpoints; for the other precisions there are too few, and extrapolating the tail
ten times beyond the measurements would be unreliable (68 instead of 17 for gradients in half precision).
"""

TOP = 0.2
"""The share of the maxima that the tail is estimated from."""

FEWEST = 20
"""Minimum number of peaks for a fit."""

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
    """Shape (not below zero) and scale of the distribution of excesses over a threshold.

    Args:
        peaks: excesses, all positive.
    """
    ordered = np.sort(peaks)
    above = 1 - (np.arange(1, len(ordered) + 1) - 0.35) / len(ordered)
    mean, weighted = float(ordered.mean()), float((above * ordered).mean())
    shape = 2 - mean / (mean - 2 * weighted) if mean > 2 * weighted else 1.0
    return (0.0, mean) if shape <= 0 else (shape, mean * max(1 - shape, 0.1))


def level(maxima: Float[np.ndarray, " blocks"], share: float) -> float:
    """The level that a ``share`` of such maxima exceeds; the largest maximum if that is higher."""
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
    """The ``level`` that ``CONFIDENCE`` of all resamples of whole clusters do not exceed; never below the sample's own.

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
        clusters: the architecture that its checkpoint shares with others; constant within a block.
    """
    maxima, names = block_maxima(values, blocks)
    of = dict(zip(blocks.tolist(), clusters.tolist(), strict=True))
    share = tail * len(values) / len(maxima)
    return level(maxima, share), confident_level(maxima, np.array([of[name] for name in names.tolist()]), share)
