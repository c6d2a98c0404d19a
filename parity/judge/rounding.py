"""Of a quantised engine: how far rounding the weights moves each check's results, and what the engine adds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from parity.core.backends import ENGINES, ORIGINAL
from parity.core.records import GeneratedRow, Rounding, Verdict
from parity.judge.captured_run import CheckpointRun
from parity.judge.checks import CHECKS

TEXTS = "generation"
"""The check group whose errors are margins between tokens, and no relative errors."""


def rounding_of(run: CheckpointRun, verdicts: Iterable[Verdict], texts: Sequence[GeneratedRow]) -> list[Rounding]:
    """One row for each engine and check in which it and ``original-weights`` were compared; empty in other runs."""
    subjects = dict(run.subjects("candidate"))
    original = next((index for index, each in subjects.items() if each.backend == ORIGINAL), None)
    if original is None:
        return []
    rows = []
    for index, subject in subjects.items():
        if subject.backend not in ENGINES:
            continue
        for check in CHECKS.values():
            own = [each for each in verdicts if each.check == check.id]
            engine = _worst(each for each in own if each.backend == subject.backend)
            moved = _worst(each for each in own if each.backend == ORIGINAL)
            if engine is None or moved is None:
                continue
            numbers: dict[str, Any] = {
                "engine": engine.error,
                "engine_ratio": engine.ratio,
                "rounding": moved.error,
                "rounding_ratio": moved.ratio,
            }
            if check.group == TEXTS:
                cases = {each.case for each in own if each.backend == subject.backend and each.error is not None}
                judged = [row for row in texts if row.case in cases]
                rows_of = {who: [row for row in judged if row.subject == who] for who in (index, original)}
                numbers = {
                    "texts": len(rows_of[index]),
                    "engine_texts": sum(bool(row.marks) for row in rows_of[index]),
                    "rounding_texts": sum(bool(row.marks) for row in rows_of[original]),
                }
            rows.append(
                Rounding(
                    checkpoint=run.checkpoint.name,
                    subject=index,
                    original=original,
                    quantisation=str(run.manifest.options.get("quantised", "")),
                    check=check.id,
                    group=check.group,
                    **numbers,
                )
            )
    return rows


def _worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The verdict with the largest error as a multiple of tolerance; None where there is no number."""
    found = [each for each in verdicts if each.ratio is not None]
    return max(found, key=lambda each: each.ratio or 0.0, default=None)
