"""The command line. Each command is a few lines over ``parity.api``; what is heavy is imported when it is needed."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from parity.cli.exit_codes import ALWAYS, DONE, EXIT_CODES, INTERRUPTED, NOTHING_ASKED, guarded, one_line, say
from parity.cli.golden import golden_app
from parity.cli.init import EPILOG as INIT_EPILOG
from parity.cli.init import init
from parity.cli.options import Cache, Checkpoints, Checks, Jobs, KnownIssues, Out, Strict, audit_options
from parity.cli.project import with_project
from parity.cli.reports import reports_app
from parity.cli.stack import stack_app
from parity.core.display import printable
from parity.core.files import check_writable
from parity.core.options import AuditOptions
from parity.core.version import __version__

if TYPE_CHECKING:
    from parity.tools.examples.results import Mode

app = typer.Typer(
    name="parity",
    help="Do all implementations of an encoder-decoder checkpoint compute the same, and is it what the docs say?",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(help="The traces kept between runs.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")
app.add_typer(reports_app)
app.add_typer(golden_app, name="golden")
app.add_typer(stack_app, name="stack")
app.command(epilog=INIT_EPILOG)(init)

LONG = 4000
"""Characters of a path that is shown."""


@app.command(epilog=EXIT_CODES)
@guarded
@audit_options()
def audit(checkpoints: Checkpoints, options: AuditOptions) -> None:
    """Capture a checkpoint in every backend, judge it, show where they part.

    Writes report.html, report.json, manifest.json and the traces into the run's directory. Example:
    parity audit fixtures/checkpoints/bart-odd --backend hf-torch --check numbers
    """
    from parity import api
    from parity.capture.run_directory import run_directory
    from parity.report.progress import Progress
    from parity.report.terminal import show_report

    out = run_directory(options.out)
    with Progress() as progress:
        report = api.audit(checkpoints, replace(options, out=out), progress=progress)
    show_report(report, out / "report.json")
    raise typer.Exit(report.exit_code)


@app.command(epilog=EXIT_CODES)
@guarded
@audit_options(without=("checks", "strict", "known_issues"))
def capture(checkpoints: Checkpoints, options: AuditOptions) -> None:
    """Ask every backend and keep the answers; judge them later, or on another machine.

    The run's directory can be moved anywhere; parity judge DIR needs no framework.
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
    raise typer.Exit(NOTHING_ASKED if manifest.unreadable else 0)


@app.command(epilog=EXIT_CODES)
@guarded
def judge(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run's directory, from audit or capture.")],
    context: typer.Context,
    check: Checks = None,
    strict: Strict = False,
    known_issues: KnownIssues = None,
) -> None:
    """Judge captured traces again; needs no framework, only numpy.

    Writes report.json and report.html into the directory.
    """
    from parity import api
    from parity.report.terminal import show_report

    options = with_project(context, {"strict": strict, "known_issues": known_issues})
    report = api.judge(directory, checks=check, **options)
    show_report(report, directory / "report.json")
    raise typer.Exit(report.exit_code)


@app.command(epilog=DONE)
@guarded
def known_issues(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="Only these entries, in full.")] = None,
    backend: Annotated[
        list[str] | None, typer.Option("--backend", metavar="NAME", help="Only this backend's; repeat for more.")
    ] = None,
    severity: Annotated[
        list[str] | None, typer.Option(metavar="critical|high|low", help="Only so severe ones; repeat for more.")
    ] = None,
) -> None:
    """The known divergences of named library versions: as a table, or each in full with its cause and line."""
    from parity.report.known_issues import show_known_issues

    show_known_issues(ids or [], backend or [], severity or [])


@app.command(
    epilog=f"Exit code 0: every mutant is caught and named as before. 1: it falls short, or nothing was asked. {ALWAYS}"
)
@guarded
def selftest(
    mutants: Annotated[
        list[str] | None, typer.Argument(metavar="[MUTANT|FAMILY]…", help="Only these. (default: all)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead of the table.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Name every mutant and ask nothing.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown, too.")] = None,
    cache: Cache = None,
    jobs: Jobs = None,
) -> None:
    """Put faults into a model on purpose and see that the checks catch each, and where.

    Every mutant is one small change of our own reference, judged as any backend is, on fixtures that come along.
    """
    from parity.report.progress import Progress
    from parity.tools.selftest.render import show_mutants, show_selftest, write_table
    from parity.tools.selftest.selftest import selftest as run

    if listed:
        show_mutants()
        return
    if out is not None:
        check_writable(out)
    with Progress() as progress:
        found = run(mutants, cache=cache, jobs=jobs, progress=progress)
    if out is not None:
        write_table(found, out)
    if as_json:
        print(found.model_dump_json(indent=1))
    else:
        show_selftest(found)
    raise typer.Exit(0 if found.passed else 1)


@app.command(epilog=EXIT_CODES)
@guarded
def fuzz(
    minutes: Annotated[float, typer.Option(metavar="N", min=0.01, help="How long to search.")] = 5.0,
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", metavar="NAME[/VARIANT]", help="Who is judged; repeat for more. (default: hf-torch)"),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option("--family", metavar="NAME", help="Only this one, as bart or bert2gpt2; repeat. (default: all)"),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed draws other examples.")] = 0,
    known: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Count this entry of the list of known issues as a failure, to have it shown small."
        ),
    ] = "",
    again: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Judge a stored failure again, and search for nothing.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where failures are kept. (default: runs/<UTC time>)")
    ] = None,
    cache: Cache = None,
) -> None:
    """Draw random models, batches and settings, and judge the backends of this process on each.

    What fails is shrunk to the smallest model and batch that still does, and kept with a script that shows it without
    this project. Naming a reference or hf-flax brings XLA in, which compiles for each new shape. Example:
    parity fuzz --minutes 10 --family bart --backend hf-torch/sdpa
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
        families=family,
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
        typer.Argument(metavar="[PAGE]…", help="Markdown, reStructuredText, plain text or a script, in any language."),
    ] = None,
    installed: Annotated[
        bool, typer.Option("--installed", help="The docstrings of the documented classes in each stack's transformers.")
    ] = False,
    stack: Annotated[
        list[str] | None,
        typer.Option(
            "--stack", metavar="NAME|PATH|NAME=PATH", help="Run them in this stack; repeat for more. (default: main)"
        ),
    ] = None,
    checkpoints: Annotated[
        str, typer.Option(metavar="stand-in|real", help="Tiny stand-ins, or those of your own hub cache.")
    ] = "stand-in",
    network: Annotated[
        bool, typer.Option("--network", help="With real checkpoints: fetch what is not in the cache.")
    ] = False,
    example: Annotated[
        list[str] | None,
        typer.Option(
            "--example", metavar="NAME", help="Only these: BartModel.forward#1, or all of BartModel; repeat for more."
        ),
    ] = None,
    time_limit: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="For one example.")] = 120.0,
    memory_limit: Annotated[
        float, typer.Option(metavar="GB", min=0.1, help="For one example and all it starts.")
    ] = 6.0,
    jobs: Jobs = None,
    out: Out = None,
) -> None:
    """Run the examples of documentation, unmodified, and say which of its promises hold.

    This runs code from the documents you name, with your own rights and in no sandbox. Each example gets a process of
    its own with limits of time and memory, a scratch folder and an environment without your tokens; what it leaves
    running is ended with it (daemons too, on Linux). Python's own connections are refused unless --network is given,
    and the Hugging Face libraries are told to stay offline; programs that an example starts, and native code, can
    still connect, and anything you may read or write it may, too. For pages you do not trust, use a container.

    With stand-ins, what depends on weights is not compared. Writes documented.json and documented.md.

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
    """What can run on this machine, what cannot, why, and what to type."""
    from parity.tools.doctor import examine, show

    raise typer.Exit(show(examine()))


@app.command(epilog=DONE)
@guarded
def schema(
    documented: Annotated[
        bool, typer.Option("--documented", help="That of documented.json, which parity doctest writes.")
    ] = False,
) -> None:
    """Print the JSON Schema of report.json."""
    from parity.cli.schema import documented_schema_text, report_schema_text

    print(documented_schema_text() if documented else report_schema_text(), end="")


@cache_app.command("list", epilog=DONE)
@guarded
def cache_list(cache: Cache = None) -> None:
    """Show the traces kept: how many, how large, of what."""
    from parity.tools.cache import show_cache

    show_cache(cache)


@cache_app.command("clean", epilog=DONE)
@guarded
def cache_clean(
    cache: Cache = None,
    older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Only traces not used for so long."),
    ] = None,
    down_to: Annotated[
        float | None,
        typer.Option(metavar="GB", min=0, help="Only as many, oldest first, as bring the cache to this size."),
    ] = None,
) -> None:
    """Remove kept traces: all of them, and stand-ins for documented examples, or as the options say."""
    from parity.tools.cache import clean_cache

    clean_cache(cache, older_than, down_to)


def _version(asked: bool) -> None:
    if asked:
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
        return NOTHING_ASKED
    return 0
