"""``parity init``: write the configuration and the workflow of a repository with a checkpoint of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parity.cli.exit_codes import ALWAYS, guarded
from parity.core.display import printable


@guarded
def init(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[backend NAME]", help="A package with a backend of your own, instead of a repository."),
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--checkpoint",
            metavar="DIR",
            help="A checkpoint of this repository, or a hub id; repeat for more. (default: those found below)",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a \\[tool.parity] and a workflow that are there and differ.")
    ] = False,
) -> None:
    """Write \\[tool.parity] into pyproject.toml, .github/workflows/parity.yml, and runs/ into .gitignore.

    Works on the current directory. What is there already is left as it is, and the difference shown.

    Example: parity init --checkpoint models/my-bart

    Example: parity init backend my-engine
    """
    from parity.core.errors import InputError
    from parity.tools.init.backend import init_backend
    from parity.tools.init.init import init as write

    if what and (len(what) != 2 or what[0] != "backend"):
        raise InputError(f"{' '.join(what)}: expected nothing, or backend NAME")
    changes = init_backend(Path.cwd(), what[1], force) if what else write(Path.cwd(), checkpoint or [], force)
    different = False
    for change in changes:
        if change.written:
            print(f"{'wrote' if change.before is None else 'changed'}  {change.path}")
        elif change.before == change.after:
            print(f"same     {change.path}")
        else:
            different = True
            print(f"kept     {change.path}: differs from what would be written")
            print(*(f"  {printable(line, 500)}" for line in change.diff.splitlines()), sep="\n")
    if different:
        print("to replace what differs: parity init --force")
    if what:
        print(f"next     pip install -e {what[1]}, then pytest --parity-backend-conformance {what[1]}")
        return
    print("next     parity audit --out runs/first, then parity gate runs/first --update, and commit the baseline")


EPILOG = f"Exit code 0: done, what differs is kept without --force. {ALWAYS}"
