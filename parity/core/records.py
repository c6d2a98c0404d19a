"""The files of a run: ``manifest.json`` (what was captured) and ``report.json`` (the verdicts)."""

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
from parity.core.subject import Role, Subject
from reference.errors import CheckpointError, brief
from reference.files import read_bytes

if TYPE_CHECKING:
    import pandas

    from parity.core.failure import Failure

SCHEMA_VERSION = 2
STOPPED = "stopped at the first failing check (-x)"
"""How a line of ``not_run`` ends that is about what ``exit_first`` left out."""
LARGEST = 1024
"""Megabytes of a manifest, report or baseline."""
Status = Literal["pass", "fail", "known", "skip", "error"]
Outcome = Literal["captured", "crash", "time-out", "out-of-memory", "harness-error", "changed"]
"""``changed``: a file of the checkpoint changed after it was digested, and the trace was discarded."""


class RecordError(InputError):
    """A manifest or report cannot be read; the message names the file and the cause."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


R = TypeVar("R", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)


class Notice(_Record):
    """A defect of a checkpoint's files in its owner's terms, shown once, before anything about its tensors."""

    id: str
    """Its kind: ``common-prefix``, ``git-lfs-pointer`` …"""
    cause: str
    advice: str
    """What to do about it."""


class Unreadable(_Record):
    """A checkpoint that could not be audited, beside others that were."""

    name: str
    """As it was written on the command line."""
    cause: str
    """One line that names the file and the cause."""


class WeightFacts(_Record):
    """The headers of one format's weight file, or of all its shards."""

    format: str
    """``safetensors``, ``bin``, ``h5`` or ``msgpack``."""
    framework: str
    """``pt``, ``tf`` or ``flax``: the framework whose parameter names it holds."""
    shards: int = 1
    dtypes: list[str] = Field(default_factory=list)
    holds: list[str] = Field(default_factory=list)
    """The canonical names of the documented class, and all names of tied tables, that it holds …"""
    lacks: list[str] = Field(default_factory=list)
    """… and those that it lacks."""


class FileFacts(_Record):
    """The facts about a checkpoint's files that the conditions of a known issue can name."""

    files: list[str] = Field(default_factory=list)
    """Names of the files that were digested."""
    weights: list[WeightFacts] = Field(default_factory=list)
    """One for each format that is present and readable, in the order of preference of our own readers."""
    config_fields: list[str] = Field(default_factory=list)
    """The fields that ``config.json`` sets; ``encoder.hidden_size`` in the config of the encoder."""
    generation: dict[str, Any] = Field(default_factory=dict)
    """The settings of generation in force without arguments."""
    dtype: str | None = None
    """``dtype`` or ``torch_dtype`` of ``config.json``, or else the dtype of the first format's floats; None where there
    are several."""


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
    """The class it is loaded as, by its PyTorch name."""
    unused_files: list[str] = Field(default_factory=list)
    """Other files of its directory, which no backend receives. The name of a folder ends with a slash."""
    notices: list[Notice] = Field(default_factory=list)
    """Defects of its files (``parity.checkpoint.diagnosis``)."""
    file_facts: FileFacts | None = None
    """None: unknown, so that no known issue with a condition on the files applies."""


class SubjectRecord(_Record):
    """One subject of a run (``parity.core.subject.Subject``) and its capabilities."""

    backend: str
    variant: str
    stack: str
    device: str
    dtype: str
    role: Role
    label: str
    model_class: str
    """The library's class; its expected name where the library is absent."""
    documented_class: str
    """The same by its PyTorch name: it runs only checkpoints of this class …"""
    families: list[str] = Field(default_factory=list)
    """… and of these model types of encoder and decoder, where the class is a composition."""
    component: str = "model"
    """The part of a checkpoint that it loads: ``model``, ``config`` or ``tokenizer``."""
    capabilities: list[str]
    """Its capabilities (``parity.backends.capabilities``); a cell that needs another one is skipped."""
    lacking: dict[str, str] = Field(default_factory=dict)
    """For each missing capability the reason."""
    environment: str
    """Key into the manifest's ``environments``."""
    class_prefix: str | None = None
    """The prefix of a transformers class: ``TF``, ``Flax`` or empty; None for any other class."""
    reference: bool = False
    """Whether it is one of the two references, which share an author with the oracle."""
    room_ahead: bool = False
    """Whether its cache is allocated for all tokens in advance, instead of growing with each step."""
    user_model: str = ""
    """Of a user's model ``NAME=FILE.py:FUNCTION``, or ``OBJECT`` for an object that ``parity.check`` was given."""
    derives_from: str = ""
    """Of a user's model whose class is one of a library, or derived from one: the backend of that library's classes,
    whose known issues apply to it."""
    unjudged: str = ""
    """Why its distance from the oracle is reported without a verdict; empty for a subject that is judged."""
    kept: list[str] = Field(default_factory=list)
    """The cases that a golden has traces of; empty for a subject that ran here."""

    @property
    def can_run(self) -> bool:
        """Whether it can compute anything: its dtype and device are available."""
        needed = {self.dtype, self.device} if self.component == "model" else set()
        return bool(self.capabilities) and needed <= set(self.capabilities)


class TraceRecord(_Record):
    """One case run by one subject. ``path`` is relative to the run directory."""

    checkpoint: str
    subject: int
    """Index into the manifest's ``subjects``."""
    case: str
    outcome: Outcome
    path: str | None = None
    digest: str = ""
    """sha256 of the trace file, by which a changed or exchanged file is rejected."""
    reason: str = ""
    """For outcomes other than ``captured``: the signal, the limit, the harness's own exception."""
    cached: bool = False
    seconds: float = 0.0
    """Seconds of the backend's own work."""
    load_seconds: float = 0.0
    """Part of ``seconds`` spent on loading the model."""
    io_seconds: float = 0.0
    """Seconds spent on reading inputs, copying arrays to the host and writing the trace."""


class Manifest(_Record):
    """The record of a capture, which the judge reads."""

    schema_version: int = SCHEMA_VERSION
    parity_version: str
    command: list[str]
    started: str
    """ISO 8601, UTC."""
    checkpoints: list[CheckpointRecord]
    unreadable: list[Unreadable] = Field(default_factory=list)
    """Checkpoints that were requested and could not be read."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The options that are not the default; the command that reproduces a cell repeats them."""
    not_run: list[str] = Field(default_factory=list)
    """What was requested and cannot run, a line each, with what to install."""
    environments: dict[str, dict[str, Any]]
    """By stack: interpreter, versions of libraries, digests of their sources, machine."""
    subjects: list[SubjectRecord]
    cases: dict[str, list[dict[str, Any]]]
    """By checkpoint: ``parity.core.case.Case.to_json``."""
    traces: list[TraceRecord]
    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall time by phase (``start``, ``plan``, ``backends``, ``capture``, ``judge``); they add up."""
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
    """The index of the worst slice by axis (``{"batch": 0, "tgt": 1}``)."""
    error: float | None = None
    """Relative to the tensor's scale; None where there is no number (a missing tensor, NaN, differing bits)."""
    tolerance: float | None = None
    inputs_within: float | None = None
    """The largest error/tolerance of its inputs: at most 1 where the error arises in this operation. None without
    inputs."""

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
        """The evidence of a verdict besides its numbers. A check may add keys, which it documents."""

        # What failed.
        tensors: list[str]
        """The first twenty tensors, parameters or fields with a finding."""
        failed: int
        """The number of failed findings and comparisons."""
        worst: dict[str, Any]
        """The comparison with the largest ratio: tensor, measure, ``at`` (index of its error), ``index`` of its worst
        element and both values at that element."""
        slices_over: int
        """The number of slices of that tensor that are out of tolerance …"""
        slices: int
        """… and the number of compared slices; 0 if the measure is not an error of slices."""
        first_step: int
        """The first decoder position that is wrong."""
        at: dict[str, int]
        """The index of the error, by axis."""
        layer_ratio: float | None
        """The error of the first divergent layer as a multiple of tolerance, if its input is the oracle's states."""
        excused: list[str]
        """Tensors that a known divergence explains, which are not a reason for the failure."""
        oracle_suspected: list[str]
        """References that agree with the backend and not with the oracle."""
        reproduce: str
        """The command that reproduces this cell."""

        # What was raised, and how a case ended.
        raises: Any
        """Types of exceptions that are the reason for a pass or a failure."""
        exception: str
        """The type of the exception."""
        message: str
        """The message of the exception."""
        frame: str
        """Where: file, line, function."""
        phase: str
        """``load`` or ``call``."""
        outcome: str
        """How the case ended, if it was not captured."""
        oracle: str
        """``raised`` if the oracle raised an exception."""

        # The reasons for a pass.
        compared: int
        """The number of findings and comparisons."""
        tie_flips: list[Any]
        """Choices of tokens that were near ties."""
        exercised: int
        """The number of instances on which a universal claim was tested …"""
        looked_at: int
        """… and the number of instances examined."""

        # Generated text and documented values.
        word: str
        """The result of a choice of text: ``match``, ``tie-flip`` or ``wrong``."""
        dialects: list[str]
        """Dialects that explain a text."""
        further: list[str]
        """Settings in force that forbid or reweight tokens."""
        equals: list[str]
        """Other losses, and other cases of the oracle, that give the subject's values (``Entry.equals``)."""
        settings_held: dict[str, Any] | None
        """Settings that a subject uses instead of the documented ones."""
        setting: str
        """The setting that differs."""
        found: Any
        """The result, if a documented value was expected …"""
        expected: Any
        """… and that value."""

        # Known issues.
        known_issue: str
        """The known issue that explains a failure."""
        severity: str
        """Its severity."""
        source: str
        """The file of a user's own entry."""
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
    """One cell: check × checkpoint × model class × case × backend × variant × stack × device × dtype."""

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
    """The error of the comparison with the largest error/tolerance, relative to the tensor's scale; None: no number."""
    tolerance: float | None = None
    first_divergence: Divergence | None = None
    reason: str = ""
    """One sentence: the finding, the missing capability, the known issue, or the error of this package."""
    evidence: VerdictEvidence = Field(default_factory=lambda: VerdictEvidence())
    """Tensor, index, both values, exception type and frame, parameters, the command that reproduces the cell …"""

    @property
    def subject_label(self) -> str:
        """``hf-torch/sdpa@docs-4.37``; the variant ``eager`` and the stack ``main`` are left out."""
        return Subject(self.backend, self.variant, self.stack).label

    @property
    def ratio(self) -> float | None:
        """The error as a multiple of tolerance; None where there is no number."""
        return _ratio(self.error, self.tolerance)


class Totals(_Record):
    """The number of cells by status."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    passed: int = Field(0, alias="pass")
    fail: int = 0
    known: int = 0
    skip: int = 0
    error: int = 0


class Spent(_Record):
    """Wall time of one subject for one kind of work, over all checkpoints and cases, in seconds."""

    subject: str
    """Its label and, where that is not float32, its dtype."""
    work: str
    """``load``, or an operation without the loads."""
    traces: int
    """The number of traces, without those from the cache."""
    seconds: float
    io_seconds: float
    """In addition: copies to the host, digests of parameters, and writing the trace."""


class Cost(_Record):
    """Time and memory of the run; ``own_share`` is the share of the wall time that is not a backend's work."""

    wall_seconds: float
    """From the start of the command, or of the function, until everything was judged."""
    start_seconds: float = 0.0
    """Part of it before the capture began: Python's start and imports. 0 for a run that was not one command's."""
    backend_seconds: float
    """Wall time during which at least one backend was importing, loading or computing."""
    judge_seconds: float
    """Wall time of judging during which no backend was."""
    trace_io_seconds: float
    own_share: float
    peak_memory: int
    traces_cached: int
    traces_captured: int
    spent: list[Spent] = Field(default_factory=list)
    """Time by subject and work, in descending order."""


class CaseRecord(_Record):
    """One case of a checkpoint, without its inputs, which are in the manifest."""

    name: str
    operation: str
    digest: str
    """``parity.core.case.Case.digest``: cases with equal digests are the same operation on the same inputs."""
    shapes: dict[str, list[int]] = Field(default_factory=dict)
    """By input: ``{"input_ids": [batch, src], …}``."""


class MeasuredError(_Record):
    """The error of one tensor of one candidate in one case against the oracle; a row of the plots.

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
    """The largest error of the conforming implementations, from which the tolerance is computed."""
    ratio: float | None = None
    """The error as a multiple of tolerance: the larger of the worst slice's and the worst element's."""
    at: list[int] = Field(default_factory=list)
    """Index of the worst slice."""
    places: list[float] = Field(default_factory=list)
    """For states and logits of the forward pass: the worst slice of each position of the sequence, as a multiple of
    tolerance."""
    note: str = ""


class Rounding(_Record):
    """Of a quantised engine: how far rounding the weights moves the results of one check, and what the engine adds.

    Errors are those of the worst tensor, relative to its scale.
    """

    checkpoint: str
    subject: int
    """Index of the engine into the report's ``subjects``."""
    original: int
    """Index of the reference with the original weights."""
    quantisation: str
    """As the option ``--quantised`` takes it."""
    check: str
    group: str
    """The check's group."""
    rounding: float | None = None
    """The error between the float64 reference with the original weights and the one with the rounded weights …"""
    rounding_ratio: float | None = None
    """… as a multiple of the tolerance."""
    engine: float | None = None
    """The error of the engine against the float64 reference with the rounded weights …"""
    engine_ratio: float | None = None
    """… as a multiple of the tolerance: at most 1 if the engine adds nothing."""
    texts: int = 0
    """The number of generated texts …"""
    rounding_texts: int = 0
    """… of those, how many the rounding changes …"""
    engine_texts: int = 0
    """… and how many the engine changes, compared with the reference with the rounded weights."""


class TokenDiff(_Record):
    """A position at which a generated text differs from the oracle's."""

    position: int
    """Index into ``tokens``."""
    kind: Literal["tie-flip", "wrong", "undecided"]
    margin: float | None = None
    """The margin by which the oracle prefers its own token …"""
    tolerance: float | None = None
    """… and the margin below which conforming implementations may choose another token."""
    oracle_token: int


class GeneratedRow(_Record):
    """The text that one subject generated for one row of one case; the oracle's rows are included."""

    checkpoint: str
    case: str
    row: int
    source: str | None = None
    """The source text of the row, where there is one."""
    subject: int
    """Index into the report's ``subjects``."""
    text: str | None = None
    tokens: list[int]
    words: list[str] | None = None
    """One for each token, where the checkpoint has a tokenizer."""
    verdict: Literal["match", "tie-flip", "wrong", "undecided"]
    marks: list[TokenDiff] = Field(default_factory=list)
    score: float | None = None
    """The score that the subject returned; None where it returns none."""
    oracle_score: float | None = None
    """The oracle's score of the same text."""


@dataclass(frozen=True)
class _Location:
    """The directory of a report's run. It is not compared: a report that was moved is equal to itself."""

    directory: Path | None = field(default=None, compare=False)


class Report(_Record):
    """The result of an audit, as ``report.json`` stores it. ``report.html`` is made from it."""

    schema_version: int = SCHEMA_VERSION
    parity_version: str
    command: list[str]
    started: str
    checkpoints: list[CheckpointRecord]
    unreadable: list[Unreadable] = Field(default_factory=list)
    """Checkpoints that could not be audited, each with its cause."""
    not_run: list[str] = Field(default_factory=list)
    """What was requested and cannot run, a line each, with what to install."""
    tolerances: str = ""
    """The basis of the tolerances, in one sentence."""
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
    """Errors that the checks measured, in data-flow order for each checkpoint, case and candidate."""
    generated: list[GeneratedRow] = Field(default_factory=list)
    rounding: list[Rounding] = Field(default_factory=list)
    """Of a quantised engine, by check."""
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
"""Characters in JSON strings that control a terminal or editor, or that UTF-8 cannot encode."""


def json_text(data: Any, indent: int | None = None) -> str:
    """Data as JSON that any reader accepts and any terminal can display.

    Control characters and lone surrogates are escaped (``\\u001b``, ``\\udfff``), so that the text can be encoded; a
    number that is not finite, which JSON cannot represent, is ``null``, as in pydantic's output.
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
    """Writes a manifest or report as indented JSON, atomically.

    Text of a checkpoint is stored unchanged; lone surrogates, which UTF-8 cannot encode, as JSON escapes (RFC 8259,
    section 8.2), which ``read_record`` reads back.
    """
    try:
        text = _spelled(record.model_dump_json(by_alias=True, indent=1))
    except PydanticSerializationError:
        # Records hold JSON's own types; pydantic's JSON mode would encode the text.
        text = json_text(record.model_dump(mode="python", by_alias=True), indent=1)
    temporary = path.with_name(f".part-{path.name}")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def read_record(kind: type[R], path: Path) -> R:
    """Reads a manifest or report; a report gets the directory of its file.

    Raises:
        RecordError: the file is missing, is not JSON, or has another schema version or other fields.
    """
    try:
        content = record_bytes(path)
    except RecordError as error:
        hint = f"; parity judge {path.parent} makes it" if _only_captured(path) else ""
        raise RecordError(f"{error}{hint}") from error
    try:
        record = validated(kind, content)
    except ValidationError as error:
        raise RecordError(f"{path}: {_explain_invalid(content, error)}") from error
    if (version := getattr(record, "schema_version", SCHEMA_VERSION)) != SCHEMA_VERSION:
        raise RecordError(f"{path}: {_other_version(version)}")
    if isinstance(record, Report):
        in_directory(record, path.parent)
    return record


def record_bytes(path: Path) -> bytes:
    """The content of a manifest, report or baseline.

    Raises:
        RecordError: it is missing, is not a regular file, is larger than ``LARGEST`` megabytes, or cannot be read.
    """
    try:
        return read_bytes(path, LARGEST)
    except CheckpointError as error:
        missing = isinstance(error.__cause__, FileNotFoundError)
        cause = os.strerror(errno.ENOENT) if missing else error.cause.removeprefix("cannot be read: ")
        raise RecordError(f"{path}: cannot be read: {cause}") from error.__cause__


def validated(kind: type[M], content: bytes) -> M:
    """Parses a record from the bytes of a JSON file.

    Raises:
        ValidationError: the content is not JSON, or has other fields.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        # Pydantic's parser rejects lone surrogates, which Python's accepts.
        if b"\\u" not in content or not any(each["type"] == "json_invalid" for each in error.errors()):
            raise
        try:
            data = json.loads(content)
        except (ValueError, RecursionError):
            raise error from None
        return kind.model_validate(data)


def _only_captured(path: Path) -> bool:
    """Whether a report is missing because the run has not been judged yet."""
    return path.name == "report.json" and not path.exists() and (path.parent / "manifest.json").is_file()


def report_file(path: Path) -> Path:
    """The report's file, given that file or its run directory."""
    return path / "report.json" if path.is_dir() else path


def _explain_invalid(content: bytes, error: ValidationError) -> str:
    """Why a file is rejected: it is not JSON, has another version, or a field is wrong; the first that applies."""
    try:
        data = parsed(content)
    except ValueError as broken:
        return str(broken)
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version is None:
        return "neither a report nor a manifest: it has no schema_version"
    if version != SCHEMA_VERSION:
        return _other_version(version)
    return format_validation_error(error)


def parsed(content: bytes) -> Any:
    """Parses a JSON file.

    Raises:
        ValueError: it is not JSON; the message is written for a user.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None
    except ValueError as broken:
        page = content.lstrip().startswith(b"<")
        raise ValueError("a page for people, not the JSON beside it" if page else f"not JSON: {broken}") from broken


def format_validation_error(error: ValidationError) -> str:
    """The first invalid field, and why."""
    first = error.errors()[0]
    field = printable(".".join(map(str, first["loc"])))
    return f"{field}: {printable(first['msg'])}" if field else printable(first["msg"].removeprefix("Value error, "))


def _other_version(version: object) -> str:
    return f"schema_version {brief(version)}, this version reads {SCHEMA_VERSION}"
