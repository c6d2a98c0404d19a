"""The Python API: what the command line does, for a program.

>>> from parity import audit
>>> report = audit(["fixtures/checkpoints/bart-odd"], backends=["hf-torch"])  # doctest: +SKIP
>>> report.totals.fail  # doctest: +SKIP
0
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.core.defaults import SAVE_LIMIT
from parity.core.errors import GivenError, OutputError

if TYPE_CHECKING:
    from parity.capture.pipeline import MakeCases
    from parity.capture.task import Event
    from parity.cases.inputs import Row
    from parity.core.records import Manifest, Report, Totals, Unreadable
    from parity.tools.compare.compare import Comparison
    from parity.tools.compare.selector import Side, Who

RUNS = Path("runs")
"""Where runs are kept when no directory is named, below the working directory."""


def audit(
    checkpoints: Sequence[str | Path],
    *,
    out: Path | None = None,
    cache: Path | None = None,
    backends: Sequence[str] | None = None,
    checks: Sequence[str] | None = None,
    stacks: Sequence[str] = ("main",),
    goldens: Sequence[str] = (),
    cases: MakeCases | None = None,
    device: str = "cpu",
    dtypes: Sequence[str] = ("float32",),
    inputs: Path | None = None,
    model_class: str | None = None,
    time_limit: float = 600.0,
    jobs: int | None = None,
    strict: bool = False,
    known_issues: Path | None = None,
    offline: bool = False,
    each_layer: bool = False,
    save_limit: float = SAVE_LIMIT,
    progress: Callable[[Event], None] | None = None,
) -> Report:
    """Captures and judges: ``capture`` then ``judge``, nothing more.

    Args:
        checkpoints: directories or hub ids; naming a hub id is the permission to fetch it.
        out: the run's directory; by default a new one under ``runs/``.
        cache: where traces are kept between runs; by default the user's cache directory.
        backends: names, or ``name/variant``; by default every one the stacks offer.
        checks: ids or families; by default every check.
        stacks: names of the table, paths to interpreters, or ``NAME=PATH``.
        goldens: stacks whose kept answers are judged too (``parity.tools.golden``), installed or not.
        cases: makes the cases, instead of the standard ones (``parity.capture.pipeline.capture``).
        device: ``cpu`` or ``cuda``.
        dtypes: among ``float64 float32 bfloat16 float16``.
        inputs: a JSON Lines file (``parity.cases.inputs``); by default a synthetic batch made for the checkpoint.
        model_class: the documented class to load the checkpoints as, by its PyTorch name; by default the one that each
            was saved by.
        time_limit: seconds one case may take in one backend.
        jobs: processes side by side; by default as many as cores and memory allow.
        strict: known divergences count as fail where they are critical, or carried over to a version nobody measured.
        known_issues: a file of your own expected failures (``parity.judge.user_known_issues``).
        offline: refuse to fetch anything.
        each_layer: also ask every layer alone, given the oracle's own states (LAYER01).
        save_limit: GB that all saved copies of one checkpoint may take together; above, saving is skipped.
        progress: called with each event of the capture, and of several checkpoints with ``judged`` for each one.

    Returns:
        The report, also written to ``out/report.json`` and, for people, ``out/report.html``.

    Raises:
        CheckpointError, CaptureError, StackError, InputsError, RecordError, TraceError: bad input, in one line that
            names the file and the cause.
        NothingToJudge: no such check.
        KnownIssuesError: the file of known issues cannot be used.
    """
    from parity.capture.run_directory import locked

    check_names(checks)
    _check_known_issues(known_issues, checkpoints)
    out = out or new_run_directory()
    with locked(out):
        capture(
            checkpoints,
            out=out,
            cache=cache,
            backends=backends,
            stacks=stacks,
            goldens=goldens,
            cases=cases,
            device=device,
            dtypes=dtypes,
            inputs=inputs,
            model_class=model_class,
            time_limit=time_limit,
            jobs=jobs,
            offline=offline,
            each_layer=each_layer,
            save_limit=save_limit,
            progress=progress,
            checks=checks,
        )
        # Of several each is shown as soon as it is judged; of one the report says the same at once.
        shown = progress if len(checkpoints) > 1 else None
        return judge(out, checks=checks, strict=strict, known_issues=known_issues, progress=shown)


def capture(
    checkpoints: Sequence[str | Path],
    *,
    out: Path | None = None,
    cache: Path | None = None,
    backends: Sequence[str] | None = None,
    stacks: Sequence[str] = ("main",),
    goldens: Sequence[str] = (),
    cases: MakeCases | None = None,
    device: str = "cpu",
    dtypes: Sequence[str] = ("float32",),
    inputs: Path | None = None,
    model_class: str | None = None,
    time_limit: float = 600.0,
    jobs: int | None = None,
    offline: bool = False,
    each_layer: bool = False,
    save_limit: float = SAVE_LIMIT,
    progress: Callable[[Event], None] | None = None,
    checks: Sequence[str] | None = None,
) -> Manifest:
    """Asks every backend every case and keeps the answers; arguments as for ``audit``.

    With ``checks`` candidates are asked only what these read, and the run is judged by no others.

    Returns:
        The manifest, also written to ``out/manifest.json``, beside ``out/traces/``.
    """
    from parity.capture.pipeline import capture as run
    from parity.capture.run_directory import locked
    from parity.cases.documented_values import documented_values
    from parity.judge.followup.cases import layers, stages
    from parity.judge.judge import select_checks
    from parity.judge.selection import narrowed

    check_settings(device, dtypes)
    directories, unreadable = _found([str(text) for text in checkpoints], offline, cache)
    rows = _rows(inputs, directories, model_class) if inputs else None
    if goldens:
        checks = None  # a golden answers all of its cases, or those of another run
    out = out or new_run_directory()
    asked: dict[str, Any] = {
        "cache": cache,
        "backends": backends,
        "stacks": tuple(stacks),
        "device": device,
        "dtypes": tuple(dtypes),
        "rows": rows,
        "model_class": model_class,
        "cases": cases,
        "time_limit": time_limit,
        "jobs": jobs,
        "progress": progress,
        "unreadable": unreadable,
        "options": _given(
            inputs=inputs,
            model_class=model_class,
            time_limit=time_limit,
            each_layer=each_layer,
            save_limit=save_limit,
            checks=sorted(checks or ()),
        ),
        "narrow": partial(narrowed, checks=select_checks(checks)) if checks else None,
    }
    derive = (documented_values, *stages(save_limit), *((layers,) if each_layer else ()))
    with locked(out):
        if not goldens:
            return run(directories, out=out, derive=derive, **asked)
        return _with_goldens(directories, goldens, out, derive, {**asked, "others_judged": True})


def _given(**options: Any) -> dict[str, Any]:
    """Of a run's options those that are not the default, as JSON can hold them (``Manifest.options``)."""
    defaults = {
        "inputs": None,
        "model_class": None,
        "time_limit": 600.0,
        "each_layer": False,
        "save_limit": SAVE_LIMIT,
        "checks": [],
    }
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in options.items()
        if value != defaults[name]
    }


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


def _with_goldens(
    directories: list[Path], stacks: Sequence[str], out: Path, derive: Sequence[Any], asked: dict[str, Any]
) -> Manifest:
    """A capture whose manifest holds the goldens too, as subjects that were asked before."""
    from parity.capture.pipeline import capture as run
    from parity.core.records import write_record
    from parity.tools.golden.inject import find_bundles, joined, with_goldens
    from parity.tools.golden.store import GoldenError

    if asked["device"] != "cpu" or asked["dtypes"] != ("float32",):
        raise GoldenError("--golden: goldens are of float32 on the CPU, and judged beside nothing else")
    found = [each for _, each in _readable(directories, asked["model_class"])]
    bundles = find_bundles({each.name: each.digest for each in found}, stacks)
    manifest = run(directories, out=out, derive=[with_goldens(each, bundles) for each in derive], **asked)
    manifest = joined(manifest, out, bundles)
    if asked["backends"] is None:
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
    """Judges a captured run, wherever and whenever it was captured. Needs no framework; arguments as for ``audit``.

    Returns:
        The report, also written to ``directory/report.json`` and, for people, ``directory/report.html``.

    Raises:
        RecordError, TraceError: the directory holds no readable run.
        CaptureError: another run is at work in the directory.
        OutputError: the report cannot be written.
        NothingToJudge: no such check.
    """
    from parity.capture.run_directory import locked
    from parity.capture.task import Event
    from parity.core.records import RecordError, write_record
    from parity.judge.judge import judge as run
    from parity.report.html import write_page

    if directory.is_file():
        raise RecordError(f"{directory}: a file: what is judged is a run's directory, with its manifest and its traces")

    def judged(name: str, totals: Totals) -> None:
        if progress is not None:
            counts = totals.model_dump(by_alias=True)
            said = ", ".join(f"{count} {status}" for status, count in counts.items() if count or status == "pass")
            progress(Event("judged", checkpoint=name, reason=said))

    with locked(directory):
        report = run(directory, checks=checks, strict=strict, known_issues=known_issues, on_checkpoint=judged)
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
        made = [_side(*side, Path(folder, str(number)), asked) for number, side in enumerate(sides)]
        return run(*made, cases)


def _named(text: str) -> tuple[str, str, Who | None]:
    """A side as it is spelled, what it is, and who of it is asked."""
    from parity.core.backends import find_entry
    from parity.tools.compare.selector import CompareError, Who

    what, named, words = text.partition("::")
    who = Who.parse(words) if named else None
    if who is not None:
        check_settings(who.device, [who.dtype])
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
        stacks=tuple(dict.fromkeys(["main", who.stack])),
        **asked,
    )
    return Side(text, folder, who)


def _only(names: Sequence[str]) -> MakeCases:
    """The standard cases of these names, and the pass that sets the yardstick."""

    def make(anatomy: Any, rows: Any, generation: dict[str, Any]) -> list[Any]:
        from parity.cases.standard import standard_cases

        wanted = [*names, "forward"]
        return [
            case
            for case in standard_cases(anatomy, rows, generation)
            if any(fnmatchcase(case.name, pattern) for pattern in wanted)
        ]

    return make


def check_settings(device: str, dtypes: Sequence[str]) -> None:
    """Raises a GivenError where a device or a dtype is none that anybody can be asked in."""
    from parity.backends.capabilities import DEVICES, DTYPES

    for word, name, known in [("device", device, DEVICES), *(("dtype", dtype, DTYPES) for dtype in dtypes)]:
        if name not in known:
            raise GivenError(f"{name}: no such {word}; there are {', '.join(known)}")


def check_names(checks: Sequence[str] | None) -> None:
    """Raises NothingToJudge where a name is neither a check's id nor a family; before a long capture, not after."""
    from parity.judge.judge import select_checks

    select_checks(checks)


def _check_known_issues(path: Path | None, checkpoints: Sequence[str | Path]) -> None:
    """Raises KnownIssuesError where a file of known issues cannot be used; before a long capture, not after."""
    if path is not None:
        from parity.judge.user_known_issues import read_known_issues

        given = (Path(each).expanduser() for each in checkpoints)
        read_known_issues(Path(path), [each for each in given if each.is_dir()])


def new_run_directory() -> Path:
    """``runs/<UTC time>``, the first that does not exist yet; it is made when something is written."""
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    candidates = [RUNS / stamp, *(RUNS / f"{stamp}-{number}" for number in range(2, 100))]
    return next(path for path in candidates if not path.exists())


def exit_code(report: Report) -> int:
    """What the commands end with (``Report.exit_code``)."""
    return report.exit_code


def _rows(inputs: Path, directories: Sequence[Path], model_class: str | None) -> list[Row]:
    """One list of rows for all checkpoints, checked against each."""
    from parity.cases.inputs import InputsError, read_inputs

    found: list[tuple[Path, Any]] = []
    for directory, checkpoint in _readable(directories, model_class):
        found.append((directory, read_inputs(inputs, directory, checkpoint.anatomy)))
    for directory, rows in found[1:]:
        if rows != found[0][1]:
            raise InputsError(
                f"{inputs}: {found[0][0]} and {directory} encode its texts differently: audit one at a time"
            )
    return found[0][1]


def _readable(directories: Sequence[Path], model_class: str | None) -> list[tuple[Path, Any]]:
    """Those checkpoints that can be read; the capture records the others.

    Raises:
        CheckpointError: none can be read.
    """
    from parity.checkpoint.inspection import inspect_checkpoint
    from reference.errors import CheckpointError

    found, last = [], None
    for directory in directories:
        try:
            found.append((directory, inspect_checkpoint(directory, model_class)))
        except CheckpointError as error:
            last = error
    if not found and last is not None:
        raise last
    return found


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
