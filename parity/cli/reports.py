"""The commands that read what audits left: hold it against a baseline, show it, write it in other forms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parity.cli import completion
from parity.cli.exit_codes import ALWAYS, DONE, EXIT_CODES, guarded
from parity.cli.options import Cache, Jobs, Offline, Quiet, Verbose, split_commas
from parity.cli.project import baseline_of_project
from parity.core.errors import InputError

reports_app = typer.Typer()

Stored = Annotated[Path, typer.Argument(metavar="REPORT", help="report.json, or a run's directory.")]
Summary = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Append a Markdown summary to the file: $GITHUB_STEP_SUMMARY.")
]
Annotate = Annotated[bool, typer.Option("--annotate", help="Print GitHub's annotations.")]


@reports_app.command(epilog=f"Exit code 0: every cell is as the baseline says. 1: one is not. {ALWAYS}")
@guarded
def gate(
    reports: Annotated[
        list[Path], typer.Argument(metavar="REPORT…", help="report.json or a run's directory; several with --update.")
    ],
    context: typer.Context,
    baseline: Annotated[Path, typer.Option(metavar="FILE", help="Compare with this file.")] = Path(
        "reports/baseline.json"
    ),
    update: Annotated[
        bool, typer.Option("--update", help="Write the baseline from this run, or from what several agree on.")
    ] = False,
    drop: Annotated[bool, typer.Option("--allow-removed", help="With --update: accept that cells are gone.")] = False,
    accept_failures: Annotated[
        bool, typer.Option("--accept-failures", help="With --update: accept cells that fail, for a --reason.")
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Record with each accepted failure why it is accepted.")
    ] = "",
    summary: Summary = None,
    annotate: Annotate = False,
) -> None:
    """Fail if a report differs from the baseline, including unexpected improvements.

    Differences are a worse verdict, a missing cell, a new divergence, an error that grew beyond its spread, and an
    improvement, which --update accepts. A partial run cannot become a baseline, and a failed one only with
    --accept-failures --reason TEXT.

    Example: parity gate runs/today --baseline reports/baseline.json
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
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML, a test for each cell.")] = None,
    jsonl: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JSON Lines, a line for each verdict.")
    ] = None,
    summary: Summary = None,
    annotate: Annotate = False,
) -> None:
    """Write a report in formats that other tools read.

    Example, in a GitHub workflow: parity export runs/ci --junit parity.xml --summary "$GITHUB_STEP_SUMMARY" --annotate
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
def show(path: Stored, verbose: Verbose = False, quiet: Quiet = False) -> None:
    """Show a stored report as its audit did: matrix, failures, known divergences, skipped cells.

    Example: parity show runs/today -q
    """
    from parity.core.records import Report, read_record, report_file
    from parity.report.terminal import show_report

    report = read_record(Report, report_file(path))
    show_report(report, report_file(path), verbose - quiet)
    raise typer.Exit(report.exit_code)


@reports_app.command(epilog=DONE)
@guarded
def explain(
    checks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID|GROUP]…",
            help="Describe these checks, or list those of a group. (default: list all)",
            autocompletion=completion.checks,
        ),
    ] = None,
) -> None:
    """Describe checks: the claim, its source, and what usually breaks it.

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
        typer.Option(
            "--case",
            metavar="NAME,…",
            callback=split_commas,
            help="Compare only these cases; * stands for anything. (default: load and forward)",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show the tensors of cases that agree too.")] = False,
    cache: Cache = None,
    jobs: Jobs = None,
    offline: Offline = False,
) -> None:
    """Compare two checkpoints, versions, dtypes, devices or runs, tensor by tensor in data-flow order.

    Example: parity compare before/ after/

    Example: parity compare model::hf-torch model::hf-torch@docs-4.37

    Example: parity compare model::hf-torch model::hf-torch:bfloat16

    Example: parity compare runs/monday runs/tuesday --case '*'

    Example: parity compare fairseq/model.pt converted/
    """
    from parity import api
    from parity.report.progress import Progress
    from parity.tools.compare.conversion import ConversionComparison
    from parity.tools.compare.render import show_comparison, show_conversion

    with Progress() as progress:
        found = api.compare(
            one, other, cases=case or ("load", "forward"), cache=cache, jobs=jobs, offline=offline, progress=progress
        )
    if isinstance(found, ConversionComparison):
        show_conversion(found)
    else:
        show_comparison(found, everything)
    raise typer.Exit(found.exit_code)
