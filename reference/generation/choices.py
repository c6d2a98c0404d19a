"""Selection of the best items, and all other selections that are possible if scores are within a tolerance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations


class Ranked:
    """Scores in descending order, each with its unit.

    A unit is how much the score moves when the sum of log-probabilities moves by one: 1 for a sum, the reciprocal
    of its penalty for a penalised score. So gaps are always in log-probability, whatever is compared.
    """

    def __init__(self, scores: Sequence[float], units: Sequence[float] | None = None) -> None:
        self.scores = scores
        self.units = [1.0] * len(scores) if units is None else units

    def __len__(self) -> int:
        return len(self.scores)

    def gap(self, better: int, worse: int) -> float:
        """The lead of one score over another in log-probability; infinite where the other is impossible."""
        return gap(self.scores[better], self.scores[worse], self.units[better], self.units[worse])

    def needed(self, selected: frozenset[int]) -> float:
        """The largest gap that must be reversed so that exactly these are selected; 0 if they are the best."""
        last = max(selected, default=-1)
        return max((self.gap(d, k) for d in range(last) if d not in selected for k in selected if k > d), default=0.0)


def gap(first: float, second: float, first_unit: float = 1.0, second_unit: float = 1.0) -> float:
    """The distance of two scores in log-probability."""
    if first == second:
        return 0.0
    return abs(first - second) * 2 / (first_unit + second_unit)


def choices(ranked: Ranked, count: int, tolerance: float) -> Iterator[tuple[frozenset[int], float]]:
    """Every set of ``count`` that could be selected as the best, the plain one first.

    Yields:
        the set, and the gap below which a tolerance rules it out (0 for the plain one). All reversed gaps are smaller
        than ``tolerance``; at 0 only the plain set is yielded.
    """
    plain = frozenset(range(min(count, len(ranked))))
    yield plain, 0.0
    outside = range(len(plain), len(ranked))
    droppable = [i for i in plain if any(ranked.gap(i, j) < tolerance for j in outside)]
    addable = [j for j in outside if any(ranked.gap(i, j) < tolerance for i in plain)]
    for exchanged in range(1, min(len(droppable), len(addable)) + 1):
        for dropped in combinations(droppable, exchanged):
            for added in combinations(addable, exchanged):
                selected = plain.difference(dropped).union(added)
                needed = ranked.needed(selected)
                if needed < tolerance:
                    yield selected, needed
