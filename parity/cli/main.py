"""The command line. Each command is a few lines over ``parity.api``; what is heavy is imported when it is needed."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from parity.cli import completion
from parity.cli.exit_codes import ALWAYS, DONE, EXIT_CODES, INTERRUPTED, NOTHING_TO_DO, guarded, one_line, say
from parity.cli.fleet import fleet_app
from parity.cli.golden import golden_app
from parity.cli.init import EPILOG as INIT_EPILOG
from parity.cli.init import init
from parity.cli.options import (
    Cache,
    Checkpoints,
    Checks,
    ExitFirst,
    Jobs,
    Keywords,
    KnownIssues,
    Out,
    Quiet,
    Strict,
    Verbose,
    audit_options,
    split_commas,
)
from parity.cli.project import with_project
from parity.cli.reports import reports_app
from parity.cli.stack import stack_app
from parity.core.display import printable
from parity.core.errors import InputError
from parity.core.files import check_writable
from parity.core.options import AuditOptions
from parity.core.process import process_start
from parity.core.version import __version__

if TYPE_CHECKING:
    from parity.tools.examples.results import Mode

app = typer.Typer(
    name="parity",
    help="Compare the implementations of encoder-decoder checkpoints with a float64 oracle, tensor by tensor.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(help="List or remove the traces stored between runs.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")
app.add_typer(reports_app)
app.add_typer(golden_app, name="golden")
app.add_typer(fleet_app, name="fleet")
app.add_typer(stack_app, name="stack")
app.command(epilog=INIT_EPILOG)(init)

LONG = 4000
"""Characters of a path that is shown."""


@app.command(epilog=EXIT_CODES)
@guarded
@audit_options()
def audit(checkpoints: Checkpoints, options: AuditOptions, verbose: Verbose = False, quiet: Quiet = False) -> None:
    """Compare the implementations of a checkpoint against a float64 oracle.

    Writes report.html, report.json, manifest.json and the traces into the run's directory.

    Example: parity audit path/to/checkpoint --backend hf-torch,hf-tf --check numbers -x
    """
    from parity import api
    from parity.capture.run_directory import run_directory
    from parity.report.progress import Progress
    from parity.report.terminal import show_report

    out = run_directory(options.out)
    with Progress(quiet) as progress:
        report = api.audit(checkpoints, replace(options, out=out), progress=progress, began=process_start())
    show_report(report, out / "report.json", verbose - quiet)
    raise typer.Exit(report.exit_code)


@app.command(epilog=EXIT_CODES)
@guarded
@audit_options(without=("checks", "keywords", "exit_first", "strict", "known_issues"))
def capture(checkpoints: Checkpoints, options: AuditOptions) -> None:
    """Run every backend on a checkpoint and store the results, to be judged later or on another machine.

    The run's directory can be moved; parity judge DIR needs no framework.

    Example: parity capture path/to/checkpoint --stack docs-4.37 --out runs/today
    """
    from parity import api
    from parity.capture.run_directory import run_directory
    from parity.report.progress import Progress

    options = replace(options, out=run_directory(options.out))
    with Progress() as progress:
        manifest = api.capture(checkpoints, options, progress=progress)
    answered = sum(trace.outcome == "captured" for trace in manifest.traces)
    where, quoted = printable(options.out, LONG), printable(shlex.quote(str(options.out)), LONG)
    print(f"{answered} of {len(manifest.traces)} traces captured: {where}\njudge them: parity judge {quoted}")
    for each in manifest.unreadable:
        print(f"parity: {printable(each.cause, 1000)}", file=sys.stderr)
    raise typer.Exit(NOTHING_TO_DO if manifest.unreadable else 0)


@app.command(epilog=EXIT_CODES)
@guarded
def judge(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run's directory, from audit or capture.")],
    context: typer.Context,
    check: Checks = None,
    keywords: Keywords = "",
    exit_first: ExitFirst = False,
    strict: Strict = False,
    known_issues: KnownIssues = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Judge captured traces again, without a framework.

    Writes report.json and report.html into the directory.

    Example: parity judge runs/today --check numbers
    """
    from parity import api
    from parity.report.terminal import show_report

    options = with_project(context, {"strict": strict, "known_issues": known_issues})
    report = api.judge(directory, checks=check, keywords=keywords, exit_first=exit_first, **options)
    show_report(report, directory / "report.json", verbose - quiet)
    raise typer.Exit(report.exit_code)


@app.command(epilog=DONE)
@guarded
def quantise(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A directory with a BART or mBART.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Write the rounded checkpoint here.")],
    scheme: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="int8, int8-per-channel, uint8, uint8-per-channel, int4-per-channel, float16 or bfloat16.",
        ),
    ] = "int8-per-channel",
    tables: Annotated[
        bool, typer.Option("--tables", help="Round embedding tables and the output projection too.")
    ] = False,
) -> None:
    """Write a checkpoint with rounded weights, against which a quantised engine can be audited.

    An audit of the result shows what the engine adds; parity compare CHECKPOINT DIR shows what rounding does by itself.

    Example: parity quantise model model-int8 --scheme int8-per-channel
    """
    from parity.tools.quantise import quantise as write

    found = write(checkpoint, directory, scheme, tables=tables)
    print(
        f"{found.matrices} matrices rounded to {scheme}; the largest change is {found.largest:.2g} of the largest "
        f"element, in {found.where}\nwritten {printable(found.directory, LONG)}"
    )


@app.command(epilog=DONE)
@guarded
def known_issues(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]…", help="Show only these entries, in full.", autocompletion=completion.known_issues
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            metavar="NAME,…",
            callback=split_commas,
            autocompletion=completion.backends,
            help="List only those of these backends.",
        ),
    ] = None,
    severity: Annotated[
        list[str] | None,
        typer.Option(metavar="critical|high|low,…", callback=split_commas, help="List only those of these severities."),
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID|GROUP,…",
            callback=split_commas,
            autocompletion=completion.checks,
            help="List only those in which these checks fail.",
        ),
    ] = None,
) -> None:
    """List the known divergences of named library versions, or show some in full with cause and upstream line.

    Example: parity known-issues --backend hf-tf --severity critical
    """
    from parity.report.known_issues import show_known_issues

    show_known_issues(ids or [], backend or [], severity or [], check or [])


@app.command(
    epilog=f"Exit code 0: every mutant is caught and named as before. 1: it falls short, or nothing was asked. {ALWAYS}"
)
@guarded
def selftest(
    mutants: Annotated[
        list[str] | None, typer.Argument(metavar="[MUTANT|FAMILY]…", help="Run only these. (default: all)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead of the table.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the mutants and run none.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown too.")] = None,
    library: Annotated[
        str,
        typer.Option(
            metavar="BACKEND", help="Change the installed library's own source instead: hf-torch. (docs/selftest.md)"
        ),
    ] = "",
    count: Annotated[int, typer.Option(metavar="N", min=1, help="With --library: draw so many mutations.")] = 100,
    seed: Annotated[int, typer.Option(metavar="N", help="With --library: draw others.")] = 0,
    module: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,…", callback=split_commas, help="With --library: of these modules. (default: all)"),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --library: store results here, and go on from those that it has."),
    ] = None,
    shard: Annotated[
        str, typer.Option(metavar="K/N", help="With --library: run the K-th of N equal parts of what is drawn.")
    ] = "1/1",
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="With --library: also run the library's own tests, from a checkout of its repository.",
        ),
    ] = None,
    cache: Cache = None,
    jobs: Jobs = None,
) -> None:
    """Put faults into a model on purpose, and verify that the checks detect and locate each.

    Every mutant is one small change of a reference implementation, judged as any backend is, on bundled fixtures. With
    --library it is a change of one node of the installed library's source.

    Example: parity selftest cache

    Example: parity selftest --library hf-torch --count 50 --results mutations.jsonl
    """
    from parity.report.progress import Progress
    from parity.tools.selftest.render import show_mutants, show_selftest, write_table
    from parity.tools.selftest.selftest import selftest as run

    if listed:
        show_mutants()
        return
    for path in (out, results):
        if path is not None:
            check_writable(path)
    if library:
        raise typer.Exit(
            _library_selftest(
                library, mutants or [], count, seed, module, shard, against, results, out, as_json, cache, jobs
            )
        )
    with Progress() as progress:
        found = run(mutants, cache=cache, jobs=jobs, progress=progress)
    if out is not None:
        write_table(found, out)
    if as_json:
        print(found.model_dump_json(indent=1))
    else:
        show_selftest(found)
    raise typer.Exit(0 if found.passed else 1)


def _shard(text: str) -> tuple[int, int]:
    """K and N of ``K/N``.

    Raises:
        InputError: it is no such text.
    """
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise InputError(f"--shard: {text!r} is not K/N, as in 1/2")
    return int(number), int(of)


def _library_selftest(
    library: str,
    names: list[str],
    count: int,
    seed: int,
    modules: list[str] | None,
    shard: str,
    against: Path | None,
    results: Path | None,
    out: Path | None,
    as_json: bool,
    cache: Path | None,
    jobs: int | None,
) -> int:
    """The exit code: 1 where fewer of the mutations that change an answer are detected than ``ENOUGH``."""
    from parity.report.console import console
    from parity.tools.selftest.library import ENOUGH, mutate_library
    from parity.tools.selftest.mutation_results import LibraryScore
    from parity.tools.selftest.render_library import show_library, write_library

    def show_progress(so_far: LibraryScore) -> None:
        counts = f"{so_far.count('detected')} detected, {so_far.count('survived')} survived"
        console(stderr=True).print(f"{len(so_far.results)} mutations: {counts}", markup=False)

    found = mutate_library(
        library,
        count=count,
        seed=seed,
        names=names,
        modules=modules or (),
        shard=_shard(shard),
        against=against,
        out=results,
        cache=cache,
        jobs=jobs,
        on_results=show_progress,
    )
    if out is not None:
        command = f"parity selftest --library {library} --count {count} --seed {seed}"
        write_library(found, out, command + (" --against DIR" if against else ""))
    if as_json:
        print(found.model_dump_json(indent=1))
    else:
        show_library(found)
    return 0 if found.score >= ENOUGH else 1


@app.command(epilog=EXIT_CODES)
@guarded
def fuzz(
    minutes: Annotated[float, typer.Option(metavar="N", min=0.01, help="Search for so long.")] = 5.0,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            metavar="NAME[/VARIANT],…",
            callback=split_commas,
            autocompletion=completion.backends,
            help="Judge these backends. (default: hf-torch)",
        ),
    ] = None,
    architecture: Annotated[
        list[str] | None,
        typer.Option(
            "--family",
            metavar="NAME,…",
            callback=split_commas,
            help="Draw models of these architectures only: bart, bert2gpt2. (default: all)",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Draw other examples by another seed.")] = 0,
    known: Annotated[
        str,
        typer.Option(
            "--treat-as-failure",
            metavar="ID",
            autocompletion=completion.known_issues,
            help="Count this known issue as a failure, to get a small example of it.",
        ),
    ] = "",
    again: Annotated[
        Path | None, typer.Option("--replay", metavar="FILE", help="Judge a stored failure again, without a search.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write failures here. (default: runs/<UTC time>)")
    ] = None,
    cache: Cache = None,
) -> None:
    """Search for failures with random models, batches and settings.

    A failure is reduced to the smallest model and batch that still fails, and written with a standalone script that
    reproduces it. A reference or hf-flax uses XLA, which compiles for each new shape.

    Example: parity fuzz --minutes 10 --family bart --backend hf-torch/sdpa
    """
    from parity.capture.run_directory import run_directory
    from parity.tools.fuzz import command
    from parity.tools.fuzz.render import FuzzProgress, show_again, show_fuzz

    if again is not None:
        verdicts = command.again(again, backend, cache)
        show_again(verdicts)
        raise typer.Exit(command.exit_code(verdicts))
    out = run_directory(out)
    found = command.fuzz(
        out=out,
        seconds=60 * minutes,
        backends=backend,
        architectures=architecture,
        seed=seed,
        known=known,
        cache=cache,
        progress=FuzzProgress(),
    )
    show_fuzz(found, out)
    raise typer.Exit(1 if found.failures else 0 if found.cells else 2)


@app.command(
    epilog="Exit code 0: every example holds or is not compared. 1: one breaks, differs or a page cannot be read. "
    f"2: nothing could be run. {ALWAYS}"
)
@guarded
def doctest(
    pages: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PAGE]…", help="Run the examples of Markdown, reStructuredText, text or scripts."),
    ] = None,
    installed: Annotated[
        bool, typer.Option("--installed", help="Run those in the docstrings of each stack's transformers.")
    ] = False,
    stack: Annotated[
        list[str] | None,
        typer.Option(
            "--stack",
            metavar="NAME|PATH|NAME=PATH,…",
            callback=split_commas,
            autocompletion=completion.stacks,
            help="Run them in these stacks. (default: main)",
        ),
    ] = None,
    checkpoints: Annotated[
        str, typer.Option(metavar="stand-in|real", help="Use tiny stand-ins, or the checkpoints of your hub cache.")
    ] = "stand-in",
    network: Annotated[
        bool, typer.Option("--network", help="Fetch real checkpoints that are not in the cache.")
    ] = False,
    example: Annotated[
        list[str] | None,
        typer.Option(
            "--example",
            metavar="NAME,…",
            callback=split_commas,
            help="Run only these: BartModel.forward#1, or all of BartModel.",
        ),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="Stop an example that takes longer.")
    ] = 120.0,
    memory_limit: Annotated[
        float, typer.Option(metavar="GB", min=0.1, help="Stop an example that takes more with all it starts.")
    ] = 6.0,
    jobs: Jobs = None,
    out: Out = None,
) -> None:
    """Run the examples of documentation unmodified, and compare their output with what the page shows.

    This runs code from the documents you name, with your rights and without a sandbox. Each example runs in a
    subprocess with limits of time and memory, a scratch folder and an environment without your tokens. Processes that
    it leaves running are ended with it (daemons too, on Linux). Connections from Python are refused unless --network
    is given, and the Hugging Face libraries are set offline. Programs that an example starts, and native code, can
    still connect, and can read and write whatever you can. Use a container for pages that you do not trust.

    With stand-ins, values that depend on weights are not compared. Writes documented.json and documented.md.

    Example: parity doctest --installed --stack main --stack docs-4.37
    """
    from parity.capture.run_directory import run_directory
    from parity.tools.examples.render import DocsProgress, show_docs, write_docs
    from parity.tools.examples.run import docs as run
    from parity.tools.examples.run import exit_code

    out = run_directory(out)
    with DocsProgress() as progress:
        report = run(
            pages or [],
            installed=installed,
            stacks=stack or ["main"],
            checkpoints=cast("Mode", checkpoints),  # any other word is refused there, with a line that says so
            network=network,
            only=example or [],
            time_limit=time_limit,
            memory_limit=memory_limit,
            jobs=jobs,
            keep=out / "outcomes",
            progress=progress,
        )
    write_docs(report, out)
    show_docs(report)
    print(printable(out / "documented.json", LONG))
    if report.interrupted:
        again = f"the same command with --out {printable(shlex.quote(str(out)), LONG)} goes on from there"
        print(f"parity: interrupted; {again}", file=sys.stderr)
    raise typer.Exit(INTERRUPTED if report.interrupted else exit_code(report))


@app.command(epilog=f"Exit code 0: a backend can run in the stack main. 2: none can. {ALWAYS}")
@guarded
def doctor() -> None:
    """Show what can run on this machine, what cannot, why, and the command that fixes it.

    Example: parity doctor
    """
    from parity.tools.doctor import examine, show

    raise typer.Exit(show(examine()))


@app.command(epilog=DONE)
@guarded
def schema(
    documented: Annotated[
        bool, typer.Option("--documented", help="Print that of documented.json, which parity doctest writes.")
    ] = False,
) -> None:
    """Print the JSON Schema of report.json.

    Example: parity schema > report.schema.json
    """
    from parity.cli.schema import documented_schema_text, report_schema_text

    print(documented_schema_text() if documented else report_schema_text(), end="")


@cache_app.command("list", epilog=DONE)
@guarded
def cache_list(cache: Cache = None) -> None:
    """List the stored traces by backend and checkpoint, with their sizes.

    Example: parity cache list
    """
    from parity.tools.cache import show_cache

    show_cache(cache)


@cache_app.command("clean", epilog=DONE)
@guarded
def cache_clean(
    cache: Cache = None,
    older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Remove only traces not used for so long."),
    ] = None,
    down_to: Annotated[
        float | None,
        typer.Option("--max-size", metavar="GB", min=0, help="Remove the oldest until the cache has this size."),
    ] = None,
) -> None:
    """Remove stored traces and stand-ins of documented examples: all, or as the options say.

    Example: parity cache clean --older-than 30
    """
    from parity.tools.cache import clean_cache

    clean_cache(cache, older_than, down_to)


def _version(requested: bool) -> None:
    if requested:
        print(f"encdec-parity {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def run(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    try:
        app(arguments, prog_name="parity")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except UnicodeError as error:
        # What was typed, in bytes of no encoding, stands in typer's own words about it.
        say(one_line(error))
        return NOTHING_TO_DO
    return 0
