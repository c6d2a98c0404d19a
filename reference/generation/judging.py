"""Judging a given text: what its tokens scored, and what would have been better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.generation.dialect import DOCUMENTED, Dialect
from reference.generation.generate import checked, leads
from reference.generation.processors import log_softmax, processed
from reference.generation.search import penalty
from reference.generation.settings import GenerationSettings


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
    """float64 [rows]: the total divided by the penalty of the row's length; None in greedy search."""


def score_tokens(
    logits: np.ndarray, sequences: np.ndarray, settings: GenerationSettings, dialect: Dialect = DOCUMENTED
) -> TokenScores:
    """Scores given texts under the settings they were generated with.

    Scores are processed logits where ``num_beams`` is 1, else processed log-probabilities.

    Args:
        logits: float64 [rows, tgt, vocab]; step t has seen ``sequences[:, : t + 1]``.
        sequences: int64 [rows, tgt + 1], the start token first; what follows a row's end is not looked at.

    Raises:
        ValueError: the shapes do not fit, or the logits hold NaN at a step that counts.
    """
    if logits.ndim != 3 or sequences.shape != (logits.shape[0], logits.shape[1] + 1):
        raise ValueError(f"logits {list(logits.shape)} do not belong to sequences {list(sequences.shape)}")
    settings = settings.resolved(dialect)
    rows, steps, _ = logits.shape
    ended = np.cumsum(sequences[:, 1:] == settings.eos_token_id, axis=1)
    counted = np.column_stack((np.ones((rows, min(steps, 1)), dtype=bool), ended[:, :-1] == 0))
    taken, best, lead = np.zeros((rows, steps)), np.zeros((rows, steps)), np.full((rows, steps), np.inf)
    best_id = np.full((rows, steps), -1, dtype=np.int64)
    for t in range(steps):
        on = counted[:, t]
        scores = _scores(checked(logits[on, t]), sequences[on, : t + 1], settings)
        best_id[on, t], lead[on, t] = leads(scores)
        best[on, t], taken[on, t] = scores.max(axis=-1), scores[np.arange(on.sum()), sequences[on, t + 1]]
    # Added one after the other, as the search does, so that equal scores give equal sums.
    total = np.cumsum(taken, axis=1)[:, -1] if steps else np.zeros(rows)
    penalties = np.array([penalty(1 + int(n), settings, dialect) for n in counted.sum(axis=1)])
    return TokenScores(
        counted, taken, best, best_id, lead, total, None if settings.num_beams == 1 else total / penalties
    )


def _scores(logits: np.ndarray, tokens: np.ndarray, settings: GenerationSettings) -> np.ndarray:
    scores = logits if settings.num_beams == 1 else log_softmax(logits)
    return processed(scores, tokens, settings)
