"""Generated text: for each row of a case the differences from the oracle's text, and all texts token by token.

The oracle's line is first, below it those that differ from it; tables in which any differs are first too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from parity.core.display import printable, shown
from parity.core.records import GeneratedRow, Report, TokenDiff
from parity.report.html.anchors import anchor
from parity.report.html.text_diff import TextDiff, text_diff

SYMBOLS = {"wrong": "✗", "undecided": "?", "tie-flip": "≈", "match": "="}
"""The worst first."""
LINE_BREAK = "⏎"


@dataclass(frozen=True)
class Box:
    """One token."""

    word: str
    spaced: bool
    """Whether a space stands before the word."""
    hover: str
    kind: str
    """``same`` as the oracle's, ``other``, ``pad``, or a mark's kind: ``tie-flip``, ``wrong``."""
    symbol: str
    instead: str = ""
    """At a mark, what the oracle would rather have written …"""
    margin: str = ""
    """… and by how much."""
    named: bool = True
    """Whether the token has a word; its number is shown otherwise."""

    @property
    def text(self) -> str:
        """The word with the space before it, which a token may begin with; a number is a word of its own."""
        return f" {self.word}" if self.spaced or not self.named else self.word


@dataclass(frozen=True)
class Line:
    """One subject's text."""

    label: str
    verdict: str
    """``oracle``, or the row's verdict."""
    symbol: str
    score: str
    text: str | None
    boxes: list[Box]


@dataclass(frozen=True)
class Table:
    """One row of one case of one checkpoint."""

    title: str
    source: str | None
    lines: list[Line]
    width: int
    agrees: bool
    """Whether every subject wrote the oracle's text."""
    diffs: list[TextDiff]
    """Of each line whose tokens differ from the oracle's, those that are alike as one."""


@dataclass(frozen=True)
class CheckpointTexts:
    """All tables of one checkpoint."""

    anchor: str
    name: str
    tables: list[Table]


def text_views(report: Report) -> list[CheckpointTexts]:
    """A table for each case × row of each checkpoint: those on which not all agree, then the others.

    Args:
        report: as it was stored; a line break in a token is shown as one, whatever else it holds as an escape.
    """
    tables: dict[tuple[str, str, int], list[GeneratedRow]] = {}
    for row in report.generated:
        tables.setdefault((row.checkpoint, row.case, row.row), []).append(row)
    pads = {checkpoint.name: checkpoint.config.get("pad_token_id") for checkpoint in report.checkpoints}
    views: dict[str, list[Table]] = {}
    for (checkpoint, _, _), rows in tables.items():
        views.setdefault(checkpoint, []).append(_table(report, rows, pads.get(checkpoint)))
    for found in views.values():
        found.sort(key=lambda table: table.agrees)
    names = {name: printable(name, 1000) for name in views}
    return shown([CheckpointTexts(anchor("texts", names[name]), name, found) for name, found in views.items()])


def _table(report: Report, rows: list[GeneratedRow], pad: int | None) -> Table:
    roles = {row.subject: report.subjects[row.subject].role for row in rows}
    worst_first = list(SYMBOLS)
    ordered = sorted(rows, key=lambda row: (roles[row.subject] != "oracle", worst_first.index(row.verdict)))
    oracle = ordered[0] if roles[ordered[0].subject] == "oracle" else None
    words = _words(rows)
    lines = [_line(report, row, oracle, words, pad) for row in ordered]
    first = rows[0]
    return Table(
        title=f"{first.case} · row {first.row}",
        source=next((row.source for row in rows if row.source is not None), None),
        lines=lines,
        width=max(len(line.boxes) for line in lines),
        agrees=all(row.verdict == "match" for row in rows),
        diffs=_diffs(lines, ordered, pad) if oracle else [],
    )


def _diffs(lines: list[Line], rows: list[GeneratedRow], pad: int | None) -> list[TextDiff]:
    """The differences of each line from the first, which is the oracle's; padding is left out."""
    texts = [tuple(row.tokens[: _end(row.tokens, pad)]) for row in rows]
    labels: dict[tuple[int, ...], list[str]] = {}
    for line, text in zip(lines, texts, strict=True):
        if text != texts[0]:
            labels.setdefault(text, []).append(line.label)
    words = {text: [box.text for box in line.boxes] for line, text in zip(lines, texts, strict=True)}
    expected = list(zip(texts[0], words[texts[0]], strict=False))
    return [
        text_diff(", ".join(names), expected, list(zip(text, words[text], strict=False)))
        for text, names in labels.items()
    ]


def _words(rows: Iterable[GeneratedRow]) -> dict[int, str]:
    """What each token is called, learnt from all the lines of a table."""
    return {token: word for row in rows if row.words for token, word in zip(row.tokens, row.words, strict=False)}


def _line(
    report: Report, row: GeneratedRow, oracle: GeneratedRow | None, words: dict[int, str], pad: int | None
) -> Line:
    subject = report.subjects[row.subject]
    marks = {mark.position: mark for mark in row.marks}
    end = _end(row.tokens, pad)
    boxes = []
    for position, token in enumerate(row.tokens):
        word = row.words[position] if row.words and position < len(row.words) else words.get(token, str(token))
        same = oracle is None or (position < len(oracle.tokens) and oracle.tokens[position] == token)
        kind = "pad" if position >= end else "same" if same else "other"
        named = bool(row.words and position < len(row.words)) or token in words
        boxes.append(replace(_box(position, token, word, kind, marks.get(position), words), named=named))
    is_oracle = row is oracle
    return Line(
        label=f"{subject.label} · {subject.dtype}" + (f" · {subject.device}" if subject.device != "cpu" else ""),
        verdict="oracle" if is_oracle else row.verdict,
        symbol="" if is_oracle else SYMBOLS[row.verdict],
        score=_score(row),
        text=row.text,
        boxes=boxes,
    )


def _box(position: int, token: int, word: str, kind: str, mark: TokenDiff | None, words: dict[int, str]) -> Box:
    shown, spaced = _shown(word), word.startswith(" ")
    hover = f"position {position}, token {token}"
    if mark is None:
        return Box(shown, spaced, hover, kind, "")
    if mark.tolerance is not None:
        hover += f"; choices nearer than {mark.tolerance:.1e} to each other count as tied"
    instead = _shown(words.get(mark.oracle_token, str(mark.oracle_token)))
    margin = f"{mark.margin:.1e}" if mark.margin is not None else ""
    return Box(shown, spaced, hover, mark.kind, SYMBOLS[mark.kind], instead, margin)


def _shown(word: str) -> str:
    """A word without the space before it; a line break, or nothing at all, is made visible."""
    return printable(word.removeprefix(" ").replace("\r", "").replace("\n", LINE_BREAK)) or "∅"


def _end(tokens: list[int], pad: int | None) -> int:
    """Where the padding after the text begins."""
    end = len(tokens)
    while pad is not None and end and tokens[end - 1] == pad:
        end -= 1
    return end


def _score(row: GeneratedRow) -> str:
    """What it said its text scores, and what the oracle gives the same text."""
    parts = [] if row.score is None else [f"score {row.score:.6g}"]
    if row.oracle_score is not None:
        parts.append(f"the oracle's {row.oracle_score:.6g}")
    return ", ".join(parts)
