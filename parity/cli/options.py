"""The options of the command line, each declared once; ``audit_options`` hands a command ``AuditOptions``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from parity.cli.project import with_project
from parity.core.options import DEFAULTS, AuditOptions, with_main

Checkpoints = Annotated[
    list[str],
    typer.Argument(
        metavar="[CHECKPOINT]…",
        help="Directories, or hub ids (naming one permits its download). (default: those of [tool.parity])",
    ),
]
Backends = Annotated[
    list[str] | None,
    typer.Option("--backend", metavar="NAME[/VARIANT]", help="Only this backend; repeat for more. (default: all)"),
]
Checks = Annotated[
    list[str] | None,
    typer.Option("--check", metavar="ID|GROUP", help="Only this check; repeat for more. (default: all)"),
]
Stacks = Annotated[
    list[str] | None,
    typer.Option(
        "--stack",
        metavar="NAME|PATH|NAME=PATH",
        help="Adds a stack of the table, or any Python interpreter, to main; repeat for more.",
    ),
]
Goldens = Annotated[
    list[str] | None,
    typer.Option("--golden", metavar="STACK", help="Judge this stack's kept answers too, installed or not."),
]
Device = Annotated[str, typer.Option(metavar="cpu|cuda", help="Where candidates compute; the oracle stays on the CPU.")]
Dtypes = Annotated[
    list[str],
    typer.Option("--dtype", metavar="DTYPE", help="float32, bfloat16, float16 or float64; repeat for more."),
]
Inputs = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="JSON Lines: {text, target?} or {input_ids, labels?}. (default: a synthetic batch)"
    ),
]
Class = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="NAME",
        help="Load it as this documented class, by its PyTorch name: BartModel. (default: the one it was saved by)",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The run's directory. (default: runs/<UTC time>, new each time)"),
]
Cache = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where traces are kept between runs. (default: the user's cache directory)"),
]
TimeLimit = Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="For one case in one backend.")]
Jobs = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Processes side by side. (default: what cores and memory allow)"),
]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="What all processes that compute may take, as 12GB. (default: what is free)"),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Known divergences fail where they are critical or carried over.",
    ),
]
KnownIssues = Annotated[
    Path | None,
    typer.Option(
        "--known-issues",
        metavar="FILE",
        help="Your own expected failures, in the format of known issues: each with evidence, a reason and a date "
        "of expiry.",
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Fetch nothing, even where a hub id is named.")]
SaveLimit = Annotated[
    float,
    typer.Option(metavar="GB", min=0, help="What all saved copies of one checkpoint may take; above, none is saved."),
]
EachLayer = Annotated[
    bool, typer.Option("--layerwise", help="Also ask every layer alone, given the oracle's own states.")
]

AUDIT_OPTIONS: dict[str, Any] = {
    "backends": Backends,
    "checks": Checks,
    "stacks": Stacks,
    "goldens": Goldens,
    "device": Device,
    "dtypes": Dtypes,
    "inputs": Inputs,
    "model_class": Class,
    "out": Out,
    "cache": Cache,
    "time_limit": TimeLimit,
    "jobs": Jobs,
    "memory": Memory,
    "strict": Strict,
    "known_issues": KnownIssues,
    "offline": Offline,
    "layerwise": EachLayer,
    "save_limit": SaveLimit,
}
"""By field of ``AuditOptions`` its option, in the order of the help; ``cases`` only a program can give."""


def audit_options(without: Sequence[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command's decorator: its parameter ``options`` becomes an option of the shell for each field.

    Args:
        without: fields that the command does not take.
    """
    names = [name for name in AUDIT_OPTIONS if name not in without]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            each.replace(default=None) if each.name == "checkpoints" else each
            for each in inspect.signature(command, eval_str=True).parameters.values()
            if each.name != "options"
        ]

        @functools.wraps(command)
        def called(**given: Any) -> None:
            given = with_project(given.pop("context"), given)
            asked = {name: given.pop(name) for name in names}
            asked["stacks"] = with_main(asked["stacks"] or ())
            # What is not given stays the default.
            command(options=AuditOptions(**{n: value for n, value in asked.items() if value is not None}), **given)

        keyword = inspect.Parameter.KEYWORD_ONLY
        options = [
            inspect.Parameter("context", keyword, default=None, annotation=typer.Context),
            *(
                inspect.Parameter(name, keyword, default=_default(name), annotation=AUDIT_OPTIONS[name])
                for name in names
            ),
        ]
        setattr(called, "__signature__", inspect.Signature([*own, *options]))  # noqa: B010 (what typer reads)
        called.__annotations__ = {each.name: each.annotation for each in (*own, *options)}
        return called

    return decorate


def _default(name: str) -> Any:
    """What typer is to show: lists that are empty, and ``main``, to which stacks are added, as not given."""
    value = getattr(DEFAULTS, name)
    if name == "stacks" or value == ():
        return None
    return list(value) if isinstance(value, tuple) else value
