"""Two texts compared token by token: the runs that both have, those that only one has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True)
class Run:
    """Neighbouring tokens that are alike in this."""

    kind: str
    """``same``, ``missing`` (in the expected text alone) or ``extra`` (in the actual text alone)."""
    words: list[str]


@dataclass(frozen=True)
class TextDiff:
    """What was expected and what was returned."""

    label: str
    expected: list[Run]
    actual: list[Run]
    missing: int
    """Tokens that only the expected text has."""
    extra: int
    """Tokens that only the actual text has."""


def text_diff(label: str, expected: Sequence[tuple[int, str]], actual: Sequence[tuple[int, str]]) -> TextDiff:
    """The differences of two texts.

    Args:
        label: which backend wrote the actual text.
        expected: each token's id with its word; tokens are equal where their ids are.
    """
    ids = [[token for token, _ in text] for text in (expected, actual)]
    left: list[Run] = []
    right: list[Run] = []
    for tag, i, j, k, m in SequenceMatcher(None, *ids, autojunk=False).get_opcodes():
        for runs, kind, words in ((left, "missing", expected[i:j]), (right, "extra", actual[k:m])):
            if words:
                _append(runs, "same" if tag == "equal" else kind, [word for _, word in words])
    counts = [sum(len(run.words) for run in runs if run.kind != "same") for runs in (left, right)]
    return TextDiff(label, left, right, *counts)


def _append(runs: list[Run], kind: str, words: list[str]) -> None:
    if runs and runs[-1].kind == kind:
        runs[-1].words.extend(words)
    else:
        runs.append(Run(kind, words))
