"""Beam search for one source as a value: a state, and its successor states after one more token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from reference.generation.choices import Ranked, choices, gap
from reference.generation.dialect import (
    Bound,
    Dialect,
    EndAfterForced,
    EndRank,
    EndToken,
    PenalisedLength,
    Stop,
    Unfinished,
    UnfinishedScore,
)
from reference.generation.settings import GenerationSettings


@dataclass(frozen=True)
class Beam:
    """An unfinished text, and the sum of its tokens' processed log-probabilities."""

    tokens: tuple[int, ...]
    total: float
    parent: int = field(default=0, compare=False)
    """The index, among the beams before this step, of the one it continues."""


@dataclass(frozen=True)
class Hypothesis:
    """A finished text, a possible result."""

    tokens: tuple[int, ...]
    total: float
    divisor: float
    """Its penalty: the length to the power of ``length_penalty``."""
    ended: bool

    @property
    def score(self) -> float:
        """The score by which hypotheses are ranked."""
        return self.total / self.divisor

    def shown(self, settings: GenerationSettings, dialect: Dialect) -> tuple[int, ...]:
        """The tokens as they are returned (``Dialect.end_token``)."""
        if self.ended and dialect.end_token is EndToken.FIRST:
            return (*self.tokens[:-1], settings.ends[0])
        return self.tokens


@dataclass(frozen=True)
class Search:
    """The state of one source's search: open beams and finished hypotheses, at most num_beams each, best first."""

    beams: tuple[Beam, ...]
    finished: tuple[Hypothesis, ...]
    length: int
    """The number of tokens of every open beam, including the start token."""
    done: bool = False
    """Whether the search is over; where a batch stops as a whole, whether this step would end it for this source."""
    margin: float = field(default=float("inf"), compare=False)
    """The smallest gap in log-probability that decides the last step's choice of beams; infinite without a choice."""


def started(settings: GenerationSettings) -> Search:
    """The search before its first token."""
    return Search((Beam((settings.start,), 0.0),), (), 1)


def advance(search: Search, log_probs: np.ndarray, settings: GenerationSettings, dialect: Dialect) -> Search:
    """The state after one more token.

    Args:
        log_probs: float64 [beams, vocab], processed, a row for each open beam in its order.
        settings: resolved ones.
    """
    return next(successors(search, log_probs, settings, dialect))[0]


def successors(
    search: Search,
    log_probs: np.ndarray,
    settings: GenerationSettings,
    dialect: Dialect,
    tolerance: float = 0.0,
    limit: int = 1,
) -> Iterator[tuple[Search, float]]:
    """The states after one more token: the plain one first, then those that near ties could have led to.

    Args:
        tolerance: comparisons of two sums that are closer than this may have either result.
        limit: the maximum number of distinct states that the caller uses.

        Yields:
            a state, and the largest gap reversed to reach it (0 for the plain one). States can repeat.
    """
    candidates = ranked_candidates(search, log_probs, settings, tolerance, limit)
    margin = decision_margin(candidates, settings, dialect)
    found = splits(candidates, settings, dialect, tolerance)
    if dialect.end_after_forced is EndAfterForced.ONLY_BEST and _after_forced(search, settings):
        found = _with_only_the_best_end(found, candidates, tolerance)
    for open_indices, end_indices, turned in found:
        beams = tuple(candidates[i] for i in open_indices)
        ended = [_hypothesis(candidates[i], True, settings, dialect) for i in end_indices]
        for after, more in _settled(search, beams, candidates[:1], ended, settings, dialect, tolerance):
            yield replace(after, margin=margin), max(turned, more)


def ranked_candidates(
    search: Search, log_probs: np.ndarray, settings: GenerationSettings, tolerance: float, limit: int
) -> list[Beam]:
    """The best continuations, more than any choice needs, and those within the tolerance; best first.

    Equal ones are ordered by beam, then by token. Impossible ones are not included.
    """
    # Each open beam may end with each end token, and num_beams continuing candidates must be included.
    count = min(max(2, 1 + len(settings.ends)) * settings.num_beams + 1, log_probs.size)
    before = np.array([beam.total for beam in search.beams])
    parents, tokens = topk_candidates(before, log_probs, count, tolerance)
    totals = before[parents] + log_probs[parents, tokens]
    least = np.partition(totals, -count)[-count] - tolerance
    indices = np.flatnonzero((totals >= least) & np.isfinite(totals))
    # Each near tie is a separate state, so near ties beyond ``limit`` change nothing.
    indices = indices[np.argsort(-totals[indices], kind="stable")][: count + limit * (tolerance > 0)]
    found = (array[indices].tolist() for array in (parents, tokens, totals))
    return [
        Beam((*search.beams[parent].tokens, token), total, parent) for parent, token, total in zip(*found, strict=True)
    ]


def topk_candidates(
    before: np.ndarray, log_probs: np.ndarray, count: int, tolerance: float, width: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """Tolerance-aware top-k prefilter: beams and tokens that include the ``count`` best and all within ``tolerance`` of
    the last of them.

    Tokens are processed in blocks. ``count`` blocks contain a candidate at least as good as the ``count``-th best block
    maximum, so blocks with a lower maximum are excluded. Rounded addition is monotonic, so a block's maximum is its
    beam's sum with its best token, and only a few blocks are summed.

    Args:
        before: float64 [beams], the summed log-probability of each beam's tokens.
        log_probs: float64 [beams, vocab].

    Returns:
        int64 [candidates] each, beams and tokens, in ascending order of both.
    """
    beams, vocab = log_probs.shape
    whole = vocab - vocab % width
    blocks = [log_probs[:, :whole].reshape(beams, -1, width).max(axis=-1)]
    if whole < vocab:
        blocks.append(log_probs[:, whole:].max(axis=-1, keepdims=True))
    best = before[:, None] + np.hstack(blocks)
    enough = min(count, best.size)
    parents, near = np.nonzero(best >= np.partition(best, -enough, axis=None)[-enough] - tolerance)
    tokens = near[:, None] * width + np.arange(width)
    inside = tokens < vocab
    return np.broadcast_to(parents[:, None], tokens.shape)[inside], tokens[inside]


def splits(
    candidates: list[Beam], settings: GenerationSettings, dialect: Dialect, tolerance: float
) -> Iterator[tuple[list[int], list[int], float]]:
    """Which candidates stay open and which ended ones count as finished; the plain result first.

    Each result corresponds to an order of the candidates in which only near ties are swapped.
    """
    ends, others = _ends(candidates, settings)
    totals = [beam.total for beam in candidates]
    for selected, turned in choices(Ranked([totals[i] for i in others]), settings.num_beams, tolerance):
        stay = [others[i] for i in sorted(selected)]
        rest = [i for i in others if i not in stay]
        for ended, more in _end_choices(Ranked(totals), ends, stay + rest, _rank_limit(settings, dialect), tolerance):
            yield stay, ended, max(turned, more)


def _after_forced(search: Search, settings: GenerationSettings) -> bool:
    """Whether the next token is the first after ``forced_bos_token_id``."""
    return settings.forced_bos_token_id is not None and search.length == 2


def _with_only_the_best_end(
    found: Iterator[tuple[list[int], list[int], float]], candidates: list[Beam], tolerance: float
) -> Iterator[tuple[list[int], list[int], float]]:
    """``splits`` for ``EndAfterForced.ONLY_BEST``: an end that is not the best candidate is lost, with its place."""
    for open_indices, end_indices, turned in found:
        # The best one, and those that near ties could have made the best.
        for best in range(min(2, len(candidates)) if 0 in end_indices else max([0, *end_indices]) + 1):
            distance = candidates[0].total - candidates[best].total
            if best == 0 or distance < tolerance:
                ended = [i for i in end_indices if i == best]
                lost = len(end_indices) - len(ended)
                yield open_indices[: len(open_indices) - lost], ended, max(turned, distance)


def _ends(candidates: list[Beam], settings: GenerationSettings) -> tuple[list[int], list[int]]:
    ends = [i for i, beam in enumerate(candidates) if beam.tokens[-1] in settings.ends]
    return ends, [i for i in range(len(candidates)) if i not in ends]


def _rank_limit(settings: GenerationSettings, dialect: Dialect) -> int:
    return settings.num_beams * (1 if dialect.end_rank is EndRank.AMONG_BEAMS else 2)


def _end_choices(
    ranked: Ranked, ends: list[int], others: list[int], rank_limit: int, tolerance: float
) -> Iterator[tuple[list[int], float]]:
    """Which ends are among the best ``rank_limit``, given the order ``others`` of the other candidates."""
    plain = [i for i in ends if i < rank_limit]
    if len(ranked) <= rank_limit:
        yield plain, 0.0
        return
    near = [i for i in ends if ranked.gap(*sorted((i, rank_limit if i < rank_limit else rank_limit - 1))) < tolerance]
    sure = [i for i in plain if i not in near]
    yielded = []
    for count in range(len(near) + 1):
        for some in combinations(near, count):
            ended = sorted((*sure, *some))
            needed = ranked.needed(frozenset((*ended, *others[: rank_limit - len(ended)])))
            if len(ended) <= rank_limit and (needed < tolerance or ended == plain):
                yielded.append((ended, needed))
    yield from sorted(yielded, key=lambda choice: choice[0] != plain)


def decision_margin(candidates: list[Beam], settings: GenerationSettings, dialect: Dialect) -> float:
    """The smallest gap that decides which beams stay open and which ends count."""
    ends, others = _ends(candidates, settings)
    count, rank_limit = settings.num_beams, _rank_limit(settings, dialect)
    gaps = []
    if len(others) > count:
        gaps.append(candidates[others[count - 1]].total - candidates[others[count]].total)
    for i in ends:
        boundary = rank_limit if i < rank_limit else rank_limit - 1
        if boundary < len(candidates):
            gaps.append(abs(candidates[i].total - candidates[boundary].total))
    return min(gaps, default=float("inf"))


def _settled(
    search: Search,
    beams: tuple[Beam, ...],
    best: list[Beam],
    ended: list[Hypothesis],
    settings: GenerationSettings,
    dialect: Dialect,
    tolerance: float,
) -> Iterator[tuple[Search, float]]:
    """Updates finished hypotheses, beams at the maximum length, and whether the search is over."""
    last = search.length + 1 >= settings.max_length
    late = [_hypothesis(beam, False, settings, dialect) for beam in beams] if last else []
    if settings.early_stopping is True and len(search.finished) == settings.num_beams:
        ended, late = [], []
    if dialect.unfinished is Unfinished.COMPETE:
        ended, late = ended + late, []
    bounds = best if dialect.bound is Bound.BEST_CANDIDATE else beams[:1]
    for finished, turned in _retained(search.finished, ended, settings, tolerance):
        after = Search(beams, finished, search.length + 1)
        for done, more in _stops(after, bounds, settings, dialect, tolerance):
            for final, still_more in _with_late(after, done, late, settings, dialect, tolerance):
                yield replace(after, finished=final, done=done or last), max(turned, more, still_more)


def _retained(
    finished: tuple[Hypothesis, ...], new: list[Hypothesis], settings: GenerationSettings, tolerance: float
) -> Iterator[tuple[tuple[Hypothesis, ...], float]]:
    """The best num_beams of both, best first; of equal ones the older is first."""
    both = sorted((*finished, *new), key=lambda hypothesis: -hypothesis.score)
    ranked = Ranked([h.score for h in both], [1 / h.divisor for h in both])
    for selected, turned in choices(ranked, settings.num_beams, tolerance):
        yield tuple(both[i] for i in sorted(selected)), turned


def _stops(
    search: Search,
    bounds: tuple[Beam, ...] | list[Beam],
    settings: GenerationSettings,
    dialect: Dialect,
    tolerance: float,
) -> Iterator[tuple[bool, float]]:
    """Whether the search stops; the plain result first (``early_stopping``)."""
    if not search.beams or len(search.finished) < settings.num_beams or settings.early_stopping is True:
        yield not search.beams or len(search.finished) == settings.num_beams, 0.0
        return
    # Sums only decrease, so the largest future divisor bounds the score from above.
    longest = settings.early_stopping == "never" and settings.length_penalty > 0
    length = settings.max_length if longest else search.length
    divisor = penalty(length, settings, dialect)
    attainable, worst = bounds[0].total / divisor, search.finished[-1]
    plain = attainable <= worst.score
    yield plain, 0.0
    distance = gap(attainable, worst.score, 1 / divisor, 1 / worst.divisor)
    if distance < tolerance:
        yield not plain, distance


def _with_late(
    search: Search,
    done: bool,
    late: list[Hypothesis],
    settings: GenerationSettings,
    dialect: Dialect,
    tolerance: float,
) -> Iterator[tuple[tuple[Hypothesis, ...], float]]:
    """The finished hypotheses and the truncated ones, as far as the dialect counts them."""
    resort = dialect.unfinished is Unfinished.LAST_RESORT
    if not late or (resort and search.finished) or (not resort and done):
        yield search.finished, 0.0
        return
    if resort and dialect.unfinished_score is UnfinishedScore.SUM:
        late = [replace(hypothesis, divisor=1.0) for hypothesis in late]
    yield from _retained(search.finished, late, settings, tolerance)


def penalty(length: int, settings: GenerationSettings, dialect: Dialect) -> float:
    """The divisor of the sum of a text with ``length`` tokens, including the start token."""
    counted = length if dialect.penalised_length is PenalisedLength.WHOLE else length - 1
    return float(counted) ** settings.length_penalty


def _hypothesis(beam: Beam, ended: bool, settings: GenerationSettings, dialect: Dialect) -> Hypothesis:
    return Hypothesis(beam.tokens, beam.total, penalty(len(beam.tokens), settings, dialect), ended)


def goes_on(searches: list[Search], settings: GenerationSettings, dialect: Dialect) -> list[bool]:
    """Which sources of a batch take another step."""
    open_ = [not search.done for search in searches]
    if dialect.stop is Stop.EACH_ROW:
        return open_
    return [any(open_) and bool(search.beams) and search.length < settings.max_length for search in searches]
