"""Beam search looks at blocks of scores first; what it then finds is what looking at all of them finds."""

from __future__ import annotations

import numpy as np
import pytest

from reference.generation.search import topk_candidates


def whole(before: np.ndarray, log_probs: np.ndarray, count: int, tolerance: float) -> list[tuple[int, int]]:
    """Beams and tokens of the best ``count`` and of all near the last of them, from every sum there is."""
    totals = before[:, None] + log_probs
    least = np.sort(totals, axis=None)[-count] - tolerance
    return list(zip(*(axis.tolist() for axis in np.nonzero(totals >= least)), strict=True))


@pytest.mark.parametrize("width", [1, 4, 7, 128])
@pytest.mark.parametrize("tolerance", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(30))
def test_nothing_that_counts_is_passed_over(seed: int, tolerance: float, width: int) -> None:
    """Ties across blocks and beams, forbidden tokens, whole rows of them, more asked for than there are blocks."""
    rng = np.random.default_rng(seed)
    beams, vocab = int(rng.integers(1, 5)), int(rng.integers(3, 41))
    before = rng.normal(0, 3, beams)
    log_probs = -rng.exponential(2.0, (beams, vocab))
    if seed % 2:
        before, log_probs = before.round(), log_probs.round()
    log_probs[rng.random((beams, vocab)) < 0.3] = -np.inf
    if seed % 5 == 0:
        log_probs[0] = -np.inf
    count = int(rng.integers(1, log_probs.size + 1))
    parents, tokens = topk_candidates(before, log_probs, count, tolerance, width)
    found = list(zip(parents.tolist(), tokens.tolist(), strict=True))
    assert found == sorted(set(found)), "out of order or twice"
    assert set(whole(before, log_probs, count, tolerance)) <= set(found)
    assert len(found) >= count


def test_most_of_a_large_vocabulary_is_passed_over() -> None:
    log_probs = np.random.default_rng(0).normal(size=(4, 50265))
    assert len(topk_candidates(np.zeros(4), log_probs, 9, 0.0)[0]) < 50 * 128
