"""The Python API: the functions that the command line and the pytest plugin call.

>>> from parity import audit
>>> report = audit(["fixtures/checkpoints/bart-odd"], backends=["hf-torch"])  # doctest: +SKIP
>>> report.totals.fail  # doctest: +SKIP
0

Bad input raises ``parity.InputError`` (``parity.core.errors``) with the line that the command prints.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from parity.core.display import MESSAGE_LIMIT, sentence
from parity.core.errors import InputError, OutputError
from parity.core.options import DEFAULTS, AuditOptions, with_main

if TYPE_CHECKING:
    from parity.capture.cache import TraceCache
    from parity.capture.pipeline import Derive, MakeCases
    from parity.capture.task import Event, Executor
    from parity.checkpoint.inspection import Checkpoint
    from parity.core.records import Manifest, Report, Totals, Unreadable
    from parity.tools.compare.compare import Comparison
    from parity.tools.compare.conversion import ConversionComparison
    from parity.tools.compare.selector import Operand, SubjectSelector
    from parity.tools.golden.store import Bundle

P = ParamSpec("P")
T = TypeVar("T")


def with_printable_errors(function: Callable[P, T]) -> Callable[P, T]:
    """Makes the message of an ``InputError`` the line that the command prints.

    A name or value of a checkpoint in it may hold control characters; they are escaped before anyone prints it.
    """

    @wraps(function)
    def wrapper(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return function(*arguments, **named)
        except InputError as error:
            error.args = (sentence(error, MESSAGE_LIMIT),)
            raise

    return wrapper


@with_printable_errors
def audit(
    checkpoints: Sequence[str | Path],
    options: AuditOptions | None = None,
    *,
    progress: Callable[[Event], None] | None = None,
    began: float | None = None,
    executor: Executor | None = None,
    store: TraceCache | None = None,
    **named: Any,
) -> Report:
    """Runs checkpoints in every backend and compares each answer with the oracle: ``capture``, then ``judge``.

    Each checkpoint is judged as soon as it is captured.

    >>> from parity import audit
    >>> report = audit(["path/to/checkpoint"], backends=["hf-torch"], checks=["numbers"])  # doctest: +SKIP
    >>> report  # doctest: +SKIP
    <Report checkpoint: 17 cells: 16 pass, 1 known>
    >>> report.failures  # doctest: +SKIP
    ()

    Args:
        checkpoints: directories or hub ids. A hub id that is not in the local cache is fetched, unless ``offline``.
        options: the options of the audit; the defaults are those of ``AuditOptions()``.
        progress: called with each event of the capture and, where there are several checkpoints, with ``judged`` for
            each.
        began: a time by ``time.monotonic`` from which the report's cost counts, such as the start of a command; by
            default the call.
        executor: runs the tasks (``parity.capture.task.Executor``); by default processes on this machine, as many as
            ``jobs`` and ``memory`` of the options allow.
        store: the cache of traces (``parity.capture.cache.TraceCache``); by default the one in ``cache`` of the
            options.
        named: fields of ``AuditOptions``; they replace those of ``options``.

    Returns:
        The report, also written to ``out/report.json`` and ``out/report.html``. A failure is part of it, and raises
        nothing.

    Raises:
        TypeError: ``AuditOptions`` has no such field.
        InputError: an argument, checkpoint, stack or file cannot be used. Its classes: ``CheckpointError`` (no
            checkpoint can be read), ``CaptureError`` (nothing can run, or the run directory is in use), ``StackError``
            (no such stack), ``InputsFileError`` (``inputs``), ``KnownIssuesError`` (``known_issues``),
            ``GoldenError`` (``goldens``), ``NothingToJudge`` (no such check), ``OutputError`` (the report cannot be
            written), ``RecordError`` and ``TraceError`` (a damaged run directory).
        OSError, MemoryError: raised by the operating system.
    """
    with _registered(replace(options or DEFAULTS, **named), checkpoints) as (checkpoints, options, unaccepted):
        how = {"start": began, "unaccepted": unaccepted, "executor": executor, "store": store}
        return audit_with(checkpoints, options, progress, **how)


def audit_with(
    checkpoints: Sequence[str | Path],
    options: AuditOptions,
    progress: Callable[[Event], None] | None,
    **how: Any,
) -> Report:
    """``audit`` with further keywords of ``parity.capture.pipeline.capture``: ``executor``, ``unaccepted``."""
    from parity.capture.run_directory import locked, run_directory
    from parity.capture.task import CaptureStopped
    from parity.core.records import Manifest
    from parity.judge.captured_run import CheckpointRun
    from parity.judge.judge import Judge

    options, selected = _check_before_capture(options, checkpoints)
    how |= {"selected": selected}
    out = run_directory(options.out)
    options = replace(options, out=out)
    with locked(out):
        if options.goldens:
            _capture(checkpoints, options, progress, **how)
            return judge(out, checks=options.checks, **_judged_by(options))
        judging = Judge(options.checks, **_judged_by(options))

        def captured(manifest: Manifest) -> None:
            # The same data that a later `judge` reads from the file.
            manifest = Manifest.model_validate_json(manifest.model_dump_json())
            (checkpoint,) = manifest.checkpoints
            totals = judging.take(CheckpointRun(out, manifest, checkpoint))
            # The totals of a single checkpoint are those of the report, which follows at once.
            if progress is not None and len(checkpoints) > 1:
                progress(_judged(checkpoint.name, totals))
            if judging.stopped:
                raise CaptureStopped

        manifest = _capture(checkpoints, options, progress, captured, **how)
        return _written(judging.report(manifest, while_captured=True), out)


@with_printable_errors
def capture(
    checkpoints: Sequence[str | Path],
    options: AuditOptions | None = None,
    *,
    progress: Callable[[Event], None] | None = None,
    **named: Any,
) -> Manifest:
    """Runs every case in every backend and stores the traces. Arguments and errors are those of ``audit``.

    With ``checks`` only the cases that these checks read are run, and the run can be judged by these checks alone.

    >>> from parity import api
    >>> manifest = api.capture(["path/to/checkpoint"], backends=["hf-torch"], out="run")  # doctest: +SKIP
    >>> report = api.judge(Path("run"))  # doctest: +SKIP

    Returns:
        The manifest, also written to ``out/manifest.json``; the traces are in ``out/traces/``.
    """
    with _registered(replace(options or DEFAULTS, **named), checkpoints) as (checkpoints, options, unaccepted):
        return _capture(checkpoints, options, progress, unaccepted=unaccepted)


@contextmanager
def _registered(
    options: AuditOptions, checkpoints: Sequence[str | Path]
) -> Iterator[tuple[Sequence[str | Path], AuditOptions, dict[str, str]]]:
    """The checkpoints, the options with a user's models, and the inputs that a model or an engine does not accept.

    Raises:
        InputError: a model, the converted files of an engine, or a quantisation cannot be used.
    """
    from parity.capture.engines import given_files, unaccepted_inputs

    with ExitStack() as stack:
        unaccepted: dict[str, str] = {}
        if options.models:
            options, unaccepted = stack.enter_context(_models_of(options, checkpoints))
        audited = checkpoints
        if options.quantised:
            from parity.tools.quantised_engine import quantised

            options, audited = stack.enter_context(quantised(options, checkpoints))
        if options.converted is not None:
            stack.enter_context(given_files(options, checkpoints))
        yield audited, options, unaccepted | unaccepted_inputs(options)


@contextmanager
def _models_of(
    options: AuditOptions, checkpoints: Sequence[str | Path]
) -> Iterator[tuple[AuditOptions, dict[str, str]]]:
    """Registers the models of a user's files.

    Raises:
        InputError: there is not exactly one checkpoint, or a model cannot be used.
    """
    from parity.capture.model_files import registered
    from parity.checkpoint.inspection import inspect_checkpoint, resolve_checkpoint

    if len(checkpoints) != 1:
        raise InputError(f"--model: a model is compared with one checkpoint, and there are {len(checkpoints)}")
    directory = resolve_checkpoint(str(checkpoints[0]), options.offline, options.cache)
    with registered(options, inspect_checkpoint(directory, options.model_class)) as found:
        yield found


def _capture(
    checkpoints: Sequence[str | Path],
    options: AuditOptions,
    progress: Callable[[Event], None] | None,
    captured: Callable[[Manifest], None] | None = None,
    **how: Any,
) -> Manifest:
    """Implements ``capture``; ``how`` has further arguments of ``parity.capture.pipeline.capture``."""
    from parity.capture.pipeline import capture as run
    from parity.cases.documented_values import documented_values
    from parity.judge.followup.cases import layers, stages
    from parity.judge.judge import select_checks
    from parity.judge.selection import narrowed

    if options.goldens:
        options = replace(options, checks=None)  # a golden holds answers to all of its cases
    directories, unreadable = _found([str(text) for text in checkpoints], options.offline, options.cache)
    derive = (documented_values, *stages(options.save_limit), *((layers,) if options.layerwise else ()))
    capture_these = partial(
        run,
        directories,
        progress=progress,
        unreadable=unreadable,
        narrow=partial(narrowed, checks=select_checks(options.checks)) if options.checks else None,
        captured=captured,
        **how,
    )
    if options.goldens:
        return _with_goldens(options, derive, capture_these)
    return capture_these(options, derive=derive)


def _found(texts: list[str], offline: bool, cache: Path | None) -> tuple[list[Path], list[Unreadable]]:
    """The directories of the checkpoints, and the checkpoints that cannot be found.

    Raises:
        CheckpointError: none can be found.
    """
    from parity.capture.pipeline import NothingReadable
    from parity.checkpoint.inspection import resolve_checkpoint
    from parity.core.records import Unreadable
    from reference.errors import CheckpointError

    found, unreadable, last = [], [], None
    for text in texts:
        try:
            found.append(resolve_checkpoint(text, offline, cache))
        except CheckpointError as error:
            unreadable.append(Unreadable(name=text, cause=str(error)))
            last = error
    if not found and last is not None:
        raise last if len(unreadable) == 1 else NothingReadable(unreadable)
    return found, unreadable


def _with_goldens(options: AuditOptions, derive: Sequence[Derive], capture_these: Callable[..., Manifest]) -> Manifest:
    """A capture whose manifest also holds the goldens, as subjects whose traces exist already."""
    from parity.capture.run_directory import locked, run_directory
    from parity.core.records import write_record
    from parity.tools.golden.inject import find_bundles, joined, with_goldens
    from parity.tools.golden.store import GoldenError

    if options.device != "cpu" or options.dtypes != ("float32",):
        raise GoldenError("--golden: goldens are of float32 on the CPU, and judged beside nothing else")
    bundles: dict[str, list[Bundle]] = {}

    def inspected(found: Sequence[Checkpoint]) -> None:
        bundles.update(find_bundles({each.name: each.digest for each in found}, options.goldens))

    out = run_directory(options.out)
    with locked(out):
        manifest = capture_these(
            replace(options, out=out),
            derive=[with_goldens(each, bundles) for each in derive],
            others_judged=True,
            inspected=inspected,
        )
        manifest = joined(manifest, out, bundles)
        if options.backends is None:
            # The goldens are what is judged: backends that cannot run here are not missing.
            manifest = manifest.model_copy(update={"not_run": []})
        write_record(manifest, out / "manifest.json")
    return manifest


@with_printable_errors
def judge(
    directory: Path,
    *,
    checks: Sequence[str] | None = None,
    strict: bool = False,
    known_issues: Path | None = None,
    keywords: str = "",
    exit_first: bool = False,
    progress: Callable[[Event], None] | None = None,
) -> Report:
    """Compares the traces of a run directory with the oracle's. Needs no framework, and not the machine of the capture.

    >>> from parity import api
    >>> report = api.judge(Path("runs/20260101-120000"), checks=["numbers"])  # doctest: +SKIP

    Args:
        directory: a run directory, as ``capture`` and ``audit`` write it.
        checks, strict, known_issues, keywords, exit_first: as in ``AuditOptions``.
        progress: called with ``judged`` for each checkpoint.

    Returns:
        The report, also written to ``directory/report.json`` and ``directory/report.html``.

    Raises:
        InputError: ``RecordError`` or ``TraceError`` (the directory holds no readable run), ``CaptureError`` (another
            process writes to it), ``NothingToJudge`` (no such check), ``KnownIssuesError``, ``OutputError``.
    """
    from parity.capture.run_directory import locked
    from parity.core.records import RecordError
    from parity.judge.judge import judge as run

    if directory.is_file():
        raise RecordError(f"{directory}: a file: what is judged is a run's directory, with its manifest and its traces")

    def judged(name: str, totals: Totals) -> None:
        if progress is not None:
            progress(_judged(name, totals))

    with locked(directory):
        report = run(
            directory,
            checks=checks,
            strict=strict,
            known_issues=known_issues,
            keywords=keywords,
            exit_first=exit_first,
            on_checkpoint=judged,
        )
        return _written(report, directory)


def _judged_by(options: AuditOptions) -> dict[str, Any]:
    """The options that only the judge reads, besides the checks."""
    return {name: getattr(options, name) for name in ("strict", "known_issues", "keywords", "exit_first")}


def _judged(name: str, totals: Totals) -> Event:
    from parity.capture.task import Event

    counts = totals.model_dump(by_alias=True)
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count or status == "pass")
    return Event("judged", checkpoint=name, reason=said)


def _written(report: Report, directory: Path) -> Report:
    """Writes the report as ``report.json`` and ``report.html``.

    Raises:
        OutputError: one of them cannot be written.
    """
    from parity.core.records import in_directory, write_record
    from parity.report.html import write_page

    for path, write in ((directory / "report.json", write_record), (directory / "report.html", write_page)):
        try:
            write(report, path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    return in_directory(report, directory)


@with_printable_errors
def read_report(path: str | Path) -> Report:
    """Reads the report of an earlier run.

    >>> from parity import read_report
    >>> report = read_report("runs/20260101-120000")  # doctest: +SKIP

    Args:
        path: a run directory or its ``report.json``.

    Raises:
        RecordError: there is no report, or it has another schema version.
    """
    from parity.core.records import Report, read_record, report_file

    return read_record(Report, report_file(Path(path)))


@with_printable_errors
def compare(
    one: str | Path,
    other: str | Path,
    *,
    cases: Sequence[str] = ("load", "forward"),
    cache: Path | None = None,
    jobs: int | None = None,
    offline: bool = False,
    progress: Callable[[Event], None] | None = None,
) -> Comparison | ConversionComparison:
    """Compares two runs or checkpoints tensor by tensor. A checkpoint is captured first, into a temporary directory.

    >>> from parity import compare
    >>> found = compare("path/to/checkpoint::hf-torch", "path/to/checkpoint::hf-torch/sdpa")  # doctest: +SKIP
    >>> found.same  # doctest: +SKIP
    True
    >>> [each.first for each in found.cases]  # doctest: +SKIP
    [None, None]

    Args:
        one, other: ``WHAT[::BACKEND[/VARIANT][@STACK][:DTYPE][:DEVICE]]``, where ``WHAT`` is a run directory or a
            checkpoint. The backend of a checkpoint is ``hf-torch`` by default, those of a run are all. Or a model file
            of fairseq (``model.pt``) and the checkpoint that it was converted to: then parameters, settings and
            dictionary are compared, and no model is run.
        cases: names of cases; ``*`` matches anything.

    Raises:
        InputError: ``CompareError`` (a side is misspelled, or the two share no checkpoint or case), and what
            ``audit`` raises about a checkpoint, stack or run directory.
    """
    from parity.tools.compare.compare import compare as run
    from parity.tools.compare.conversion import compare_conversion, is_fairseq_file

    files = [is_fairseq_file(Path(text)) for text in (one, other)]
    if any(files):
        model, directory = (one, other) if files[0] else (other, one)
        return compare_conversion(Path(model), Path(directory))
    options = {"cache": cache, "jobs": jobs, "offline": offline, "progress": progress, "cases": _only(cases)}
    # Both are checked before either is captured, which takes long.
    sides = [_named(str(text)) for text in (one, other)]
    with tempfile.TemporaryDirectory(prefix="parity-compare-") as folder:
        first, second = (_side(*side, Path(folder, str(number)), options) for number, side in enumerate(sides))
        return run(first, second, cases)


def _named(text: str) -> tuple[str, str, SubjectSelector | None]:
    """A side as it was written, its run or checkpoint, and its subject; None for every subject."""
    from parity.core.backends import find_entry
    from parity.tools.compare.selector import CompareError, SubjectSelector

    what, named, words = text.partition("::")
    who = SubjectSelector.parse(words) if named else None
    if who is not None:
        AuditOptions(device=who.device, dtypes=[who.dtype])  # raises for an unknown device or dtype
        if not (Path(what) / "manifest.json").is_file():
            try:
                find_entry(who.backend)
            except KeyError as error:
                raise CompareError(f"{text}: {error.args[0]}") from error
    return text, what, who


def _side(text: str, what: str, who: SubjectSelector | None, folder: Path, options: dict[str, Any]) -> Operand:
    """One side of a comparison. A checkpoint is captured into ``folder``."""
    from parity.core.backends import library_backends
    from parity.tools.compare.selector import CompareError, Operand, SubjectSelector

    path = Path(what)
    if path.is_dir() and not any((path / name).is_file() for name in ("manifest.json", "report.json", "config.json")):
        raise CompareError(
            f"{what}: neither a run, which has a manifest.json, nor a checkpoint, which has a config.json"
        )
    if (path / "manifest.json").is_file():
        return Operand(text, path, who)
    if path.is_file() or (path / "report.json").is_file():
        raise CompareError(f"{what}: no run's directory with its manifest: tensors are compared by their traces")
    who = who or SubjectSelector(library_backends()[0])
    capture(
        [what],
        out=folder,
        backends=[f"{who.backend}/{who.variant}"],
        dtypes=[who.dtype],
        device=who.device,
        stacks=with_main([who.stack]),
        **options,
    )
    return Operand(text, folder, who)


def _only(names: Sequence[str]) -> MakeCases:
    """The standard cases of these names, and the pass that sets the noise floor."""

    def make(model_spec: Any, rows: Any, generation: dict[str, Any]) -> list[Any]:
        from parity.cases.standard import standard_cases

        wanted = [*names, "forward"]
        return [
            case
            for case in standard_cases(model_spec, rows, generation)
            if any(fnmatchcase(case.name, pattern) for pattern in wanted)
        ]

    return make


def _check_before_capture(
    options: AuditOptions, checkpoints: Sequence[str | Path]
) -> tuple[AuditOptions, list[str] | None]:
    """Validates the options that only the judge reads before the capture, which takes long.

    Returns:
        The options, narrowed to the checks and the requested backends that ``keywords`` may select; and where no
        backend is requested, the backends that it may select, None for all.

    Raises:
        InputError: no such class.
        KeywordError: ``keywords`` is no expression, or matches nothing.
        NothingToJudge: a name is neither the id of a check nor a check group.
        KnownIssuesError: the file of known issues cannot be used.
    """
    from parity.core.backends import audited
    from parity.core.model_spec import HEADS
    from parity.core.nearest import unknown
    from parity.judge.checks import CHECKS
    from parity.judge.judge import select_checks
    from parity.judge.keywords import Keywords
    from parity.judge.user_known_issues import read_known_issues

    checks = select_checks(options.checks)
    if options.model_class is not None and options.model_class not in HEADS:
        raise InputError(unknown("no class that is judged here is called", options.model_class, HEADS))
    if options.known_issues is not None:
        given = (Path(each).expanduser() for each in checkpoints)
        read_known_issues(options.known_issues, [each for each in given if each.is_dir()])
    if not options.keywords:
        return options, None
    everyone = options.backends or audited()
    ids, backends = Keywords(options.keywords).narrow(checks, everyone, [*options.stacks, *options.goldens])
    options = replace(options, checks=ids if len(ids) < len(CHECKS) else options.checks)
    if options.backends is not None:
        return replace(options, backends=backends), None
    return options, backends if len(backends) < len(everyone) else None


def audit_goldens(
    cache: Path | None = None, jobs: int | None = None, progress: Callable[[Event], None] | None = None
) -> Report:
    """Judges every golden against the current oracle, in a temporary run directory; only the stack ``main`` runs.

    Raises:
        GoldenError: a golden cannot be read.
    """
    from parity.core.resources import fixtures
    from parity.core.subject import TORCH
    from parity.tools.golden.selection import STACKS, golden_cases

    with tempfile.TemporaryDirectory(prefix="parity-golden-") as folder:
        return audit(
            fixtures(),
            out=Path(folder),
            cache=cache,
            # A run needs a candidate; this one's traces are part of the noise floor, so that it costs nothing.
            backends=[f"{TORCH}/eager"],
            goldens=STACKS,
            cases=golden_cases,
            jobs=jobs,
            progress=progress,
        )
