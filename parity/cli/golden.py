"""``parity golden``: the answers of other stacks that are kept with the project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parity.cli import completion
from parity.cli.exit_codes import ALWAYS, DONE, guarded
from parity.cli.options import Cache, Jobs, split_commas

golden_app = typer.Typer(
    help="Write or check the stored reference data (goldens) of other stacks.", no_args_is_help=True
)


@golden_app.command("record", epilog=DONE)
@guarded
def golden_record(
    checkpoints: Annotated[
        list[Path] | None, typer.Argument(metavar="[FIXTURE]…", help="Run these directories. (default: every fixture)")
    ] = None,
    stack: Annotated[
        list[str] | None,
        typer.Option(
            "--stack",
            metavar="NAME,…",
            callback=split_commas,
            autocompletion=completion.stacks,
            help="Write those of these stacks only.",
        ),
    ] = None,
    because: Annotated[
        str,
        typer.Option(
            "--reason", metavar="TEXT", help="Replace goldens that were closer to the oracle, and record why."
        ),
    ] = "",
    cache: Cache = None,
    jobs: Jobs = None,
) -> None:
    """Run the fixtures in other stacks and store the results, with versions, machine, seed, date and digests.

    Refuses to replace a golden with one that is farther from the float64 oracle, unless --reason TEXT is given.

    Example: parity golden record --stack docs-4.37
    """
    from parity.report.progress import Progress
    from parity.tools.golden.record import record
    from parity.tools.golden.selection import STACKS

    with Progress() as progress:
        written = record(
            checkpoints, stacks=stack or STACKS, because=because, cache=cache, jobs=jobs, progress=progress
        )
    print(*(f"recorded {name}" for name in written), f"{len(written)} written, the others are the same", sep="\n")


@golden_app.command(
    "check",
    epilog=f"Exit code 0: all are there, whole, of today, and what the oracle allows. 1: one is not. {ALWAYS}",
)
@guarded
def golden_check(
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Look only for missing, unused, altered and stale files.")
    ] = False,
    cache: Cache = None,
    jobs: Jobs = None,
) -> None:
    """Fail if a golden is missing, unused, altered or stale, or disagrees with the current oracle.

    Example: parity golden check --files-only
    """
    from parity import api
    from parity.report.progress import Progress
    from parity.tools.golden.check import problems
    from parity.tools.golden.render import show_audited, show_problems

    found = problems()
    show_problems(found)
    if found or files_only:
        raise typer.Exit(1 if found else 0)
    with Progress() as progress:
        report = api.audit_goldens(cache, jobs, progress)
    show_audited(report)
    raise typer.Exit(report.exit_code)
