"""Score transformations of sampling: temperature, then the rules that drop improbable tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from reference.generation.settings import GenerationSettings

Rule = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]
"""From scores and the setting's value to the scores with -inf where a token is dropped, and the margin of each row."""


def warped(scores: np.ndarray, settings: GenerationSettings) -> tuple[np.ndarray, np.ndarray]:
    """Applies ``temperature``, ``top_k``, ``top_p``, ``min_p``, ``typical_p``, ``epsilon_cutoff`` and ``eta_cutoff``.

    The order is that of the documentation and of transformers 4.57.6 (``generation/utils.py``,
    ``_get_logits_processor``); each rule uses the probabilities after the previous one. A rule at its documented
    default drops nothing, and none drops the most probable token.

    Args:
        scores: float64 [rows, vocab], processed; every row allows a token.

    Returns:
        The scores divided by the temperature, -inf where a token is dropped, float64 [rows, vocab]; and for each row
        the change of the difference of two input scores at which other tokens are selected, float64 [rows].
    """
    scores = np.asarray(scores, dtype=np.float64) / settings.temperature
    lead = np.full(len(scores), np.inf)
    for rule, value in _rules(settings):
        scores, gap = rule(scores, value)
        lead = np.minimum(lead, gap)
    return scores, settings.temperature * lead


def _rules(settings: GenerationSettings) -> Iterator[tuple[Rule, float]]:
    if settings.top_k:
        yield top_k, settings.top_k
    if settings.top_p < 1:
        yield top_p, settings.top_p
    if settings.min_p:
        yield min_p, settings.min_p
    if settings.typical_p < 1:
        yield typical, settings.typical_p
    if settings.epsilon_cutoff:
        yield epsilon, settings.epsilon_cutoff
    if settings.eta_cutoff:
        yield eta, settings.eta_cutoff


def top_k(scores: np.ndarray, count: float) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` best and all that equal the last of them ("the highest probability vocabulary tokens to keep").

    Retaining ties is not documented; transformers 4.57.6 drops scores below the last (``TopKLogitsWarper``).

    Returns:
        float64 [rows, vocab], -inf where dropped; and the gap between the last retained score and the next, [rows].
    """
    count = int(count)
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
    limited, (last, following), near = _smallest_set(scores, -scores, mass)
    return limited, np.minimum(_gap(-last, -following), near)


def min_p(scores: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Tokens whose probability is at least ``min_p`` times that of the most probable one.

    Returns:
        float64 [rows, vocab], -inf where dropped; and the smallest distance of a score from the limit, [rows].
    """
    limit = scores.max(axis=-1, keepdims=True) + np.log(share)
    return _at_least(scores, scores, limit, np.abs(scores - limit))


def typical(scores: np.ndarray, mass: float) -> tuple[np.ndarray, np.ndarray]:
    """The smallest set of tokens whose information is nearest to the entropy and that "add up to ``typical_p`` or
    higher" (Meister et al. 2022, "Locally Typical Sampling", section 4).

    Returns:
        float64 [rows, vocab], -inf where dropped; and the change of the difference of two scores at which other tokens
        are retained, to first order, [rows].
    """
    log_probs, entropy, spread = information(scores)
    limited, (last, following), near = _smallest_set(scores, np.abs(log_probs + entropy[:, None]), mass)
    # Both deviations change, each with its own information and with the entropy.
    return limited, np.minimum(_gap(-last, -following) / (2 + spread), near)


def epsilon(scores: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Tokens with a probability of at least ``epsilon_cutoff`` (Hewitt et al. 2022, "Truncation Sampling as Language
    Model Desmoothing", section 4).

    Returns:
        float64 [rows, vocab], -inf where dropped; and the change of the difference of two scores at which other tokens
        are retained, [rows].
    """
    probabilities = np.exp(information(scores)[0])
    return _at_least(scores, probabilities, limit, odds_distance(probabilities, np.full_like(probabilities, limit)))


def eta(scores: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Tokens with a probability of at least ``eta_cutoff``, or of ``sqrt(eta_cutoff)`` times exp of the negative
    entropy if that is less (the same paper, section 4.3).

    Returns:
        float64 [rows, vocab], -inf where dropped; and the change of the difference of two scores at which other tokens
        are retained, to first order, [rows].
    """
    log_probs, entropy, spread = information(scores)
    limit = np.minimum(np.log(cutoff), np.log(cutoff) / 2 - entropy)[:, None]
    return _at_least(scores, log_probs, limit, np.abs(log_probs - limit) / (1 + spread[:, None] / 2))


def information(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-probabilities [rows, vocab], their entropy [rows], and the mean absolute deviation of the information from
    it [rows].

    If no difference of two scores changes by more than d, the entropy changes by at most d / 2 times that deviation, to
    first order: its derivative by a score is -p (log p + entropy).
    """
    best = scores.max(axis=-1, keepdims=True)
    log_probs = scores - best - np.log(np.exp(scores - best).sum(axis=-1, keepdims=True))
    finite = np.where(np.isneginf(log_probs), 0.0, log_probs)
    probabilities = np.exp(log_probs)
    entropy = -(probabilities * finite).sum(axis=-1)
    return log_probs, entropy, (probabilities * np.abs(finite + entropy[:, None])).sum(axis=-1)


def _at_least(
    scores: np.ndarray, values: np.ndarray, limit: np.ndarray | float, distances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best token and those whose value reaches the limit; and the smallest distance of another one from it."""
    best = scores == scores.max(axis=-1, keepdims=True)
    excluded = best | np.isneginf(scores)
    return np.where(best | (values >= limit), scores, -np.inf), np.where(excluded, np.inf, distances).min(axis=-1)


def _smallest_set(
    scores: np.ndarray, cost: np.ndarray, mass: float
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The tokens of lowest cost whose probabilities add up to ``mass`` or more; equal costs in the order of ids.

    Returns:
        The scores, -inf where dropped, float64 [rows, vocab]; the costs of the last token retained and of the next,
        [rows] each (inf if it is impossible); and the distance of the two sums from ``mass`` in log-odds, [rows].
    """
    cost = np.where(np.isneginf(scores), np.inf, cost)
    order = np.argsort(cost, axis=-1, kind="stable")
    ordered, costs = np.take_along_axis(scores, order, axis=-1), np.take_along_axis(cost, order, axis=-1)
    sums = np.cumsum(np.exp(ordered - scores.max(axis=-1, keepdims=True)), axis=-1)
    sums /= sums[:, -1:]
    before = np.column_stack((np.zeros(len(sums)), sums[:, :-1]))
    stays = before < mass
    limited = np.full_like(scores, -np.inf)
    np.put_along_axis(limited, order, np.where(stays, ordered, -np.inf), axis=-1)
    rows, last = np.arange(len(scores)), stays.sum(axis=-1) - 1
    following = np.column_stack((costs[:, 1:], np.full(len(costs), np.inf)))[rows, last]
    near = [odds_distance(found[rows, last], np.full(len(rows), mass)) for found in (sums, before)]
    return limited, (costs[rows, last], following), np.minimum.reduce(near)


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
