"""``parity stack``: environments with pinned library versions, for those who have no clone."""

from __future__ import annotations

from typing import Annotated

import typer

from parity.cli.exit_codes import ALWAYS, DONE, INTERRUPTED, guarded, say
from parity.core.display import printable

stack_app = typer.Typer(help="Environments with pinned library versions: make, list, find.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="main, docs-4.37, current or gpu.")]


@stack_app.command("make", epilog=f"Exit code 0: it is there. {ALWAYS}")
@guarded
def stack_make(
    name: Name,
    python: Annotated[
        str | None,
        typer.Option(metavar="PATH|VERSION", help="Make it from this Python. (default: the running one if it fits)"),
    ] = None,
) -> None:
    """Install a stack's pinned versions into an environment of its own, in the user's data directory.

    The command itself needs no framework: a stack has them. main is where the float64 oracle runs. pip's own
    configuration applies; without a GPU, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu saves gigabytes.
    An interrupted installation goes on with the same command. Example:
    parity stack make main
    """
    from parity.report.console import console
    from parity.tools.stack import make

    out = console(stderr=True)
    try:
        with out.status(f"{name}") as status:

            def report(line: str) -> None:
                status.update(f"{name}: {printable(line)}")
                if not out.is_terminal:
                    say(f"{name}: {printable(line)}")

            interpreter = make(name, python, report)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None
    print(f"{name}: {printable(interpreter, 4000)}")
    use = "" if name == "main" else f" --stack {name}"
    print(f"use it: parity audit PATH/TO/CHECKPOINT{use}")


@stack_app.command("list", epilog=DONE)
@guarded
def stack_list() -> None:
    """Show every stack of the table: whether it is here, where, and what it is for."""
    from parity.tools.stack import stacks

    for made in stacks():
        todo = "" if made.state == "ready" else f"; parity stack make {made.row.name}"
        print(f"{made.row.name:<10} {printable(made.state)}{todo}\n  {made.row.purpose}")
        if made.interpreter is not None:
            print(f"  {printable(made.interpreter, 4000)}")


@stack_app.command("path", epilog=f"Exit code 0: it is there. {ALWAYS}")
@guarded
def stack_path(name: Name) -> None:
    """Print the interpreter of a stack that is here."""
    from parity.tools.stack import path

    print(path(name))
