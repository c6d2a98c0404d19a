"""A whole report on standard output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from parity.core.display import printable, shown
from parity.core.records import CheckpointRecord, Report, Verdict
from parity.report.console import STYLES, console, duration, plural, size, tell
from parity.report.failures import INDENT, block, groups, origins, usual_causes
from parity.report.matrix import matrices, subject_label

NOTICE_INDENT = 10
"""Characters before what a notice says."""
NOTICE_LENGTH = 700
"""Characters of a notice that are shown."""
NAMED = 12
"""Files that are present and not used, of which the name is shown."""
VERDICTS = {0: ("PASSED", "bold green"), 1: ("FAILED", "bold red"), 2: ("INCOMPLETE", "bold yellow")}
"""By exit code, how the last line begins."""
SHOWN_LIBRARIES = ("transformers", "torch", "tensorflow", "tensorflow-cpu", "jax", "flax", "numpy")


def show_report(report: Report, path: Path) -> None:
    """Prints notices, environments, matrix, totals, failures, known divergences, skips, cost, and where report is."""
    out, report = console(), shown(report)
    for line in notice_lines(report):
        tell(out, line, NOTICE_INDENT)
    for name, environment in report.environments.items():
        tell(out, environment_line(name, environment), 10)
    if report.tolerances and "alone" in report.tolerances:
        tell(out, Text(f"tolerances rest on {report.tolerances}"), 10)
    for table in matrices(report, out.width):
        out.print()
        out.print(table)
    out.print(totals_line(report))
    for line in report.not_run:
        tell(out, Text.assemble(("not run   ", STYLES["fail"]), printable(line, NOTICE_LENGTH)), NOTICE_INDENT)
    failures = groups(v for v in report.verdicts if v.status in ("fail", "error"))
    for group, told in zip(failures, usual_causes(failures, likely_cause), strict=True):
        out.print()
        for line in block(group, *told).split("\n"):
            # A command may be copied: the terminal itself carries it over.
            out.print(line, soft_wrap=True) if line.plain.startswith("  again") else tell(out, line, INDENT)
    sections = {
        "known divergences": known_lines(report),
        "not asked": skip_lines(report),
        "present, not used": unused_lines(report),
        "where failures begin": [f"{o.place}{o.inputs} · {o.where} · {o.checks}" for o in origins(failures)],
    }
    for title, lines in sections.items():
        if lines:
            out.print(Text(f"\n{title}", "bold"))
            for line in lines:
                tell(out, Text(f"  {line}"), 4)
    out.print()
    if report.cost is not None:
        tell(out, Text(cost_line(report), "bright_black"), 2)
    out.print(Text(f"report {printable(path, 4000)}\npage   {printable(path.with_suffix('.html'), 4000)}"))
    tell(out, Text.assemble(VERDICTS[report.exit_code], " · ", totals_line(report)), 2)


def notice_lines(report: Report) -> Iterator[Text]:
    """What could not be read and what is the matter with the others, in their owner's words; then an empty line."""
    told = False
    for each in report.unreadable:
        told = True
        yield Text.assemble(("unread    ", STYLES["fail"]), printable(each.cause, NOTICE_LENGTH))
    for checkpoint in report.checkpoints:
        for notice in checkpoint.notices:
            told = True
            where = f"{printable(checkpoint.name)}: " if len(report.checkpoints) > 1 else ""
            yield Text.assemble(("notice    ", STYLES["known"]), where, printable(notice.cause, NOTICE_LENGTH))
            yield Text.assemble(("          do: ", "bright_black"), printable(notice.advice, NOTICE_LENGTH))
    if told:
        yield Text("")


def unused_lines(report: Report) -> list[str]:
    """By checkpoint, what else lies in its directory and no backend was given."""
    return [f"{printable(each.name)}: {unused_files(each)}" for each in report.checkpoints if each.unused_files]


def unused_files(checkpoint: CheckpointRecord) -> str:
    """Names of what no backend was given, the first ``NAMED`` of them."""
    names, more = checkpoint.unused_files[:NAMED], len(checkpoint.unused_files) - NAMED
    return ", ".join(printable(name, 80) for name in names) + (f" and {more} more" if more > 0 else "")


def environment_line(name: str, environment: dict[str, Any]) -> Text:
    """``main  Python 3.11.7 · transformers 4.57.6 · torch 2.13.0 …``."""
    versions = environment.get("versions") or {}
    parts = [f"Python {environment['python']}"] if environment.get("python") else []
    parts += [f"{library} {versions[library]}" for library in SHOWN_LIBRARIES if versions.get(library)]
    return Text(f"{name:<9} " + " · ".join(parts))


def totals_line(report: Report) -> Text:
    """``402 verdicts: 380 pass, 2 fail, …``; statuses that do not occur are left out, except pass."""
    counts = report.totals.model_dump(by_alias=True)
    text = Text(f"{plural(len(report.verdicts), 'verdict')}: ", "bold")
    shown = [(status, count) for status, count in counts.items() if count or status == "pass"]
    for place, (status, count) in enumerate(shown):
        text.append(", " if place else "")
        text.append(f"{count} {status}", STYLES[status])
    if carried := carried_over(report):
        text.append(f" ({carried} of the known carried over to versions nobody measured)")
    if report.strict:
        text.append(" (strict: known divergences that are critical or carried over count as fail)")
    return text


def carried_over(report: Report) -> int:
    """How many cells are known only because an entry carries over to a version that nobody measured."""
    return sum(verdict.status == "known" and "carried_over" in verdict.evidence for verdict in report.verdicts)


def by_entry(report: Report) -> dict[tuple[str, str], list[Verdict]]:
    """Known divergences by the known issues' entry and its severity."""
    met: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in report.verdicts:
        if verdict.status == "known":
            key = (str(verdict.evidence.get("known_issue", "?")), str(verdict.evidence.get("severity", "?")))
            met.setdefault(key, []).append(verdict)
    return met


def carried_words(verdicts: list[Verdict]) -> str:
    """How many of an entry's cells were carried over, and from which versions; "" where none was."""
    where = [str(v.evidence["carried_over"]) for v in verdicts if "carried_over" in v.evidence]
    return f", {len(where)} of them carried over ({'; '.join(dict.fromkeys(where))})" if where else ""


def by_reason(report: Report) -> dict[str, list[Verdict]]:
    """Skips by the missing capabilities, most cells first."""
    met: dict[str, list[Verdict]] = {}
    for verdict in report.verdicts:
        if verdict.status == "skip":
            met.setdefault(verdict.reason, []).append(verdict)
    return dict(sorted(met.items(), key=lambda item: -len(item[1])))


def known_lines(report: Report) -> list[str]:
    """One line for each entry of the list of known issues that was met."""
    lines = []
    for (entry, severity), verdicts in by_entry(report).items():
        subjects = ", ".join(dict.fromkeys(subject_label(verdict) for verdict in verdicts))
        checks = ", ".join(dict.fromkeys(verdict.check for verdict in verdicts))
        # The reason is `ID: cause [what this cell found]`; one line for all its cells leaves the last part out.
        cause = verdicts[0].reason.removeprefix(f"{entry}: ").partition(" [")[0]
        cells = plural(len(verdicts), "cell") + carried_words(verdicts)
        lines.append(f"{entry} ({severity}) · {subjects} · {checks} · {cells}: {cause}")
    return lines


def skip_lines(report: Report) -> list[str]:
    """The missing capabilities by name, most cells first, with the subjects that lack them."""
    lines = []
    for why, verdicts in by_reason(report).items():
        subjects = ", ".join(dict.fromkeys(subject_label(verdict) for verdict in verdicts))
        lines.append(f"{plural(len(verdicts), 'cell')} · {subjects} · {why}")
    return lines


def cost_line(report: Report) -> str:
    """Wall time, the share that is not a backend's own work, peak memory, traces found in the cache."""
    cost = report.cost
    if cost is None:
        return ""
    traces = cost.traces_cached + cost.traces_captured
    return (
        f"took {duration(cost.wall_seconds)}, {cost.own_share:.0%} of it not a backend's own work; "
        f"peak memory {size(cost.peak_memory)} over all processes; "
        f"{cost.traces_cached} of {traces} traces from the cache"
    )


def likely_cause(check: str) -> str:
    from parity.judge.checks import CHECKS

    known = CHECKS.get(check)
    return known.likely_cause if known else ""
