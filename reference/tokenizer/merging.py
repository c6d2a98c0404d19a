"""Byte pair encoding of one word, given its merges (Sennrich et al. 2016, section 3.2)."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from itertools import pairwise

from reference.tokenizer.dialect import MergeOrder

Ranks = Mapping[tuple[str, str], int]


def merged(symbols: Sequence[str], ranks: Ranks, order: MergeOrder) -> list[str]:
    """The symbols after all applicable merges: best rank first, from left to right within one rank.

    Args:
        symbols: the initial symbols of the word.
        ranks: the index of each pair in the list of merges; 0 is the best.
        order: whether pairs created by a merge are considered only after all occurrences of that merge.

    Takes O(n log n) steps for n symbols, using a heap of positions and a linked list of neighbours.
    """
    parts: list[str | None] = list(symbols)
    left, right = list(range(-1, len(parts) - 1)), list(range(1, len(parts) + 1))
    waiting = [(ranks[pair], position, pair) for position, pair in enumerate(pairwise(symbols)) if pair in ranks]
    heapq.heapify(waiting)
    made: list[tuple[int, int, tuple[str, str]]] = []
    rank = -1
    while waiting or made:
        if made and (order is MergeOrder.AFTER_EACH_OCCURRENCE or not waiting or waiting[0][0] != rank):
            for entry in made:
                heapq.heappush(waiting, entry)
            made.clear()
        rank, position, pair = heapq.heappop(waiting)
        after = right[position]
        if after >= len(parts) or (parts[position], parts[after]) != pair:
            continue  # an earlier merge consumed one of the two
        parts[position], parts[after] = pair[0] + pair[1], None
        right[position] = right[after]
        if right[position] < len(parts):
            left[right[position]] = position
        for start in (left[position], position):
            if start >= 0 and right[start] < len(parts):
                first, second = parts[start], parts[right[start]]
                if first is not None and second is not None and (first, second) in ranks:
                    made.append((ranks[first, second], start, (first, second)))
    return [part for part in parts if part is not None]
