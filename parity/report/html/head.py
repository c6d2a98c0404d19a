"""The first lines: the result in a sentence, the totals, when, by which command."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

from parity.core.records import Report, Verdict
from parity.core.subject import FILE
from parity.report.console import plural
from parity.report.terminal import carried_over

NAMED = 3
"""Up to so many checkpoints or backends are named; more are counted."""
ORDER = ("fail", "error", "known", "pass", "skip")


@dataclass(frozen=True)
class Head:
    """What stands above everything else."""

    answer: str
    status: str
    """The status whose colour the answer has."""
    totals: list[tuple[str, int]]
    """Statuses that occur, the bad ones first."""
    when: str
    command: str


def head_view(report: Report) -> Head:
    """The head of a report."""
    status, answer = _answer(report)
    return Head(answer, status, counted(report.verdicts), when(report.started), command_line(report.command))


def counted(verdicts: Iterable[Verdict]) -> list[tuple[str, int]]:
    """Statuses that occur with how often, the bad ones first."""
    counts = Counter(verdict.status for verdict in verdicts)
    return [(status, counts[status]) for status in ORDER if counts[status]]


def _answer(report: Report) -> tuple[str, str]:
    """In one sentence, whether all is well, and if not, who fails."""
    totals, where = report.totals, _listed([c.name for c in report.checkpoints], "checkpoints")
    judged = _backends(v for v in report.verdicts if v.status != "skip")
    if totals.fail:
        failing = _backends(v for v in report.verdicts if v.status == "fail")
        if not failing:
            return "fail", f"The weight file fails its claims: {where}"
        return "fail", f"{len(failing)} of {plural(len(judged), 'backend')} fail on {where}: {_listed(failing)}"
    if totals.error:
        return "error", f"Incomplete result on {where}: {plural(totals.error, 'check')} ended in an error"
    if report.unreadable:
        return "error", f"{plural(len(report.unreadable), 'checkpoint')} could not be read; the others are {where}"
    if not totals.passed and not totals.known:
        return "skip", f"Nothing was checked on {where}: every cell was skipped"
    agree = f"{plural(len(judged), 'backend')} {'agree' if len(judged) != 1 else 'agrees with the oracle'} on {where}"
    if not totals.known:
        return "pass", agree
    known = {
        str(v.evidence.get("known_issue")): v.evidence.get("severity") for v in report.verdicts if v.status == "known"
    }
    critical = sum(severity == "critical" for severity in known.values())
    severe = f" ({critical} critical)" if critical else ""
    carried = carried_over(report)
    severe += f", {plural(carried, 'cell')} of them carried over to versions that were not measured" if carried else ""
    return "known", f"{agree}, except for {plural(len(known), 'known issue')}{severe}"


def _backends(verdicts: Iterable[Verdict]) -> list[str]:
    return list(dict.fromkeys(v.backend for v in verdicts if v.backend != FILE.backend))


def _listed(names: list[str], what: str = "") -> str:
    if what and len(names) > NAMED:
        return f"{len(names)} {what}"
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1] if names else "nothing"


def when(started: str) -> str:
    """``2026-11-21 04:24 UTC``; whatever else it is, as it stands."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return started
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".strip()


def command_line(command: list[str]) -> str:
    """The command as one types it: ``parity`` for whatever file started it."""
    first, *rest = command or [""]
    ours = PurePath(first).name in ("__main__.py", "parity")
    return shlex.join(["parity" if ours else first, *rest])
