"""What a run writes down: ``manifest.json`` (what was captured) and ``report.json`` (what was judged)."""

from __future__ import annotations

import errno
import json
import math
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_core import PydanticSerializationError

from parity.core.display import printable
from parity.core.errors import InputError
from parity.core.subject import Role
from reference.errors import CheckpointError, brief
from reference.files import read_bytes

if TYPE_CHECKING:
    import pandas

    from parity.core.failure import Failure

SCHEMA_VERSION = 2
LARGEST = 1024
"""Megabytes of a manifest, report or baseline."""
Status = Literal["pass", "fail", "known", "skip", "error"]
Outcome = Literal["captured", "crash", "time-out", "out-of-memory", "harness-error", "changed"]
"""``changed``: a file of the checkpoint was not, or not all the time, what was digested, and no answer was kept."""


class RecordError(InputError):
    """A manifest or report cannot be read; the message names the file and the cause."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


R = TypeVar("R", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)


class Notice(_Record):
    """A cause in the words of whoever has the checkpoint, said once, before anything about its tensors."""

    id: str
    """What kind it is: ``common-prefix``, ``git-lfs-pointer`` …"""
    cause: str
    advice: str
    """What to do about it."""


class Unreadable(_Record):
    """A checkpoint that was named and could not be audited, beside others that were."""

    name: str
    """As it was named."""
    cause: str
    """One line that names the file and the cause."""


class WeightFacts(_Record):
    """What the headers of one format's weight file say, or those of all of its shards."""

    format: str
    """``safetensors``, ``bin``, ``h5`` or ``msgpack``."""
    framework: str
    """``pt``, ``tf`` or ``flax``: whose names stand in it."""
    shards: int = 1
    dtypes: list[str] = Field(default_factory=list)
    holds: list[str] = Field(default_factory=list)
    """Of the canonical names of the documented class, the other names of a tied table among them, those it holds …"""
    lacks: list[str] = Field(default_factory=list)
    """… and those it does not."""


class FileFacts(_Record):
    """What the files of a checkpoint hold, as far as the conditions of a known issue can name it."""

    files: list[str] = Field(default_factory=list)
    """Names of the files that were digested."""
    weights: list[WeightFacts] = Field(default_factory=list)
    """One for each format that is there and can be read, in the order in which our own readers prefer them."""
    config_fields: list[str] = Field(default_factory=list)
    """What ``config.json`` itself names, ``encoder.hidden_size`` in a half."""
    generation: dict[str, Any] = Field(default_factory=dict)
    """The settings of generation in force without arguments."""
    dtype: str | None = None
    """What ``config.json`` states (``dtype`` or ``torch_dtype``), or else what the first format's floats are stored in;
    None where these are of several."""


class CheckpointRecord(_Record):
    """One checkpoint of a run."""

    name: str
    """Short and unique in the run: the directory's last part."""
    path: str
    digest: str
    """sha256 over the names and bytes of its files."""
    config: dict[str, Any]
    """``config.json`` with the documented defaults filled in."""
    documented_class: str
    """What it is loaded as, by its PyTorch name."""
    unused_files: list[str] = Field(default_factory=list)
    """What else lies in its directory: no backend is given it. A folder's name ends with a slash."""
    notices: list[Notice] = Field(default_factory=list)
    """What is the matter with it in a user's words (``parity.checkpoint.diagnosis``), to be read before any tensor."""
    file_facts: FileFacts | None = None
    """None: nothing is known of its files, and no known issue that names them holds."""


class SubjectRecord(_Record):
    """One subject of a run (``parity.core.subject.Subject``) and what it can be asked."""

    backend: str
    variant: str
    stack: str
    device: str
    dtype: str
    role: Role
    label: str
    model_class: str
    """The class of the library; of an absent one, the name it would have."""
    documented_class: str
    """The same by its PyTorch name: only checkpoints of this class are put to it …"""
    families: list[str] = Field(default_factory=list)
    """… and of these halves, where the class is a composition: model types of the encoder and the decoder."""
    about: str = "model"
    """What it loads of a checkpoint: its ``model``, ``config`` or ``tokenizer``."""
    capabilities: list[str]
    """What it can be asked (``parity.backends.capabilities``); a cell that needs another is skipped, by name."""
    lacking: dict[str, str] = Field(default_factory=dict)
    """Why each capability it lacks is missing."""
    environment: str
    """Key into the manifest's ``environments``."""
    class_prefix: str | None = None
    """Of a class of transformers what its name begins with, ``TF`` or ``Flax`` or nothing; None of any other."""
    reference: bool = False
    """Whether it is one of our own implementations, which share an author with the oracle."""
    room_ahead: bool = False
    """Whether its cache has room for all tokens to come, instead of growing by those that are fed."""
    kept: list[str] = Field(default_factory=list)
    """Of a golden, the cases that there are traces of, beside which it is asked nothing; empty: it was asked here."""

    @property
    def can_run(self) -> bool:
        """Whether anything at all can be computed by it: a model in its dtype on its device."""
        needed = {self.dtype, self.device} if self.about == "model" else set()
        return bool(self.capabilities) and needed <= set(self.capabilities)


class TraceRecord(_Record):
    """One case asked of one subject. ``path`` is relative to the run directory."""

    checkpoint: str
    subject: int
    """Index into the manifest's ``subjects``."""
    case: str
    outcome: Outcome
    path: str | None = None
    digest: str = ""
    """sha256 that the trace's file holds of itself: another one in its place is refused."""
    reason: str = ""
    """For outcomes other than ``captured``: the signal, the limit, the harness's own exception."""
    cached: bool = False
    seconds: float = 0.0
    """The backend's own work."""
    load_seconds: float = 0.0
    """What of it went into loading the model."""
    io_seconds: float = 0.0
    """Reading inputs, bringing arrays to the host, writing the trace."""


class Manifest(_Record):
    """Everything the judge needs to know of a capture."""

    schema_version: int = SCHEMA_VERSION
    parity_version: str
    command: list[str]
    started: str
    """ISO 8601, UTC."""
    checkpoints: list[CheckpointRecord]
    unreadable: list[Unreadable] = Field(default_factory=list)
    """Named beside them, and not audited."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What the run was given besides checkpoints, where it is not the default: by it a cell can be run again."""
    not_run: list[str] = Field(default_factory=list)
    """What was requested and cannot run, a line each, with what to install."""
    environments: dict[str, dict[str, Any]]
    """By stack: interpreter, versions of libraries, digests of their sources, machine."""
    subjects: list[SubjectRecord]
    cases: dict[str, list[dict[str, Any]]]
    """By checkpoint: ``parity.core.case.Case.to_json``."""
    traces: list[TraceRecord]
    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall time by phase (``plan``, ``capture``)."""
    peak_memory: int = 0
    """Largest sum of the resident memory of all processes of the run, bytes."""

    @field_validator("options")
    @classmethod
    def _checks_are_names(cls, options: dict[str, Any]) -> dict[str, Any]:
        checks = options.get("checks", [])
        if not isinstance(checks, list) or not all(isinstance(each, str) for each in checks):
            raise ValueError("checks: not a list of names")
        return options


class Divergence(_Record):
    """The first tensor, in data-flow order, that left its tolerance."""

    tensor: str
    at: dict[str, int] = Field(default_factory=dict)
    """Axis by axis, the worst slice (``{"batch": 0, "tgt": 1}``)."""
    error: float | None = None
    """Relative to the tensor's scale; None where there is no number (a missing tensor, NaN, differing bits)."""
    tolerance: float | None = None
    inputs_within: float | None = None
    """The largest error/tolerance among its inputs: at most 1 where the fault was made here. None without inputs."""

    @property
    def index(self) -> tuple[int, ...]:
        """Index of the worst slice, in the order of the tensor's axes.

        >>> Divergence(tensor="logits", at={"batch": 2, "tgt": 8}).index
        (2, 8)
        """
        return tuple(self.at.values())

    @property
    def ratio(self) -> float | None:
        """The error as a multiple of tolerance; None where there is no number.

        >>> Divergence(tensor="logits", error=3e-6, tolerance=1e-6).ratio
        3.0
        """
        return _ratio(self.error, self.tolerance)


def _ratio(error: float | None, tolerance: float | None) -> float | None:
    return error / tolerance if error is not None and tolerance else None


if TYPE_CHECKING:
    from typing import TypedDict

    class VerdictEvidence(TypedDict, total=False):
        """What a verdict rests on beside its numbers. A check may add keys that it documents itself."""

        # What failed.
        tensors: list[str]
        """Tensors and parameters that findings are about, the first twenty."""
        failed: int
        """Findings and comparisons that failed."""
        worst: dict[str, Any]
        """Of the comparison farthest out: tensor, measure, ``at`` (index of its error), ``index`` of its worst element
        and both values there."""
        slices_over: int
        """Slices of that tensor that are out of tolerance …"""
        slices: int
        """… of so many that were compared; 0 where the measure is no error of slices."""
        first_step: int
        """The first decoder position that is wrong."""
        at: dict[str, int]
        """Where, by axis."""
        alone: float | None
        """How far out the first divergent layer is, as a multiple of tolerance, when it is given the oracle's own
        states."""
        excused: list[str]
        """Tensors that a known divergence explains, and the failure does not rest on."""
        oracle_suspected: list[str]
        """References that agree with the backend against the oracle."""
        again: str
        """The command that shows this cell again."""

        # What was raised, and how a case ended.
        raises: Any
        """Types of exceptions that a pass or a failure rests on."""
        exception: str
        """The type that was raised."""
        message: str
        """Its text."""
        frame: str
        """Where: file, line, function."""
        phase: str
        """While loading or while calling."""
        outcome: str
        """How the case ended, where it was not captured."""
        oracle: str
        """``raised`` where the oracle has no answer."""

        # What a pass rests on.
        compared: int
        """Findings and comparisons."""
        tie_flips: list[Any]
        """Choices of text that were ties."""
        exercised: int
        """Instances that put a universal claim to the test …"""
        looked_at: int
        """… of so many."""

        # Generated text and documented values.
        word: str
        """What became of a choice: ``match``, ``tie-flip``, ``wrong``."""
        dialects: list[str]
        """Dialects that explain a text."""
        settings_held: dict[str, Any] | None
        """Settings that a subject holds instead of the documented ones."""
        setting: str
        """The setting that differs."""
        found: Any
        """The answer, where a documented value was expected …"""
        expected: Any
        """… and that value."""

        # Known issues.
        known_issue: str
        """The entry that explains a failure."""
        severity: str
        """Its severity."""
        source: str
        """Where a user's own entry stands."""
        carried_over: str
        """From which version an entry was carried over to one that nobody measured."""
        resembles: str
        """An entry that would explain a failure …"""
        but: str
        """… were it not for this."""

else:
    # A dict at runtime, as ``parity.core.case.Notes`` is; pydantic would drop keys that are not declared.
    VerdictEvidence = dict[str, Any]


class Verdict(_Record):
    """One planned cell: check × checkpoint × model class × case × backend × variant × stack × device × dtype."""

    check: str
    claim: str
    checkpoint: str
    model_class: str
    case: str
    backend: str
    variant: str
    stack: str
    device: str
    dtype: str
    status: Status
    error: float | None = None
    """Of the comparison nearest to (or farthest past) its tolerance, relative to the tensor's scale; None: no
    number."""
    tolerance: float | None = None
    first_divergence: Divergence | None = None
    reason: str = ""
    """Why, in one sentence: what was found wrong, the capability missing, the known issues' entry, our own error."""
    evidence: VerdictEvidence = Field(default_factory=lambda: VerdictEvidence())
    """Tensor, index, both values, exception type and frame, parameters named, the command that shows it again …"""

    @property
    def ratio(self) -> float | None:
        """The error as a multiple of tolerance; None where there is no number."""
        return _ratio(self.error, self.tolerance)


class Totals(_Record):
    """Verdicts by status; their sum is the number of verdicts."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    passed: int = Field(0, alias="pass")
    fail: int = 0
    known: int = 0
    skip: int = 0
    error: int = 0


class Spent(_Record):
    """What one subject took for one kind of work, over all checkpoints and cases, in seconds of wall time."""

    subject: str
    """Its label and, where that is not float32, its dtype."""
    work: str
    """``load``, or an operation without the loads."""
    traces: int
    """In which it was done, not counting those from the cache."""
    seconds: float
    io_seconds: float
    """Beside it: arrays to the host, digests of parameters and the trace's file."""


class Cost(_Record):
    """What the run took; ``own_share`` is all that is not a backend's own work, as a share of the wall time."""

    wall_seconds: float
    backend_seconds: float
    """Wall time during which at least one backend was computing (or importing, or loading)."""
    judge_seconds: float
    """Wall time of judging during which no backend was."""
    trace_io_seconds: float
    own_share: float
    peak_memory: int
    traces_cached: int
    traces_captured: int
    spent: list[Spent] = Field(default_factory=list)
    """Where the time went, the most first."""


class CaseRecord(_Record):
    """One case of a checkpoint, without its inputs, which stand in the manifest."""

    name: str
    operation: str
    digest: str
    """Of what was asked (``parity.core.case.Case.digest``): equal digests, equal questions."""
    shapes: dict[str, list[int]] = Field(default_factory=dict)
    """By input: ``{"input_ids": [batch, src], …}``."""


class MeasuredError(_Record):
    """How far one tensor of one candidate's answer to one case was from the oracle's; a row of the plots.

    ``error``, ``tolerance`` and ``noise_floor`` are those of the worst slice, relative to the tensor's scale.
    """

    checkpoint: str
    subject: int
    """Index into the report's ``subjects``."""
    case: str
    tensor: str
    kind: str
    error: float | None = None
    """None: there is no number, and ``note`` says why."""
    tolerance: float | None = None
    """None: no conforming implementation answered."""
    noise_floor: float | None = None
    """The largest error of the conforming implementations, which the tolerance follows from."""
    ratio: float | None = None
    """The error as a multiple of tolerance as it is judged: the larger of the worst slice's and the worst element's."""
    at: list[int] = Field(default_factory=list)
    """Index of the worst slice."""
    places: list[float] = Field(default_factory=list)
    """Of states and logits of the forward pass, for each position of the sequence its worst slice as a multiple of
    tolerance."""
    note: str = ""


class Mark(_Record):
    """A place where a generated text parts from the oracle's."""

    position: int
    """Index into ``tokens``."""
    kind: Literal["tie-flip", "wrong", "undecided"]
    margin: float | None = None
    """How much the oracle prefers its own token there …"""
    tolerance: float | None = None
    """… and below which margin conforming implementations may choose otherwise."""
    oracle_token: int


class GeneratedRow(_Record):
    """What one subject wrote for one row of one case; the oracle's own rows are among them."""

    checkpoint: str
    case: str
    row: int
    source: str | None = None
    """The text the row was made from, where there was one."""
    subject: int
    """Index into the report's ``subjects``."""
    text: str | None = None
    tokens: list[int]
    words: list[str] | None = None
    """One for each token, where the checkpoint has a tokenizer."""
    verdict: Literal["match", "tie-flip", "wrong", "undecided"]
    marks: list[Mark] = Field(default_factory=list)
    score: float | None = None
    """What the subject said its text scores; None where it says nothing."""
    oracle_score: float | None = None
    """What the oracle gives the same text."""


@dataclass(frozen=True)
class _Location:
    """The directory of a report's run. It is not compared: a report that was moved is equal to itself."""

    directory: Path | None = field(default=None, compare=False)


class Report(_Record):
    """What ``report.json`` holds. ``report.html`` is made from it, with the words of the list of known issues and of
    the checks."""

    schema_version: int = SCHEMA_VERSION
    parity_version: str
    command: list[str]
    started: str
    checkpoints: list[CheckpointRecord]
    unreadable: list[Unreadable] = Field(default_factory=list)
    """Checkpoints that were named and could not be audited, each with its cause."""
    not_run: list[str] = Field(default_factory=list)
    """What was requested and cannot run, a line each, with what to install."""
    tolerances: str = ""
    """What the tolerances rest on, in one sentence."""
    environments: dict[str, dict[str, Any]]
    subjects: list[SubjectRecord]
    verdicts: list[Verdict]
    totals: Totals
    strict: bool = False
    selected: list[str] = Field(default_factory=list)
    """The checks or families that were asked for; empty: all."""
    cost: Cost | None = None
    cases: dict[str, list[CaseRecord]] = Field(default_factory=dict)
    """By checkpoint, in the order they were planned."""
    measured: list[MeasuredError] = Field(default_factory=list)
    """In data-flow order for each checkpoint, case and candidate: what the judged checks had measured."""
    generated: list[GeneratedRow] = Field(default_factory=list)
    _location: _Location = PrivateAttr(default_factory=_Location)

    @model_validator(mode="after")
    def _totals_add_up(self) -> Report:
        counted = Counter(verdict.status for verdict in self.verdicts)
        if dict(counted) != {k: v for k, v in self.totals.model_dump(by_alias=True).items() if v}:
            raise ValueError(f"totals do not add up: counted {dict(counted)}")
        return self

    @property
    def exit_code(self) -> int:
        """0: only pass, known and skip; 1: any fail or error; 2: a checkpoint is unreadable, what was requested cannot
        run, or every cell was skipped."""
        if self.totals.fail or self.totals.error:
            return 1
        if self.unreadable or self.not_run:
            return 2
        return 0 if self.totals.passed or self.totals.known else 2

    @property
    def directory(self) -> Path | None:
        """The run directory that the report was written to or read from; None for one that was made in memory."""
        return self._location.directory

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The cells with status ``fail`` or ``error``, in the order of the report.

        >>> for failure in report.failures:
        ...     print(failure.check, failure.first_divergence.tensor, f"{failure.ratio:.0f} × tolerance")
        NUM01 encoder.hidden.1 154 × tolerance
        """
        from parity.core.failure import failures_of

        return failures_of(self)

    def to_frame(self) -> pandas.DataFrame:
        """One row per cell, as a pandas ``DataFrame``.

        Columns: ``checkpoint``, ``model_class``, ``check``, ``case``, ``backend``, ``variant``, ``stack``, ``device``,
        ``dtype``, ``status``, ``error``, ``tolerance``, ``ratio`` (floats, NaN where there is no number), ``tensor``
        and ``index`` (of the first divergence, None without one) and ``reason``.

        >>> frame = report.to_frame()
        >>> failed = frame[frame.status == "fail"]
        >>> failed.groupby("backend").ratio.max().round().to_dict()
        {'hf-torch': 154.0}

        Raises:
            ImportError: pandas is not installed.
        """
        from parity.core.summary import frame_of

        return frame_of(self)

    def __repr__(self) -> str:
        """One line: checkpoints, totals and the first failure.

        >>> print(repr(report)[:62])
        <Report bart-odd: 2 cells: 1 pass, 1 fail; first failure NUM01
        """
        from parity.core.summary import one_line

        return one_line(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Totals and the first failures as an HTML table, for notebooks."""
        from parity.core.summary import html_of

        return html_of(self)


def in_directory(report: Report, directory: Path) -> Report:
    """Sets the directory of a report, where the arrays of its failures are found; returns the report."""
    report._location = _Location(directory.absolute())
    return report


_SPELLED = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]")
"""Characters inside JSON's strings that control who reads the file, or that UTF-8 cannot hold."""


def json_text(data: Any, indent: int | None = None) -> str:
    """Data as JSON that any reader takes and any terminal shows.

    Control characters and lone surrogates are spelled out (``\\u001b``, ``\\udfff``), so that the text can be encoded;
    a number that is not finite, for which JSON has no word, is ``null``, as pydantic writes it.
    """
    try:
        text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(data), indent=indent, ensure_ascii=False)
    return _spelled(text)


def _spelled(text: str) -> str:
    return text if text.isascii() and "\x7f" not in text else _SPELLED.sub(lambda c: f"\\u{ord(c[0]):04x}", text)


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, list | tuple) else data


def write_record(record: BaseModel, path: Path) -> None:
    """Writes a manifest or report as indented JSON, whole or not at all.

    Text is stored as it is, whatever a checkpoint holds: lone surrogates, which UTF-8 has no bytes for, as JSON's
    escapes (RFC 8259, section 8.2), which ``read_record`` reads back.
    """
    try:
        text = _spelled(record.model_dump_json(by_alias=True, indent=1))
    except PydanticSerializationError:
        # Records are of JSON's own types; asked for them, pydantic encodes text on the way.
        text = json_text(record.model_dump(mode="python", by_alias=True), indent=1)
    temporary = path.with_name(f".part-{path.name}")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def read_record(kind: type[R], path: Path) -> R:
    """Reads a manifest or report back.

    Raises:
        RecordError: the file is missing, is no JSON, has another schema version or does not fit it.
    """
    try:
        content = record_bytes(path)
    except RecordError as error:
        hint = f"; parity judge {path.parent} makes it" if _only_captured(path) else ""
        raise RecordError(f"{error}{hint}") from error
    try:
        record = validated(kind, content)
    except ValidationError as error:
        raise RecordError(f"{path}: {_unfit(content, error)}") from error
    if (version := getattr(record, "schema_version", SCHEMA_VERSION)) != SCHEMA_VERSION:
        raise RecordError(f"{path}: {_other_version(version)}")
    if isinstance(record, Report):
        in_directory(record, path.parent)
    return record


def record_bytes(path: Path) -> bytes:
    """The content of a manifest, report or baseline.

    Raises:
        RecordError: it is missing, no regular file, larger than any is, or cannot be read.
    """
    try:
        return read_bytes(path, LARGEST)
    except CheckpointError as error:
        missing = isinstance(error.__cause__, FileNotFoundError)
        cause = os.strerror(errno.ENOENT) if missing else error.cause.removeprefix("cannot be read: ")
        raise RecordError(f"{path}: cannot be read: {cause}") from error.__cause__


def validated(kind: type[M], content: bytes) -> M:
    """A record of a JSON file's bytes.

    Raises:
        ValidationError: it is no JSON, or does not fit.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        # Pydantic's reader takes no lone surrogate, which Python's does.
        if b"\\u" not in content or not any(each["type"] == "json_invalid" for each in error.errors()):
            raise
        try:
            data = json.loads(content)
        except (ValueError, RecursionError):
            raise error from None
        return kind.model_validate(data)


def _only_captured(path: Path) -> bool:
    """Whether it is the report of a run that was not judged yet."""
    return path.name == "report.json" and not path.exists() and (path.parent / "manifest.json").is_file()


def report_file(path: Path) -> Path:
    """A report by its file or by its run's directory."""
    return path / "report.json" if path.is_dir() else path


def _unfit(content: bytes, error: ValidationError) -> str:
    """Why a file does not fit: no JSON before another version before the first field that is wrong."""
    try:
        data = parsed(content)
    except ValueError as broken:
        return str(broken)
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version is None:
        return "neither a report nor a manifest: it has no schema_version"
    if version != SCHEMA_VERSION:
        return _other_version(version)
    return in_words(error)


def parsed(content: bytes) -> Any:
    """What a file of JSON holds.

    Raises:
        ValueError: it is none; the message says so to a user.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None
    except ValueError as broken:
        page = content.lstrip().startswith(b"<")
        raise ValueError("a page for people, not the JSON beside it" if page else f"not JSON: {broken}") from broken


def in_words(error: ValidationError) -> str:
    """The first field that does not fit, and why."""
    first = error.errors()[0]
    place = printable(".".join(map(str, first["loc"])))
    return f"{place}: {printable(first['msg'])}" if place else printable(first["msg"].removeprefix("Value error, "))


def _other_version(version: object) -> str:
    return f"schema_version {brief(version)}, this version reads {SCHEMA_VERSION}"
