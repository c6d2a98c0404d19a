"""Score transformations of sampling: temperature, top-k, then top-p."""

from __future__ import annotations

import numpy as np

from reference.generation.settings import GenerationSettings


def warped(scores: np.ndarray, settings: GenerationSettings) -> tuple[np.ndarray, np.ndarray]:
    """Applies ``temperature``, ``top_k`` and ``top_p`` in this order, which is that of the documentation.

    ``top_k`` 0 and ``top_p`` 1 drop nothing. transformers 4.57.6 has the same order (``generation/utils.py``,
    ``_get_logits_processor``); each step uses the probabilities after the previous one.

    Args:
        scores: float64 [rows, vocab], processed; every row allows a token.

    Returns:
        The scores divided by the temperature, -inf where a token is dropped, float64 [rows, vocab]; and for each row
        the change of the difference of two input scores at which other tokens are selected, float64 [rows].
    """
    scores = np.asarray(scores, dtype=np.float64) / settings.temperature
    lead = np.full(len(scores), np.inf)
    if settings.top_k:
        scores, gap = top_k(scores, settings.top_k)
        lead = np.minimum(lead, gap)
    if settings.top_p < 1:
        scores, gap = top_p(scores, settings.top_p)
        lead = np.minimum(lead, gap)
    return scores, settings.temperature * lead


def top_k(scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` best and all that equal the last of them ("the highest probability vocabulary tokens to keep").

    Retaining ties is not documented; transformers 4.57.6 drops scores below the last (``TopKLogitsWarper``).

    Returns:
        float64 [rows, vocab], -inf where dropped; and the gap between the last retained score and the next, [rows].
    """
    if count >= scores.shape[-1]:
        return scores, np.full(len(scores), np.inf)
    ordered = -np.sort(-scores, axis=-1)
    last, following = ordered[:, count - 1], ordered[:, count]
    return np.where(scores < last[:, None], -np.inf, scores), _gap(last, following)


def top_p(scores: np.ndarray, mass: float) -> tuple[np.ndarray, np.ndarray]:
    """The smallest set of most probable tokens whose probabilities "add up to ``top_p`` or higher".

    So a token is retained if the more probable ones add up to less. Equal ones are ordered by id, as everywhere here.

    Returns:
        float64 [rows, vocab], -inf where dropped; and the change of the difference of two scores at which other tokens
        are retained, [rows].
    """
    order = np.argsort(-scores, axis=-1, kind="stable")
    ordered = np.take_along_axis(scores, order, axis=-1)
    weights = np.exp(ordered - ordered[:, :1])
    sums = np.cumsum(weights, axis=-1)
    sums /= sums[:, -1:]
    before = np.column_stack((np.zeros(len(sums)), sums[:, :-1]))
    stays = before < mass
    limited = np.full_like(scores, -np.inf)
    np.put_along_axis(limited, order, np.where(stays, ordered, -np.inf), axis=-1)
    rows, last = np.arange(len(scores)), stays.sum(axis=-1) - 1
    following = np.column_stack((ordered[:, 1:], np.full(len(scores), -np.inf)))
    near = [_gap(ordered[rows, last], following[rows, last])]
    near += [odds_distance(found[rows, last], np.full(len(rows), mass)) for found in (sums, before)]
    return limited, np.minimum.reduce(near)


def odds_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The distance of two probabilities in log-odds; infinite if one of them is 0 or 1.

    An error of at most ε in all scores multiplies the odds of a set of tokens by at most exp(2ε), reached if those
    inside all increase and those outside all decrease. So this is the change of the difference of two scores that is
    needed to move the probability of a set from the first value to the second.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(np.log(first) - np.log1p(-first) - np.log(second) + np.log1p(-second))
    return np.where(np.isfinite(distance), distance, np.inf)


def _gap(better: np.ndarray, worse: np.ndarray) -> np.ndarray:
    """The gap of two scores; infinite if the lower one is impossible."""
    return np.subtract(better, worse, out=np.full(better.shape, np.inf), where=np.isfinite(worse))
