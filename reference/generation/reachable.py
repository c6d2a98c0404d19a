"""All results that one source's search could have had, if comparisons of near ties had the opposite result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from reference.generation.choices import Ranked, choices
from reference.generation.dialect import DOCUMENTED, Dialect, Stop
from reference.generation.generate import checked, repeated_sources
from reference.generation.processors import SourceTokens, log_softmax, processed
from reference.generation.search import Hypothesis, Search, started, successors
from reference.generation.settings import GenerationSettings

Scorer = Callable[[Sequence[tuple[int, ...]]], np.ndarray]
"""From texts of one length, the start token first, to the logits (or log-probabilities) of the next: [texts, vocab]."""


@dataclass(frozen=True)
class Outcome:
    """One result, and the smallest tolerance above which it is reachable: 0 for the plain search's own."""

    tokens: tuple[int, ...]
    score: float | None
    """The penalised score; None in greedy search."""
    margin: float


@dataclass(frozen=True)
class Reachable:
    """Results, nearest first, so that the plain one is the first."""

    outcomes: tuple[Outcome, ...]
    exhausted: bool
    """There were more branches than the limit, so results may be missing."""


def reachable(
    scorer: Scorer,
    settings: GenerationSettings,
    dialect: Dialect = DOCUMENTED,
    tolerance: float = 0.0,
    limit: int = 64,
    steps: int | None = None,
    source: Sequence[int] | np.ndarray | None = None,
) -> Reachable:
    """Results that one source could have had if scores differed by less than ``tolerance``.

    With ``num_return_sequences``, all texts that could be one of the returned ones.

    The choices followed are: which beams continue, which ends count, which finished hypotheses are retained, when the
    search stops, and which hypothesis is best. A gap between penalised scores is measured in summed log-probability, as
    all others.

    Args:
        tolerance: in log-probability (greedy: in logits); only gaps below it are reversed, so none at 0.
        limit: the maximum number of states per length.
        steps: the number of tokens that the batch generated, for dialects that stop a batch as a whole; None for a
            batch of one source.
        source: its tokens, for settings that depend on them; None if it is not text.

    Raises:
        ValueError: the scorer returns NaN, or the settings sample text, so that there is no search.
    """
    if settings.do_sample:
        raise ValueError("do_sample is set: sampled text is not the result of a search")
    settings = settings.resolved(dialect)
    cached_scores, sources = _remembered(scorer), None if source is None else [list(source)]
    if settings.num_beams == 1:
        return _greedy(cached_scores, settings, tolerance, limit, sources)
    frontier, over, exhausted = {started(settings): 0.0}, {}, False
    while frontier:
        following: dict[Search, float] = {}
        for search, turned in frontier.items():
            exhausted |= _follow(
                search, turned, cached_scores, (settings, dialect, tolerance, limit, steps, sources), following, over
            )
        exhausted |= len(following) > limit
        frontier = dict(sorted(following.items(), key=lambda item: item[1])[:limit])
    results: dict[tuple[int, ...], Outcome] = {}
    for search, turned in over.items():
        for hypothesis, more in _results(search, settings, tolerance):
            _nearest(results, Outcome(hypothesis.shown(settings, dialect), hypothesis.score, max(turned, more)))
    return _sorted(results, exhausted)


def _follow(
    search: Search,
    turned: float,
    cached_scores: Scorer,
    how: tuple,
    following: dict[Search, float],
    over: dict[Search, float],
) -> bool:
    """Adds the successors of a state to the open or the finished states; returns whether some were dropped."""
    settings, dialect, tolerance, limit, steps, sources = how
    texts = [beam.tokens for beam in search.beams]
    each = repeated_sources(sources, len(texts))
    scores = processed(log_softmax(cached_scores(texts)), np.array(texts), settings, each)
    for found, (after, more) in enumerate(successors(search, scores, settings, dialect, tolerance, limit)):
        if found > limit * limit:
            return True
        stopped = after.done
        if dialect.stop is Stop.WHOLE_BATCH and steps is not None:
            stopped = not after.beams or after.length > steps
        target = over if stopped else following
        margin = max(turned, more)
        target[after] = min(margin, target.get(after, margin))
    return False


def _results(search: Search, settings: GenerationSettings, tolerance: float) -> Iterator[tuple[Hypothesis, float]]:
    """The hypotheses that could have been among the returned best, better ones of a set first."""
    ranked = Ranked([h.score for h in search.finished], [1 / h.divisor for h in search.finished])
    for best, turned in choices(ranked, settings.num_return_sequences, tolerance):
        yield from ((search.finished[rank], turned) for rank in sorted(best))


def _greedy(
    cached_scores: Scorer,
    settings: GenerationSettings,
    tolerance: float,
    limit: int,
    sources: SourceTokens | None,
) -> Reachable:
    frontier: dict[tuple[int, ...], float] = {(settings.start,): 0.0}
    results, exhausted = {}, False
    while frontier:
        following: dict[tuple[int, ...], float] = {}
        for text, turned in frontier.items():
            scores = processed(cached_scores([text]), np.array([text]), settings, repeated_sources(sources, 1))[0]
            best = scores.max()
            near = np.flatnonzero((best - scores < tolerance) | (np.arange(len(scores)) == scores.argmax()))
            for token in near.tolist():
                margin = max(turned, 0.0 if token == scores.argmax() else float(best - scores[token]))
                after = (*text, token)
                if token in settings.ends or len(after) == settings.max_length:
                    _nearest(results, Outcome(after, None, margin))
                else:
                    following[after] = margin
        exhausted |= len(following) > limit
        frontier = dict(sorted(following.items(), key=lambda item: item[1])[:limit])
    return _sorted(results, exhausted)


def _remembered(scorer: Scorer) -> Scorer:
    """The scorer with results cached per text."""
    known: dict[tuple[int, ...], np.ndarray] = {}

    def cached_scores(texts: Sequence[tuple[int, ...]]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, checked(np.asarray(scorer(new), dtype=np.float64)), strict=True))
        return np.stack([known[text] for text in texts])

    return cached_scores


def _nearest(results: dict[tuple[int, ...], Outcome], outcome: Outcome) -> None:
    known = results.get(outcome.tokens)
    if known is None or outcome.margin < known.margin:
        results[outcome.tokens] = outcome


def _sorted(results: dict[tuple[int, ...], Outcome], exhausted: bool) -> Reachable:
    return Reachable(tuple(sorted(results.values(), key=lambda outcome: outcome.margin)), exhausted)
