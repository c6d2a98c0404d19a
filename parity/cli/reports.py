"""The commands that read what audits left: hold it against a baseline, show it, write it in other forms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parity.cli.exit_codes import ALWAYS, DONE, EXIT_CODES, guarded
from parity.cli.options import Cache, Jobs, Offline
from parity.cli.project import baseline_of_project
from parity.core.errors import InputError

reports_app = typer.Typer()

Stored = Annotated[Path, typer.Argument(metavar="REPORT", help="report.json, or a run's directory.")]
Summary = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Markdown, added to the file: $GITHUB_STEP_SUMMARY.")
]
Annotate = Annotated[bool, typer.Option("--annotate", help="Print GitHub's annotations.")]


@reports_app.command(epilog=f"Exit code 0: every cell is as the baseline says. 1: one is not. {ALWAYS}")
@guarded
def gate(
    reports: Annotated[
        list[Path], typer.Argument(metavar="REPORT…", help="report.json or a run's directory; several to --update.")
    ],
    context: typer.Context,
    baseline: Annotated[Path, typer.Option(metavar="FILE", help="What was true.")] = Path("reports/baseline.json"),
    update: Annotated[
        bool, typer.Option("--update", help="Write the baseline from this run, or what several agree on.")
    ] = False,
    drop: Annotated[
        bool, typer.Option("--allow-removed", help="With --update: cells no longer there are meant to go.")
    ] = False,
    accept_failures: Annotated[
        bool, typer.Option("--accept-failures", help="With --update: cells that fail are taken too, for a --reason.")
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why failures are accepted; recorded with each.")
    ] = "",
    summary: Summary = None,
    annotate: Annotate = False,
) -> None:
    """Fail where a report is not what the baseline says: for worse, or for better without a word.

    A worse verdict, a cell that vanished, a new divergence, an error grown beyond its spread, and also an improvement,
    which is accepted with --update. A partial run never becomes a baseline, and a failed one only with
    --accept-failures --reason TEXT: then another failure, or a pass, is what changed. Example:
    parity gate runs/today --baseline reports/baseline.json
    """
    from parity.tools.gate.gate import gate as hold
    from parity.tools.gate.gate import update as renew
    from parity.tools.gate.render import show_gate, show_updated

    baseline = baseline_of_project(context, baseline)
    reason = " ".join(reason.split())
    if accept_failures != bool(reason):
        raise InputError("--accept-failures and --reason TEXT go together: a failure is accepted for a reason")
    if update:
        made = not baseline.exists()
        show_updated(renew(reports, baseline, drop=drop, accept_failures=reason), baseline, made)
        return
    if accept_failures:
        raise InputError("--accept-failures is for --update")
    if drop or len(reports) > 1:
        raise InputError("--allow-removed and several reports are for --update")
    gated = hold(reports[0], baseline)
    show_gate(gated, reports[0], baseline)
    if summary is not None or annotate:
        from parity.report import export as forms
        from parity.tools.gate.github import gate_annotations, gate_summary

        if summary is not None:
            forms.append(summary, gate_summary(gated, reports[0], baseline))
        if annotate:
            print(forms.joined(gate_annotations(gated)), end="")
    raise typer.Exit(0 if gated.passed else 1)


@reports_app.command(epilog=DONE)
@guarded
def export(
    path: Stored,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="JUnit XML, a test for each cell.")] = None,
    jsonl: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON Lines, a line for each verdict.")] = None,
    summary: Summary = None,
    annotate: Annotate = False,
) -> None:
    """Write a report in forms that other tools read.

    Example, in a GitHub workflow:
    parity export runs/ci --junit parity.xml --summary "$GITHUB_STEP_SUMMARY" --annotate
    """
    from parity.core.records import Report, read_record, report_file
    from parity.report import export as forms

    if not (junit or jsonl or summary or annotate):
        raise InputError("say what to write: --junit, --jsonl, --summary or --annotate")
    report = read_record(Report, report_file(path))
    if junit is not None:
        forms.write(junit, forms.junit(report))
    if jsonl is not None:
        forms.write(jsonl, forms.jsonl(report))
    if summary is not None:
        forms.append(summary, forms.summary(report))
    if annotate:
        print(forms.joined(forms.annotation_lines(report)), end="")


@reports_app.command(epilog=EXIT_CODES)
@guarded
def show(path: Stored) -> None:
    """Show a stored report as its audit did: the matrix, each failure, known divergences, what was not asked."""
    from parity.core.records import Report, read_record, report_file
    from parity.report.terminal import show_report

    report = read_record(Report, report_file(path))
    show_report(report, report_file(path))
    raise typer.Exit(report.exit_code)


@reports_app.command(epilog=DONE)
@guarded
def explain(
    checks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID|GROUP]…", help="Checks, or a group's. (default: all, a line each)"),
    ] = None,
) -> None:
    """Tell what a check claims, where the claim comes from, and what usually breaks it.

    Example: parity explain NUM01
    """
    from parity.report.explain import show_checks

    show_checks(checks or [])


@reports_app.command(
    epilog="Exit code 0: no tensor differs by more than both tolerances. 1: a tensor or verdict differs. "
    f"2: the sides share nothing to compare. {ALWAYS}"
)
@guarded
def compare(
    one: Annotated[str, typer.Argument(metavar="A", help="A run's directory, a checkpoint, or a hub id …")],
    other: Annotated[str, typer.Argument(metavar="B", help="… then ::BACKEND/VARIANT@STACK:DTYPE:DEVICE, or less.")],
    case: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="NAME", help="Only these, * for anything. (default: load and forward)"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show the tensors of cases that agree, too.")] = False,
    cache: Cache = None,
    jobs: Jobs = None,
    offline: Offline = False,
) -> None:
    """Compare two sides tensor by tensor, in data-flow order: checkpoints, versions, dtypes, devices, or two runs.

    Examples: parity compare before/ after/
    parity compare model::hf-torch model::hf-torch@docs-4.37
    parity compare model::hf-torch model::hf-torch:bfloat16
    parity compare runs/monday runs/tuesday --case '*'
    """
    from parity import api
    from parity.report.progress import Progress
    from parity.tools.compare.render import show_comparison

    with Progress() as progress:
        found = api.compare(
            one, other, cases=case or ("load", "forward"), cache=cache, jobs=jobs, offline=offline, progress=progress
        )
    show_comparison(found, everything)
    raise typer.Exit(found.exit_code)
