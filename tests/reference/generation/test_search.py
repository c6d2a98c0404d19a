"""Steps of beam search: the candidates by blocks of scores, and an end after a forced token."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reference.generation.dialect import DOCUMENTED, Dialect, EndAfterForced
from reference.generation.search import Beam, Search, advance, successors, topk_candidates
from reference.generation.settings import GenerationSettings

ONLY_BEST = Dialect(end_after_forced=EndAfterForced.ONLY_BEST)
END = 2
FORCED = GenerationSettings(
    decoder_start_token_id=3, eos_token_id=END, pad_token_id=1, forced_bos_token_id=0, num_beams=2, max_length=9
)
AFTER_FORCED = Search((Beam((3, 0), 0.0),), (), 2)


def log_probs(**scores: float) -> np.ndarray:
    """float64 [1, 8]: -9 but for the tokens ``t4=-1.0``."""
    row = np.full((1, 8), -9.0)
    for token, score in scores.items():
        row[0, int(token[1:])] = score
    return row


def texts(search: Search) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The open beams' tokens after the forced one, and the finished texts'."""
    return [beam.tokens[2:] for beam in search.beams], [text.tokens[2:] for text in search.finished]


@pytest.mark.parametrize(
    ("scores", "elsewhere", "only_best"),
    [
        pytest.param(
            {"t4": -1, "t2": -2, "t5": -3}, ([(4,), (5,)], [(2,)]), ([(4,)], []), id="second: lost, and its place"
        ),
        pytest.param({"t2": -1, "t4": -2, "t5": -3}, ([(4,), (5,)], [(2,)]), ([(4,), (5,)], [(2,)]), id="best: ends"),
        pytest.param({"t4": -1, "t5": -2, "t2": -3}, ([(4,), (5,)], []), ([(4,), (5,)], []), id="third: no candidate"),
    ],
)
def test_an_end_after_a_forced_token_counts_only_as_the_best_candidate(scores, elsewhere, only_best):
    assert texts(advance(AFTER_FORCED, log_probs(**scores), FORCED, DOCUMENTED)) == elsewhere
    assert texts(advance(AFTER_FORCED, log_probs(**scores), FORCED, ONLY_BEST)) == only_best


def test_an_end_near_the_best_candidate_may_count_or_be_lost():
    near = log_probs(t4=-1.0, t2=-1.05, t5=-3.0)
    found = [texts(search) for search, _ in successors(AFTER_FORCED, near, FORCED, ONLY_BEST, tolerance=0.1, limit=4)]
    assert found[0] == ([(4,)], []) and ([(4,), (5,)], [(2,)]) in found
    best = log_probs(t2=-1.0, t4=-1.05, t5=-3.0)
    found = [texts(search) for search, _ in successors(AFTER_FORCED, best, FORCED, ONLY_BEST, tolerance=0.1, limit=4)]
    assert found[0] == ([(4,), (5,)], [(2,)]) and ([(4,)], []) in found


def test_without_a_forced_token_or_later_the_end_counts_as_elsewhere():
    scores = log_probs(t4=-1.0, t2=-2.0, t5=-3.0)
    free = replace(FORCED, forced_bos_token_id=None)
    assert texts(advance(AFTER_FORCED, scores, free, ONLY_BEST)) == ([(4,), (5,)], [(2,)])
    later = Search((Beam((3, 0, 7), 0.0),), (), 3)
    assert texts(advance(later, scores, FORCED, ONLY_BEST)) == ([(7, 4), (7, 5)], [(7, 2)])


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
