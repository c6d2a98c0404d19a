"""The Python API: what the command line does, for a program.

>>> from parity import audit
>>> report = audit(["fixtures/checkpoints/bart-odd"], backends=["hf-torch"])  # doctest: +SKIP
>>> report.totals.fail  # doctest: +SKIP
0
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.core.errors import OutputError
from parity.core.options import DEFAULTS, AuditOptions, with_main

if TYPE_CHECKING:
    from parity.capture.pipeline import Derive, MakeCases
    from parity.capture.task import Event
    from parity.checkpoint.inspection import Checkpoint
    from parity.core.records import Manifest, Report, Totals, Unreadable
    from parity.tools.compare.compare import Comparison
    from parity.tools.compare.selector import Side, Who
    from parity.tools.golden.store import Bundle


def audit(
    checkpoints: Sequence[str | Path],
    options: AuditOptions | None = None,
    *,
    progress: Callable[[Event], None] | None = None,
    **named: Any,
) -> Report:
    """Captures and judges, each checkpoint as soon as it is captured: ``capture`` then ``judge``, nothing more.

    >>> audit(["checkpoint"], backends=["hf-torch"], checks=["numbers"])  # doctest: +SKIP

    Args:
        checkpoints: directories or hub ids; naming a hub id is the permission to fetch it.
        options: how they are audited, by default as ``AuditOptions`` says.
        progress: called with each event of the capture, and of several checkpoints with ``judged`` for each one.
        named: fields of ``AuditOptions``, in place of those in ``options``.

    Returns:
        The report, also written to ``out/report.json`` and, for people, ``out/report.html``.

    Raises:
        TypeError: ``AuditOptions`` has no such field.
        GivenError, CheckpointError, CaptureError, StackError, InputsError, RecordError, TraceError: bad input, in one
            line that names the file and the cause.
        NothingToJudge: no such check.
        KnownIssuesError: the file of known issues cannot be used.
    """
    from parity.capture.run_directory import locked, new_run_directory
    from parity.core.records import Manifest
    from parity.judge.captured_run import CheckpointRun
    from parity.judge.judge import Judge

    options = replace(options or DEFAULTS, **named)
    _check_before_capture(options, checkpoints)
    out = options.out or new_run_directory()
    options = replace(options, out=out)
    with locked(out):
        if options.goldens:
            capture(checkpoints, options, progress=progress)
            return judge(out, checks=options.checks, strict=options.strict, known_issues=options.known_issues)
        judging = Judge(options.checks, strict=options.strict, known_issues=options.known_issues)

        def captured(manifest: Manifest) -> None:
            # As a judge reads it who comes later.
            manifest = Manifest.model_validate_json(manifest.model_dump_json())
            (checkpoint,) = manifest.checkpoints
            totals = judging.take(CheckpointRun(out, manifest, checkpoint))
            # Of several each is shown as soon as it is judged; of one the report says the same at once.
            if progress is not None and len(checkpoints) > 1:
                progress(_judged(checkpoint.name, totals))

        manifest = _capture(checkpoints, options, progress, captured)
        return _written(judging.report(manifest, while_captured=True), out)


def capture(
    checkpoints: Sequence[str | Path],
    options: AuditOptions | None = None,
    *,
    progress: Callable[[Event], None] | None = None,
    **named: Any,
) -> Manifest:
    """Asks every backend every case and keeps the answers; arguments as for ``audit``.

    With ``checks`` candidates are asked only what these read, and the run is judged by no others.

    Returns:
        The manifest, also written to ``out/manifest.json``, beside ``out/traces/``.
    """
    return _capture(checkpoints, replace(options or DEFAULTS, **named), progress)


def _capture(
    checkpoints: Sequence[str | Path],
    options: AuditOptions,
    progress: Callable[[Event], None] | None,
    captured: Callable[[Manifest], None] | None = None,
) -> Manifest:
    """What ``capture`` does; ``captured`` is given the manifest of each checkpoint alone when all of it is there."""
    from parity.capture.pipeline import capture as run
    from parity.cases.documented_values import documented_values
    from parity.judge.followup.cases import layers, stages
    from parity.judge.judge import select_checks
    from parity.judge.selection import narrowed

    if options.goldens:
        options = replace(options, checks=None)  # a golden answers all of its cases, or those of another run
    directories, unreadable = _found([str(text) for text in checkpoints], options.offline, options.cache)
    derive = (documented_values, *stages(options.save_limit), *((layers,) if options.layerwise else ()))
    capture_these = partial(
        run,
        directories,
        progress=progress,
        unreadable=unreadable,
        narrow=partial(narrowed, checks=select_checks(options.checks)) if options.checks else None,
        captured=captured,
    )
    if options.goldens:
        return _with_goldens(options, derive, capture_these)
    return capture_these(options, derive=derive)


def _found(texts: list[str], offline: bool, cache: Path | None) -> tuple[list[Path], list[Unreadable]]:
    """The directories that are there, and which of those named are not.

    Raises:
        CheckpointError: none is there.
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
    """A capture whose manifest holds the goldens too, as subjects that were asked before."""
    from parity.capture.run_directory import locked, new_run_directory
    from parity.core.records import write_record
    from parity.tools.golden.inject import find_bundles, joined, with_goldens
    from parity.tools.golden.store import GoldenError

    if options.device != "cpu" or options.dtypes != ("float32",):
        raise GoldenError("--golden: goldens are of float32 on the CPU, and judged beside nothing else")
    bundles: dict[str, list[Bundle]] = {}

    def inspected(found: Sequence[Checkpoint]) -> None:
        bundles.update(find_bundles({each.name: each.digest for each in found}, options.goldens))

    out = options.out or new_run_directory()
    with locked(out):
        manifest = capture_these(
            replace(options, out=out),
            derive=[with_goldens(each, bundles) for each in derive],
            others_judged=True,
            inspected=inspected,
        )
        manifest = joined(manifest, out, bundles)
        if options.backends is None:
            # The stored answers are what is judged.
            manifest = manifest.model_copy(update={"not_run": []})
        write_record(manifest, out / "manifest.json")
    return manifest


def judge(
    directory: Path,
    *,
    checks: Sequence[str] | None = None,
    strict: bool = False,
    known_issues: Path | None = None,
    progress: Callable[[Event], None] | None = None,
) -> Report:
    """Judges a captured run, wherever and whenever it was captured. Needs no framework.

    Args:
        directory: what ``capture`` wrote.
        checks, strict, known_issues: as in ``AuditOptions``.
        progress: called with ``judged`` for each checkpoint.

    Returns:
        The report, also written to ``directory/report.json`` and, for people, ``directory/report.html``.

    Raises:
        RecordError, TraceError: the directory holds no readable run.
        CaptureError: another run is at work in the directory.
        OutputError: the report cannot be written.
        NothingToJudge: no such check.
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
        report = run(directory, checks=checks, strict=strict, known_issues=known_issues, on_checkpoint=judged)
        return _written(report, directory)


def _judged(name: str, totals: Totals) -> Event:
    from parity.capture.task import Event

    counts = totals.model_dump(by_alias=True)
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count or status == "pass")
    return Event("judged", checkpoint=name, reason=said)


def _written(report: Report, directory: Path) -> Report:
    """The report, as ``report.json`` and as the page.

    Raises:
        OutputError: one of them cannot be written.
    """
    from parity.core.records import write_record
    from parity.report.html import write_page

    for path, write in ((directory / "report.json", write_record), (directory / "report.html", write_page)):
        try:
            write(report, path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    return report


def compare(
    one: str,
    other: str,
    *,
    cases: Sequence[str] = ("load", "forward"),
    cache: Path | None = None,
    jobs: int | None = None,
    offline: bool = False,
    progress: Callable[[Event], None] | None = None,
) -> Comparison:
    """Compares two sides tensor by tensor (``parity.tools.compare.compare``): run directories, or checkpoints,
    captured here.

    Args:
        one, other: ``WHAT[::BACKEND[/VARIANT][@STACK][:DTYPE][:DEVICE]]``; of a checkpoint ``hf-torch`` where nobody
            is named.
        cases: names, ``*`` for anything.

    Raises:
        CompareError: a side is not so spelled, or there is nothing in common.
        CheckpointError, CaptureError, StackError, RecordError, TraceError: a side cannot be had or read.
    """
    from parity.tools.compare.compare import compare as run

    asked = {"cache": cache, "jobs": jobs, "offline": offline, "progress": progress, "cases": _only(cases)}
    # Both are read before one is captured, which takes long.
    sides = [_named(text) for text in (one, other)]
    with tempfile.TemporaryDirectory(prefix="parity-compare-") as folder:
        first, second = (_side(*side, Path(folder, str(number)), asked) for number, side in enumerate(sides))
        return run(first, second, cases)


def _named(text: str) -> tuple[str, str, Who | None]:
    """A side as it is spelled, what it is, and who of it is asked."""
    from parity.core.backends import find_entry
    from parity.tools.compare.selector import CompareError, Who

    what, named, words = text.partition("::")
    who = Who.parse(words) if named else None
    if who is not None:
        AuditOptions(device=who.device, dtypes=[who.dtype])  # says so where there is no such device or dtype
        if not (Path(what) / "manifest.json").is_file():
            try:
                find_entry(who.backend)
            except KeyError as error:
                raise CompareError(f"{text}: {error.args[0]}") from error
    return text, what, who


def _side(text: str, what: str, who: Who | None, folder: Path, asked: dict[str, Any]) -> Side:
    """One side of a comparison; a checkpoint is captured into ``folder``."""
    from parity.core.backends import library_backends
    from parity.tools.compare.selector import CompareError, Side, Who

    path = Path(what)
    if path.is_dir() and not any((path / name).is_file() for name in ("manifest.json", "report.json", "config.json")):
        raise CompareError(
            f"{what}: neither a run, which has a manifest.json, nor a checkpoint, which has a config.json"
        )
    if (path / "manifest.json").is_file():
        return Side(text, path, who)
    if path.is_file() or (path / "report.json").is_file():
        raise CompareError(f"{what}: no run's directory with its manifest: tensors are compared by their traces")
    who = who or Who(library_backends()[0])
    capture(
        [what],
        out=folder,
        backends=[f"{who.backend}/{who.variant}"],
        dtypes=[who.dtype],
        device=who.device,
        stacks=with_main([who.stack]),
        **asked,
    )
    return Side(text, folder, who)


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


def _check_before_capture(options: AuditOptions, checkpoints: Sequence[str | Path]) -> None:
    """Of what only the judge reads, what is wrong is said before a long capture, not after.

    Raises:
        NothingToJudge: a name is neither a check's id nor a group.
        KnownIssuesError: the file of known issues cannot be used.
    """
    from parity.judge.judge import select_checks
    from parity.judge.user_known_issues import read_known_issues

    select_checks(options.checks)
    if options.known_issues is not None:
        given = (Path(each).expanduser() for each in checkpoints)
        read_known_issues(options.known_issues, [each for each in given if each.is_dir()])


def audit_goldens(
    cache: Path | None = None, jobs: int | None = None, progress: Callable[[Event], None] | None = None
) -> Report:
    """Judges every golden against the oracle of today, in a run that is not kept; only ``main`` is asked anything.

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
            # A run needs a candidate, or the oracle computes nothing; the noise floor has this trace already.
            backends=[f"{TORCH}/eager"],
            goldens=STACKS,
            cases=golden_cases,
            jobs=jobs,
            progress=progress,
        )
