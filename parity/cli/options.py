"""The options of the command line, each declared once; ``audit_options`` hands a command ``AuditOptions``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from parity.cli import completion
from parity.cli.project import with_project
from parity.core.options import DEFAULTS, AuditOptions, with_main


def split_commas(given: list[str] | None) -> list[str] | None:
    """The values of an option that may be repeated, each of which may be a list with commas.

    What names a file stays whole, whatever is in its path.

    Raises:
        typer.BadParameter: a value has no name in it, as an unset shell variable gives. It would select everything.
    """
    if given is None:
        return None
    names: list[str] = []
    for text in given:
        of_text = [text] if _is_file(text) else [name.strip() for name in text.split(",") if name.strip()]
        if not of_text:
            raise typer.BadParameter("the value is empty")
        names += of_text
    return names


def _is_file(text: str) -> bool:
    try:
        return "," in text and Path(text.partition("=")[2] or text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # no path at all: a NUL in it, or a user that is not there
        return False


Checkpoints = Annotated[
    list[str],
    typer.Argument(
        metavar="[CHECKPOINT]…",
        help="Checkpoint directories or Hugging Face model ids. An id given here is downloaded if it is not cached. "
        "(default: checkpoints of \\[tool.parity] in pyproject.toml)",
    ),
]
Backends = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        metavar="NAME[/VARIANT],…",
        callback=split_commas,
        autocompletion=completion.backends,
        help="Run only these backends. (default: all)",
    ),
]
Checks = Annotated[
    list[str] | None,
    typer.Option(
        "--check",
        metavar="ID|GROUP,…",
        callback=split_commas,
        autocompletion=completion.checks,
        help="Run only these checks, or those of these groups. (default: all)",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="[NAME=]FILE.py:FUNCTION",
        help="Compare a model of your own, which FUNCTION(directory) in FILE.py returns. Other backends run only if "
        "named.",
    ),
]
Converted = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Run the named engine on these converted files. (default: they are made from the checkpoint)",
    ),
]
Quantised = Annotated[
    str,
    typer.Option(
        metavar="SCHEME",
        help="Run the named engine quantised: int8 (onnxruntime, ctranslate2), int8-weights, bfloat16-weights or "
        "float16-weights (ctranslate2). The references round their weights in the same way.",
    ),
]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        metavar="NAME,…",
        callback=split_commas,
        help="Set the tolerances by the errors of these references: one alone is faster, and less sharp. "
        "(default: reference-torch and reference-flax)",
    ),
]
Stacks = Annotated[
    list[str] | None,
    typer.Option(
        "--stack",
        metavar="NAME|PATH|NAME=PATH,…",
        callback=split_commas,
        autocompletion=completion.stacks,
        help="Run in these stacks, or Python interpreters, too, beside the stack main.",
    ),
]
Goldens = Annotated[
    list[str] | None,
    typer.Option(
        "--golden",
        metavar="STACK,…",
        callback=split_commas,
        autocompletion=completion.stacks,
        help="Judge the stored reference data of these stacks too, installed or not.",
    ),
]
Device = Annotated[
    str, typer.Option(metavar="cpu|cuda", help="Run the backends on this device; the oracle stays on the CPU.")
]
Dtypes = Annotated[
    list[str],
    typer.Option(
        "--dtype",
        metavar="DTYPE,…",
        callback=split_commas,
        autocompletion=completion.dtypes,
        help="Run the backends in these dtypes: float32, bfloat16, float16, float64.",
    ),
]
Inputs = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Read the batch from JSON Lines: {text, target?} or {input_ids, labels?}. (default: a synthetic batch)",
    ),
]
Class = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="NAME",
        autocompletion=completion.classes,
        help="Load it as this documented class, by its PyTorch name: BartModel. (default: the one it was saved by)",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write the run here. (default: runs/<UTC time>, new each time)"),
]
Cache = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Store traces here between runs. (default: the user's cache directory)"),
]
TimeLimit = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.1, help="Stop a case in a backend that takes longer.")
]
Jobs = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Run so many processes at once. (default: what cores and memory allow)"),
]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Limit the memory of all processes together: 12GB. (default: what is free)"),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Count known divergences as failures where they are critical or carried over.",
    ),
]
KnownIssues = Annotated[
    Path | None,
    typer.Option(
        "--known-issues",
        metavar="FILE",
        help="Read your own expected failures from a TOML file: each with evidence, a reason and a date of expiry.",
    ),
]
Keywords = Annotated[
    str,
    typer.Option(
        "-k",
        metavar="EXPRESSION",
        help="Run only what matches: words with and, or, not, looked for in check ids, groups and claims, and in names "
        "of cases and backends: -k 'numbers and not hf-tf'.",
    ),
]
ExitFirst = Annotated[bool, typer.Option("--exitfirst", "-x", help="Stop at the first check that fails.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for each cell too.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only a line for each failure, and the verdict; no progress.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Fetch nothing, even where a hub id is named.")]
SaveLimit = Annotated[
    float,
    typer.Option(metavar="GB", min=0, help="Save no copies of a checkpoint that would take more together."),
]
CaseSet = Annotated[
    str,
    typer.Option(
        "--cases",
        metavar="SET",
        help="standard, or exhaustive: also sampling, embeddings in place of tokens, calls without a cache, and "
        "further arguments of generate.",
    ),
]
Layerwise = Annotated[bool, typer.Option("--layerwise", help="Also run each layer on the oracle's input.")]

AUDIT_OPTIONS: dict[str, Any] = {
    "backends": Backends,
    "models": Models,
    "converted": Converted,
    "quantised": Quantised,
    "references": References,
    "checks": Checks,
    "keywords": Keywords,
    "exit_first": ExitFirst,
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
    "layerwise": Layerwise,
    "case_set": CaseSet,
    "save_limit": SaveLimit,
}
"""By field of ``AuditOptions`` its option, in the order of the help; ``cases`` only a program can give."""


def audit_options(without: Sequence[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command's decorator: its parameter ``options`` becomes an option of the shell for each field.

    Args:
        without: fields that the command does not take.
    """
    names = [name for name in AUDIT_OPTIONS if name not in without]
    keyword = inspect.Parameter.KEYWORD_ONLY

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            each.replace(default=None) if each.name == "checkpoints" else each
            for each in inspect.signature(command, eval_str=True).parameters.values()
            if each.name != "options"
        ]
        # The command's own options come last in the help.
        arguments = [each for each in own if each.name == "checkpoints" or each.default is inspect.Parameter.empty]
        last = [each.replace(kind=keyword) for each in own if each not in arguments]

        @functools.wraps(command)
        def called(**given: Any) -> None:
            given = with_project(given.pop("context"), given)
            chosen = {name: given.pop(name) for name in names}
            chosen["stacks"] = with_main(chosen["stacks"] or ())
            # What is not given stays the default.
            command(options=AuditOptions(**{n: value for n, value in chosen.items() if value is not None}), **given)

        options = [
            inspect.Parameter("context", keyword, default=None, annotation=typer.Context),
            *(
                inspect.Parameter(name, keyword, default=_default(name), annotation=AUDIT_OPTIONS[name])
                for name in names
            ),
        ]
        setattr(called, "__signature__", inspect.Signature([*arguments, *options, *last]))  # noqa: B010 (what typer reads)
        called.__annotations__ = {each.name: each.annotation for each in (*arguments, *options, *last)}
        return called

    return decorate


def _default(name: str) -> Any:
    """What typer is to show: lists that are empty, and ``main``, to which stacks are added, as not given."""
    value = getattr(DEFAULTS, name)
    if name == "stacks" or value == ():
        return None
    return list(value) if isinstance(value, tuple) else value
