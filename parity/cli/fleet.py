"""``parity fleet``: audits of many checkpoints, on one machine or a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from parity.cli.exit_codes import ALWAYS, DONE, INTERRUPTED, guarded, say
from parity.cli.options import audit_options, split_commas
from parity.core.display import printable
from parity.core.options import AuditOptions

Fleet = Annotated[str, typer.Argument(metavar="DIR|URL", help="The results of a fleet, as --out named them.")]
RUN_CODES = (
    "Exit code 0: only pass, known and skip. 1: any fail or error. 2: usage, a checkpoint that was not audited, or "
    "nothing computed. 3: internal error, a bug of parity. 130: interrupted; --resume goes on."
)
LONG = 4000
"""Characters of a path that is shown."""


class _RunByDefault(TyperGroup):
    """``parity fleet LIST`` is ``parity fleet run LIST``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride] (typer's context is click's)
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


fleet_app = typer.Typer(
    cls=_RunByDefault,
    help="Audit many checkpoints, on this machine or a Ray cluster: parity fleet LIST is parity fleet run LIST.",
    no_args_is_help=True,
)


@fleet_app.command("run", epilog=RUN_CODES)
@guarded
@audit_options(
    without=(
        "models",
        "converted",
        "quantised",
        "exit_first",
        "goldens",
        "device",
        "inputs",
        "model_class",
        "cache",
        "out",
        "jobs",
        "memory",
        "known_issues",
    )
)
def fleet_run(
    targets: Annotated[
        Path,
        typer.Argument(metavar="LIST", help="A text file: a directory or hub id a line, then a revision if any."),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", metavar="DIR|URL", help="Write the results here: a directory, or s3://BUCKET/PREFIX and the like."
        ),
    ],
    options: AuditOptions,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT|auto", help="Use this Ray cluster. (default: Ray is started on this machine)"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the results that DIR has.")] = False,
    devices: Annotated[
        list[str] | None,
        typer.Option("--device", metavar="cpu|cuda,…", callback=split_commas, help="Audit on these. (default: cpu)"),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            "--cache",
            metavar="DIR|URL",
            help="Store traces in this directory of each machine, or share them at s3://BUCKET/PREFIX or another URL "
            "that fsspec opens. (default: the user's cache directory)",
        ),
    ] = None,
    cpus_per_audit: Annotated[
        float, typer.Option(metavar="N", min=0.1, help="CPUs that the audit of one checkpoint reserves.")
    ] = 1.0,
    gpu_type: Annotated[
        str, typer.Option(metavar="NAME", help="Audit on cuda on GPUs of this type alone, by Ray's name: A100.")
    ] = "",
    checkpoint_limit: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Set a checkpoint aside whose audit takes longer.")
    ] = 7200.0,
) -> None:
    """Audit every checkpoint of a list, and write one table of all cells.

    Each checkpoint is one task of Ray. Results are written as checkpoints end; the same command with --resume goes on
    after an interruption.

    Example: parity fleet checkpoints.txt --out fleets/today --backend hf-torch --address auto
    """
    from parity.fleet.objects import is_url
    from parity.fleet.on_ray import GO_ON
    from parity.fleet.progress import FleetProgress
    from parity.fleet.run import Cluster, fleet
    from parity.fleet.targets import read_targets
    from parity.fleet.terminal import ending

    found = read_targets(targets)
    cache = str(cache or "")  # a path, where the project has it
    shared = cache if is_url(cache) else ""
    if cache and not shared:
        options = replace(options, cache=Path(cache).absolute())
    try:
        with FleetProgress() as progress:
            for label, count in found.repeated:
                progress.say(f"{label}: is {count} times in the list, and audited once")

            def opened(cluster: Cluster) -> None:
                if cluster.dashboard:
                    progress.say(f"Ray's dashboard: http://{cluster.dashboard}")
                progress.begin()

            result = fleet(
                found,
                options,
                out,
                devices=devices or ("cpu",),
                address=address,
                cpus=cpus_per_audit,
                gpu_type=gpu_type,
                limit=checkpoint_limit,
                resume=resume,
                shared_cache=shared,
                progress=progress,
                opened=opened,
            )
    except KeyboardInterrupt:
        say(f"interrupted; {GO_ON}")
        raise typer.Exit(INTERRUPTED) from None
    print(ending(result))
    print(printable(out, LONG))
    raise typer.Exit(result.exit_code)


@fleet_app.command("search", epilog=DONE)
@guarded
def fleet_search(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Part of the id.", show_default=False)] = "",
    author: Annotated[str | None, typer.Option(metavar="NAME", help="Of this user or organisation only.")] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="TAG,…",
            callback=split_commas,
            help="With all these tags, such as bart or summarization.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many.")] = None,
) -> None:
    """Search the hub, and print a list of checkpoints, each with its present commit. It needs the network.

    Example: parity fleet search --author facebook --filter bart > checkpoints.txt
    """
    from parity.fleet.hub import search_hub

    print("\n".join(search_hub(text, author, filters or (), limit)))


@fleet_app.command("report", epilog=DONE)
@guarded
def fleet_report(directory: Fleet) -> None:
    """Write index.html: which checkpoints diverge, grouped by cause, with links to the report of each.

    Example: parity fleet report fleets/today
    """
    from parity.fleet.folder import Folder
    from parity.fleet.report import write_report

    print(printable(write_report(Folder(directory)), LONG))


@fleet_app.command(
    "gate", epilog=f"Exit code 0: no cell that was good fails, and every checkpoint is audited. 1: one is not. {ALWAYS}"
)
@guarded
def fleet_gate(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="The results of a fleet …")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="… and of one after an upgrade.")],
) -> None:
    """List the cells of two fleets that got worse or better, and fail if one that was good fails now.

    Example: parity fleet gate fleets/before fleets/after
    """
    from parity.fleet.folder import Folder
    from parity.fleet.gate import gate
    from parity.fleet.terminal import show_gate

    found = gate(Folder(before), Folder(after))
    show_gate(found)
    raise typer.Exit(0 if found.passed else 1)
