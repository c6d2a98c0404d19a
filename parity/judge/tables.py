"""Generated texts for the report, row by row: the oracle's first, then each subject's with its differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from parity.checkpoint.tokenizer_process import TokenizerError, TokenizerProcess
from parity.core.case import Case
from parity.core.records import GeneratedRow, TokenDiff
from parity.core.trace import TraceError
from parity.judge.captured_run import CheckpointRun, NoPeer
from parity.judge.generated_text import Text, judged, sequences_of

Words = Callable[[list[int]], tuple[str, list[str]]]
"""Decodes token ids: the text, and the string of each token."""

WRITES = ("oracle", "candidate")


def generated_rows(run: CheckpointRun) -> list[GeneratedRow]:
    """One row for each ``generate`` case × row × subject with a text. Cases in other dialects are left out."""
    words = _tokenizer(Path(run.checkpoint.path))
    return [
        row
        for case in run.cases.values()
        if case.operation == "generate" and "dialect" not in case.notes
        for row in _case_rows(run, case, words)
    ]


def _case_rows(run: CheckpointRun, case: Case, words: Words | None) -> Iterator[GeneratedRow]:
    found = {}
    for index, subject in run.subjects(*WRITES):
        try:
            sequences = sequences_of(run, index, case)
            if sequences is not None:
                own = subject.role == "oracle"
                texts = [None] * len(sequences) if own else judged(run, index, case)
                found[index] = (sequences.tolist(), texts, _returned_scores(run, index, case, len(sequences)))
        except (TraceError, OSError, NoPeer):
            continue  # its cells report the error
    for row in range(case.batch):
        for index, (tokens, texts, scores) in found.items():
            yield _row(run, case, (row, index), tokens[row], texts[row], scores[row], words)


def _row(
    run: CheckpointRun,
    case: Case,
    at: tuple[int, int],
    tokens: list[int],
    text: Text | None,
    score: float | None,
    words: Words | None,
) -> GeneratedRow:
    row, index = at
    written, each = words(tokens) if words else (None, None)
    word = text.word if text else "match"
    return GeneratedRow(
        checkpoint=run.checkpoint.name,
        case=case.name,
        row=row,
        source=words(_source(case, row))[0] if words and "input_ids" in case.inputs else None,
        subject=index,
        text=written,
        tokens=tokens,
        words=each,
        verdict=word,
        marks=_marks(text) if text else [],
        score=score,
        oracle_score=text.oracle_score if text else score,
    )


def _source(case: Case, row: int) -> list[int]:
    """The source tokens of a row, without padding."""
    tokens = case.inputs["input_ids"][row]
    # A model of a user's own may not take a mask; then all tokens count.
    seen = case.inputs["attention_mask"][row] if "attention_mask" in case.inputs else [1] * len(tokens)
    return [token for token, is_seen in zip(tokens, seen, strict=True) if is_seen]


def _marks(text: Text) -> list[TokenDiff]:
    return [
        TokenDiff(
            position=choice.position,
            kind=choice.word,
            margin=choice.margin,
            tolerance=choice.tolerance,
            oracle_token=choice.best,
        )
        for choice in text.choices
        if choice.word != "match"
    ]


def _returned_scores(run: CheckpointRun, index: int, case: Case, batch: int) -> list[float | None]:
    returned = run.captured(index, case.name).arrays.get("sequences_scores")
    if returned is None or returned.shape != (batch,):
        return [None] * batch
    return [float(score) if math.isfinite(score) else None for score in returned]


def _tokenizer(checkpoint: Path) -> Words | None:
    """The checkpoint's own tokenizer, if it has one and the tokenizers library is installed."""
    file = checkpoint / "tokenizer.json"
    if not file.is_file():
        return None
    try:
        tokenizer = TokenizerProcess("serialised", [file])
    except TokenizerError:
        return None  # a report without words is still a report
    return partial(_words, tokenizer)


def _words(tokenizer: TokenizerProcess, tokens: list[int]) -> tuple[str, list[str]]:
    try:
        return tokenizer.decode(tokens)
    except TokenizerError:
        return "", [""] * len(tokens)
