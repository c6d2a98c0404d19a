"""A whole report on standard output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from parity.core.display import printable, shown
from parity.core.records import STOPPED, CheckpointRecord, Report, Rounding, Verdict
from parity.core.subject import Subject
from parity.core.summary import WORDS
from parity.report.console import STYLES, console, duration, plural, print_wrapped, size, status_text
from parity.report.failures import INDENT, REPRODUCE, Group, block, groups, headline, origins, usual_causes
from parity.report.matrix import matrices

NOTICE_INDENT = 10
"""Characters before what a notice says."""
NOTICE_LENGTH = 700
"""Characters of a notice that are shown."""
NAMED = 12
"""Files that are present and not used, of which the name is shown."""
NAMED_BACKENDS = 3
"""Failing backends that the last line names."""
LISTED = 12
"""Up to so many checkpoints have a line each at the end, whatever their verdict."""
_STYLES = {0: "bold green", 1: "bold red", 2: "bold yellow"}
VERDICTS = {code: (word, _STYLES[code]) for code, word in WORDS.items()}
"""By exit code, how the last line begins."""
SHOWN_LIBRARIES = ("transformers", "torch", "tensorflow", "tensorflow-cpu", "jax", "flax", "numpy")


def show_report(report: Report, path: Path, verbosity: int = 0) -> None:
    """Prints a report: environments and matrix, then failures, known divergences and skips, and its verdict last.

    Args:
        report: what an audit gave, or one read back from its file.
        path: its file; the page has the same name with ``.html``.
        verbosity: 0; above, a line for each cell too; below, only a line for each failure and the verdict.
    """
    out, report = console(), shown(report)
    failures = groups(v for v in report.verdicts if v.status in ("fail", "error"))
    if verbosity >= 0:
        _show_run(out, report)
    if verbosity > 0:
        _show_section(out, "Cells", map(cell_line, report.verdicts), 4)
    if verbosity >= 0:
        _show_failures(out, failures)
        _show_section(out, "First divergences", _origin_lines(failures), 4)
        _show_section(out, "Known divergences", known_lines(report), 4)
        _show_section(out, "Quantisation", rounding_lines(report), 4)
        _show_section(out, "Skipped", skip_lines(report), 4)
        _show_section(out, "Files not used", unused_lines(report), 4)
        out.print()
        if report.cost is not None:
            print_wrapped(out, Text(cost_line(report), "bright_black"), 2)
        out.print(Text(f"report {printable(path, 4000)}\npage   {printable(path.with_suffix('.html'), 4000)}"))
    else:
        for line in _not_audited_lines(report):
            print_wrapped(out, line, NOTICE_INDENT)
        for group in failures:
            print_wrapped(out, failure_line(group), 2)
    for line in last_lines(report):
        print_wrapped(out, line, 2)


def _show_run(out: Console, report: Report) -> None:
    """What was audited with what, the matrix, and what could not be run."""
    for line in notice_lines(report):
        print_wrapped(out, line, NOTICE_INDENT)
    for name, environment in report.environments.items():
        print_wrapped(out, environment_line(name, environment), 10)
    if report.tolerances and "alone" in report.tolerances:
        print_wrapped(out, Text(f"tolerances rest on {report.tolerances}"), 10)
    for table in matrices(report, out.width):
        out.print()
        out.print(table)
    out.print(totals_line(report))
    for line in _not_run_lines(report):
        print_wrapped(out, line, NOTICE_INDENT)


def _show_failures(out: Console, failures: Sequence[Group]) -> None:
    for group, cause in zip(failures, usual_causes(failures, likely_cause), strict=True):
        out.print()
        for line in block(group, *cause).split("\n"):
            if line.plain.startswith(f"  {REPRODUCE}"):
                # The terminal itself wraps a command, so that it can be copied.
                out.print(line, soft_wrap=True)
            else:
                print_wrapped(out, line, INDENT, wrap_in_files=True)


def _show_section(out: Console, title: str, lines: Iterable[str | Text], indent: int) -> None:
    """A heading and its lines; nothing where there are none."""
    lines = list(lines)
    if lines:
        out.print(Text(f"\n{title}", "bold"))
        for line in lines:
            print_wrapped(out, Text.assemble("  ", line), indent)


def _origin_lines(failures: Sequence[Group]) -> list[str]:
    return [f"{o.location}{o.inputs} · {o.where} · {o.checks}" for o in origins(failures)]


def _not_run_lines(report: Report) -> Iterator[Text]:
    for line in report.not_run:
        yield Text.assemble(("not run   ", STYLES["fail"]), printable(line, NOTICE_LENGTH))


def _not_audited_lines(report: Report) -> Iterator[Text]:
    """Checkpoints that could not be read, and what was requested and could not run."""
    yield from _unread_lines(report)
    yield from _not_run_lines(report)


def _unread_lines(report: Report) -> Iterator[Text]:
    for each in report.unreadable:
        yield Text.assemble(("unread    ", STYLES["fail"]), printable(each.cause, NOTICE_LENGTH))


def cell_line(verdict: Verdict) -> Text:
    """``NUM01 pass · hf-torch · bart-odd · forward · float32 · cpu · 0.28 × tolerance``."""
    where = (verdict.subject_label, verdict.checkpoint, verdict.case, verdict.dtype, verdict.device)
    text = Text(f"{verdict.check:<8} ")
    text.append_text(status_text(verdict.status))
    text.append(" · " + " · ".join(where))
    if verdict.status == "skip":
        text.append(f" · {' '.join(verdict.reason.split())}")
    elif verdict.ratio is not None:
        text.append(f" · {verdict.ratio:,.3g} × tolerance")
    return text


def failure_line(group: Group) -> Text:
    """``FAILED NUM01 · hf-torch · bart-odd · float32 · cpu · encoder.hidden.1: 154 × tolerance``."""
    checks, status, where = headline(group)
    verdict = group.example
    text = Text.assemble(("FAILED" if status == "fail" else "ERROR", STYLES[status]), f" {checks} · {where} · ")
    first = verdict.first_divergence
    if first is None or first.error is None:
        return text.append(" ".join(verdict.reason.split()))
    return text.append(first.tensor if first.ratio is None else f"{first.tensor}: {first.ratio:,.3g} × tolerance")


def last_lines(report: Report) -> list[Text]:
    """The verdict: a line for each of several checkpoints, and one on the whole.

    ``FAILED hf-torch: 4 checks (11 cells), first at encoder.attention.0 · 4 known · 194 passed in 43.0 s``. Of more
    than ``LISTED`` checkpoints those that passed have no line of their own.
    """
    by_checkpoint: dict[str, list[Verdict]] = {each.name: [] for each in report.checkpoints}
    for verdict in report.verdicts:
        if verdict.checkpoint in by_checkpoint:
            by_checkpoint[verdict.checkpoint].append(verdict)
    lines = []
    if several := len(by_checkpoint) > 1:
        for name, verdicts in by_checkpoint.items():
            if len(by_checkpoint) <= LISTED or _code(verdicts):
                parts = [printable(name), *_failing_backends(verdicts), *_counts(verdicts)]
                lines.append(Text.assemble(VERDICTS[_code(verdicts)], " ", " · ".join(parts)))
    failed = sum(_code(verdicts) == 1 for verdicts in by_checkpoint.values())
    parts = []
    if several and failed:
        parts.append(f"{failed} of {len(by_checkpoint)} checkpoints: {_cells(_failing(report.verdicts))}")
    elif several:
        parts.append(plural(len(by_checkpoint), "checkpoint"))
    else:
        parts += _failing_backends(report.verdicts)
    if report.unreadable:
        parts.append(f"{plural(len(report.unreadable), 'checkpoint')} not read")
    stopped = [line for line in report.not_run if line.endswith(STOPPED)]
    if others := len(report.not_run) - len(stopped):
        parts.append(f"{others} not run")
    if stopped:
        parts.append(STOPPED)
    took = f" in {duration(report.cost.wall_seconds)}" if report.cost is not None else ""
    summary = " · ".join([*parts, *_counts(report.verdicts)]) + took + (" (strict)" if report.strict else "")
    return [*lines, Text.assemble(VERDICTS[report.exit_code], " ", summary)]


def _code(verdicts: Sequence[Verdict]) -> int:
    """The exit code of one checkpoint's verdicts."""
    if _failing(verdicts):
        return 1
    return 0 if any(verdict.status in ("pass", "known") for verdict in verdicts) else 2


def _failing(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.status in ("fail", "error")]


def _cells(failing: Sequence[Verdict]) -> str:
    """``4 checks (11 cells, 2 of them errors)``."""
    errors = sum(verdict.status == "error" for verdict in failing)
    of_errors = f", {errors} of them errors" if errors and errors < len(failing) else ", all errors" if errors else ""
    checks = len({verdict.check for verdict in failing})
    return f"{plural(checks, 'check')} ({plural(len(failing), 'cell')}{of_errors})"


def _failing_backends(verdicts: Sequence[Verdict]) -> list[str]:
    """``hf-torch: 4 checks (11 cells), first at encoder.attention.0; hf-tf: …``, or nothing where none fails.

    The variants of a backend are counted together.
    """
    by_backend: dict[str, list[Verdict]] = {}
    for verdict in _failing(verdicts):
        by_backend.setdefault(Subject(verdict.backend, stack=verdict.stack).label, []).append(verdict)
    parts = []
    for label, failing in list(by_backend.items())[:NAMED_BACKENDS]:
        begun = [o.groups[0].example.first_divergence for o in origins(groups(failing))]
        first = next((f", first at {each.tensor}" for each in begun if each is not None), "")
        parts.append(f"{label}: {_cells(failing)}{first}")
    if (more := len(by_backend) - NAMED_BACKENDS) > 0:
        parts.append(f"{more} more")
    return ["; ".join(parts)] if parts else []


def _counts(verdicts: Sequence[Verdict]) -> list[str]:
    """``4 known · 12 skipped · 194 passed``; only the last is there where its number is 0."""
    counts = Counter(verdict.status for verdict in verdicts)
    found = [(counts["known"], "known"), (counts["skip"], "skipped"), (counts["pass"], "passed")]
    return [f"{count} {word}" for count, word in found if count or word == "passed"]


def notice_lines(report: Report) -> Iterator[Text]:
    """Checkpoints that could not be read, and the diagnoses of the others; then an empty line, if there is any."""
    yield from _unread_lines(report)
    any_notice = bool(report.unreadable)
    for checkpoint in report.checkpoints:
        for notice in checkpoint.notices:
            any_notice = True
            where = f"{printable(checkpoint.name)}: " if len(report.checkpoints) > 1 else ""
            yield Text.assemble(("notice    ", STYLES["known"]), where, printable(notice.cause, NOTICE_LENGTH))
            yield Text.assemble(("          do: ", "bright_black"), printable(notice.advice, NOTICE_LENGTH))
    if any_notice:
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
    for index, (status, count) in enumerate(shown):
        text.append(", " if index else "")
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
    """Known divergences by known issue and severity."""
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
        subjects = ", ".join(dict.fromkeys(verdict.subject_label for verdict in verdicts))
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
        subjects = ", ".join(dict.fromkeys(verdict.subject_label for verdict in verdicts))
        lines.append(f"{plural(len(verdicts), 'cell')} · {subjects} · {why}")
    return lines


def rounding_lines(report: Report) -> list[str]:
    """Of a quantised engine: what rounding the weights moves and what the engine adds, by check group; then the texts
    that either changes, each with the oracle's margin at the first token that differs."""
    lines = []
    by_group: dict[tuple[str, int, str], list[Rounding]] = {}
    for row in report.rounding:
        by_group.setdefault((row.checkpoint, row.subject, row.group), []).append(row)
    for (name, subject, group), rows in by_group.items():
        engine = report.subjects[subject].label
        where = f"{name} · {rows[0].quantisation} · {group}"
        if texts := sum(row.texts for row in rows):
            moved, added = (sum(getattr(row, each) for row in rows) for each in ("rounding_texts", "engine_texts"))
            lines.append(f"{where} · rounding the weights changes {moved} of {texts} texts, {engine} {added}")
        else:
            moved = max(rows, key=lambda row: row.rounding_ratio or 0.0)
            added = max(rows, key=lambda row: row.engine_ratio or 0.0)
            lines.append(
                f"{where} · rounding the weights moves {_moved(moved.rounding, moved.rounding_ratio)}, "
                f"{engine} adds {_moved(added.engine, added.engine_ratio)}"
            )
    changed = list(_changed_texts(report))
    more = [f"and {plural(len(changed) - LISTED, 'text')} more in the report"] if len(changed) > LISTED else []
    return [*lines, *changed[:LISTED], *more]


def _moved(error: float | None, ratio: float | None) -> str:
    return f"{error:.1e} ({ratio:,.3g} × tolerance)" if error is not None and ratio is not None else "nothing"


def _changed_texts(report: Report) -> Iterator[str]:
    """The texts that the engine, or rounding the weights, changes; each once, although several checks read it."""
    subjects = {index for row in report.rounding for index in (row.subject, row.original)}
    for row in report.generated:
        if row.subject in subjects and row.marks:
            mark = row.marks[0]
            taken = row.tokens[mark.position] if mark.position < len(row.tokens) else "no token"
            margin = "of no margin" if mark.margin is None else f"by a margin of {mark.margin:.2g}"
            yield (
                f"{row.case} row {row.row} · {report.subjects[row.subject].label} · token {mark.position} is {taken}, "
                f"the oracle prefers {mark.oracle_token} {margin}"
            )


def cost_line(report: Report) -> str:
    """Wall time, the share that is not a backend's own work, peak memory, traces found in the cache."""
    cost = report.cost
    if cost is None:
        return ""
    traces = cost.traces_cached + cost.traces_captured
    start = " from the start of the command" if cost.start_seconds else ""
    return (
        f"took {duration(cost.wall_seconds)}{start}, {cost.own_share:.0%} of it overhead; "
        f"peak memory {size(cost.peak_memory)} over all processes; "
        f"{cost.traces_cached} of {traces} traces from the cache"
    )


def likely_cause(check: str) -> str:
    from parity.judge.checks import CHECKS

    known = CHECKS.get(check)
    return known.likely_cause if known else ""
