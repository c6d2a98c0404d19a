"""Scores of a given text's tokens, and of the best alternatives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reference.generation.dialect import DOCUMENTED, Dialect
from reference.generation.generate import check_allowed, checked, leads, repeated_sources
from reference.generation.processors import Sources, SourceTokens, log_softmax, processed, ruled
from reference.generation.sampling import bounds, checked_numbers, drawn, interval, margin
from reference.generation.search import penalty
from reference.generation.settings import GenerationSettings
from reference.generation.warpers import odds_distance, warped


@dataclass(frozen=True)
class TokenScores:
    """Step t is the choice of ``sequences[:, t + 1]``. After a row's end scores are 0, ids -1, leads infinite."""

    counted: np.ndarray
    """bool [rows, tgt]: the row had not ended before this step."""
    taken: np.ndarray
    """float64 [rows, tgt]: the score of the token taken; -inf where it was forbidden."""
    best: np.ndarray
    """float64 [rows, tgt]: the best score allowed."""
    best_id: np.ndarray
    """int64 [rows, tgt]: its token, the lower id of equal ones."""
    lead: np.ndarray
    """float64 [rows, tgt]: by how much the best is ahead of the runner-up; infinite where nothing else is allowed."""
    total: np.ndarray
    """float64 [rows]: the sum of the scores of the tokens taken."""
    score: np.ndarray | None
    """float64 [rows]: the total divided by the penalty of the row's length; None where beams are not searched."""


@dataclass(frozen=True)
class TokenDraws:
    """Step t is the draw of ``sequences[:, t + 1]``. After a row's end ids are -1, distances 0 and leads infinite."""

    counted: np.ndarray
    """bool [rows, tgt]: the row had not ended before this step."""
    drawn: np.ndarray
    """int64 [rows, tgt]: the token that the number selects."""
    distance: np.ndarray
    """float64 [rows, tgt]: the change of the difference of two scores after which the number selects the token taken; 0
    where it does already, infinite where that token is filtered out."""
    lead: np.ndarray
    """float64 [rows, tgt]: the change of the difference of two scores after which the number selects another token, or
    ``top_k`` and ``top_p`` keep others."""
    warping_lead: np.ndarray
    """float64 [rows, tgt]: the latter alone; where it is within a tolerance, distances are meaningless."""


def score_tokens(
    logits: np.ndarray,
    sequences: np.ndarray,
    settings: GenerationSettings,
    dialect: Dialect = DOCUMENTED,
    sources: SourceTokens | None = None,
) -> TokenScores:
    """Scores given texts under the settings they were generated with.

    Scores are processed logits in greedy search, processed log-probabilities in beam search, and in sampling the
    logarithms of the probabilities that were drawn from, so that the total is that of the text.

    Args:
        logits: float64 [rows, tgt, vocab]; step t has seen ``sequences[:, : t + 1]``.
        sequences: int64 [rows, tgt + 1], the start token first; tokens after a row's end are ignored.
        sources: the tokens of each row's source, for settings that depend on them; None if it is not text.

    Raises:
        ValueError: the shapes do not match, or the logits have NaN at a step that is scored.
    """
    settings, counted = settings.resolved(dialect), _counted(logits, sequences, settings)
    each = repeated_sources(sources, 1)
    rows, steps, _ = logits.shape
    taken, best, lead = np.zeros((rows, steps)), np.zeros((rows, steps)), np.full((rows, steps), np.inf)
    best_id = np.full((rows, steps), -1, dtype=np.int64)
    for t in range(steps):
        on = counted[:, t]
        here = None if each is None else each.rows(np.flatnonzero(on).tolist())
        scores = _scores(checked(logits[on, t]), sequences[on, : t + 1], settings, here)
        best_id[on, t], lead[on, t] = leads(scores)
        best[on, t], taken[on, t] = scores.max(axis=-1), scores[np.arange(on.sum()), sequences[on, t + 1]]
    # Summed one after the other, as in the search, so that equal scores have equal sums.
    total = np.cumsum(taken, axis=1)[:, -1] if steps else np.zeros(rows)
    penalties = np.array([penalty(1 + int(n), settings, dialect) for n in counted.sum(axis=1)])
    return TokenScores(
        counted, taken, best, best_id, lead, total, None if settings.num_beams == 1 else total / penalties
    )


def score_draws(
    logits: np.ndarray,
    sequences: np.ndarray,
    uniforms: np.ndarray,
    settings: GenerationSettings,
    dialect: Dialect = DOCUMENTED,
    sources: SourceTokens | None = None,
) -> TokenDraws:
    """The tokens that uniform numbers select after each prefix of given texts, and their distance from the texts'
    tokens.

    Args:
        logits: float64 [rows, tgt, vocab]; step t has seen ``sequences[:, : t + 1]``.
        sequences: int64 [rows, tgt + 1], the start token first; tokens after a row's end are ignored.
        uniforms: float64 [steps, rows], the numbers from which the texts were supposedly sampled.
        sources: as for ``score_tokens``.

    Raises:
        ValueError: the shapes do not match, a number is out of range, the settings do not sample, or the logits have
            NaN, or every token is forbidden, at a step that is scored.
    """
    if not settings.do_sample:
        raise ValueError("do_sample is not set: no tokens were sampled")
    settings, counted = settings.resolved(dialect), _counted(logits, sequences, settings)
    rows, steps = counted.shape
    numbers = checked_numbers(uniforms, steps, rows)
    each = repeated_sources(sources, 1)
    found = [np.full((rows, steps), value) for value in (-1, 0.0, np.inf, np.inf)]
    for t in range(steps):
        on = counted[:, t]
        here = None if each is None else each.rows(np.flatnonzero(on).tolist())
        scores = ruled(checked(logits[on, t]), sequences[on, : t + 1], settings, here)
        check_allowed(scores.max(axis=-1, initial=-np.inf), t + 1)
        warped_scores, warping_lead = warped(scores, settings)
        upper, number = bounds(warped_scores), numbers[t, on]
        picked = drawn(upper, number)
        lead = settings.temperature * margin(number, *interval(upper, picked))
        distance = settings.temperature * _outside(number, *interval(upper, sequences[on, t + 1]))
        lead = np.minimum(warping_lead, lead)
        for whole, part in zip(found, (picked, distance, lead, warping_lead), strict=True):
            whole[on, t] = part
    return TokenDraws(counted, *found)


def _outside(numbers: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The change in log-odds that moves a number into an interval; infinite if the interval is empty."""
    nearest = np.where(numbers < lower, odds_distance(numbers, lower), odds_distance(numbers, upper))
    inside = (lower <= numbers) & (numbers < upper)
    return np.where(inside, 0.0, np.where(lower < upper, nearest, np.inf))


def _counted(logits: np.ndarray, sequences: np.ndarray, settings: GenerationSettings) -> np.ndarray:
    """bool [rows, tgt]: the row had not ended before this step."""
    if logits.ndim != 3 or sequences.shape != (logits.shape[0], logits.shape[1] + 1):
        raise ValueError(f"logits {list(logits.shape)} do not belong to sequences {list(sequences.shape)}")
    ended = np.cumsum(np.isin(sequences[:, 1:], settings.ends), axis=1)
    return np.column_stack((np.ones((len(ended), min(ended.shape[1], 1)), dtype=bool), ended[:, :-1] == 0))


def _scores(
    logits: np.ndarray, tokens: np.ndarray, settings: GenerationSettings, sources: Sources | None
) -> np.ndarray:
    settings = replace(settings, renormalize_logits=settings.renormalize_logits or settings.do_sample)
    return processed(logits if settings.num_beams == 1 else log_softmax(logits), tokens, settings, sources)
