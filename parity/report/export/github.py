"""What GitHub shows of a run: a step's summary in Markdown, and annotations, which are lines on standard output.

The forms are those of GitHub's documentation, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from parity.core.display import markdown, printable, shown
from parity.core.records import Report
from parity.report.console import WORST_FIRST, plural
from parity.report.failures import (
    FIRST_DIVERGENCE,
    FOUND,
    GREATEST_ERROR,
    REPRODUCE,
    Group,
    groups,
    headline,
    lines,
    plain_lines,
    usual_causes,
)
from parity.report.matrix import worst
from parity.report.terminal import by_entry, carried_words, environment_line, likely_cause, notice_lines, totals_line

SHOWN_FAILURES = 20
"""Blocks in a summary, which may have a megabyte."""
SHOWN_ANNOTATIONS = 10
"""Of each kind GitHub shows ten for a step."""
_ANNOTATED = (FIRST_DIVERGENCE, FOUND, GREATEST_ERROR, REPRODUCE)
"""Lines of a block that an annotation has."""


def summary(report: Report) -> str:
    """Totals, versions, a row for each subject, the failures as in the terminal, and the known issues that matched."""
    report = shown(report)
    return "\n".join([*_head(report), *_subjects(report), *_failures(report), *_known(report)]) + "\n"


def annotation_lines(report: Report) -> list[str]:
    """One ``::error`` for each way to fail; more than GitHub shows are counted in the last."""
    verdicts = shown([verdict for verdict in report.verdicts if verdict.status in ("fail", "error")])
    found = list(groups(verdicts))
    annotations = [
        annotation(" · ".join(headline(group)), _plain_block(group, ("", ""), _ANNOTATED)) for group in found
    ]
    unread = [annotation("not read", printable(each.cause)) for each in report.unreadable]
    return at_most([*unread, *annotations], "ways to fail")


def _head(report: Report) -> Iterator[str]:
    yield f"### parity: {totals_line(report).plain}\n"
    for line in notice_lines(report):
        if line.plain.strip():
            yield f"- {markdown(line.plain.strip())}"
    for name, environment in report.environments.items():
        yield f"- {markdown(environment_line(name, environment).plain)}"


def _subjects(report: Report) -> Iterator[str]:
    found: dict[str, dict[str, list[str]]] = {}
    names = [checkpoint.name for checkpoint in report.checkpoints]
    for verdict in report.verdicts:
        label = " · ".join((verdict.subject_label, verdict.device, verdict.dtype))
        found.setdefault(label, {}).setdefault(verdict.status, []).append(verdict.checkpoint)
    yield f"\n{plural(len(names), 'checkpoint')}: {markdown(', '.join(names))}\n"
    yield f"| subject | worst | {' | '.join(WORST_FIRST)} |\n|{'---|' * (len(WORST_FIRST) + 2)}"
    for label, statuses in found.items():
        counts = " | ".join(str(len(statuses.get(status, []))) for status in WORST_FIRST)
        yield f"| {markdown(label)} | {worst(list(statuses))} | {counts} |"


def _failures(report: Report) -> Iterator[str]:
    found = list(groups(verdict for verdict in report.verdicts if verdict.status in ("fail", "error")))
    for group, cause in list(zip(found, usual_causes(found, likely_cause), strict=True))[:SHOWN_FAILURES]:
        block = "\n".join(
            [" · ".join(headline(group)), *(f"  {line}" for line in _plain_block(group, cause).splitlines())]
        )
        fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall("`+", block)), 3)
        yield f"\n{fence}text\n{block}\n{fence}"
    if len(found) > SHOWN_FAILURES:
        yield f"\nand {len(found) - SHOWN_FAILURES} more"


def _known(report: Report) -> Iterator[str]:
    met = by_entry(report)
    if met:
        yield "\n<details><summary>known divergences</summary>\n\n| entry | severity | cells |\n|---|---|---|"
        yield from (
            f"| {markdown(entry)} | {markdown(severity)} | {len(cells)}{markdown(carried_words(cells))} |"
            for (entry, severity), cells in met.items()
        )
        yield "\n</details>"


def _plain_block(group: Group, cause: tuple[str, str], names: Sequence[str] | None = None) -> str:
    pairs = lines(group, *cause)
    return plain_lines((name, line) for name, line in pairs if names is None or name in names)


def annotation(title: str, message: str) -> str:
    return f"::error title={_property(title)}::{_data(message)}"


def at_most(annotations: list[str], what: str) -> list[str]:
    if len(annotations) <= SHOWN_ANNOTATIONS:
        return annotations
    rest = len(annotations) - SHOWN_ANNOTATIONS + 1
    return [*annotations[: SHOWN_ANNOTATIONS - 1], annotation("parity", f"{rest} more {what}: see the report")]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def joined(found: Iterable[str]) -> str:
    """Annotations as they are printed."""
    return "".join(f"{line}\n" for line in found)
