"""A captured run, opened for judging: its traces, and every error measured once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from parity.core.backends import BACKENDS
from parity.core.case import Case
from parity.core.model_spec import ModelSpec, model_spec_of
from parity.core.records import (
    CheckpointRecord,
    Manifest,
    RecordError,
    SubjectRecord,
    TraceRecord,
    format_validation_error,
    read_record,
)
from parity.core.subject import REFERENCES, Variant
from parity.core.tensors import TensorSpec, decode_tensors, forward_tensors, gradient_tensors, score_tensors
from parity.core.trace import Trace, TraceError
from parity.judge.tolerance import (
    UNIT_ROUNDOFF,
    Measured,
    NoiseFloor,
    Tolerance,
    measure,
    root_mean_square,
    scale_of,
    signal,
)
from reference.errors import brief

WITHOUT_TENSORS = (
    "generate",
    "reachable",
    "sample",
    "generation_settings",
    "save",
    "load_saved",
    "signature",
    "compose",
    "route",
    "load_as",
    "frozen_gradients",
    "plain_load",
)
"""Model operations whose traces have no tensors of a forward pass."""


class NoPeer(LookupError):
    """A reference has no tolerance, because the other reference is missing. The message says what to install."""


@dataclass(frozen=True)
class CaseErrors:
    """Every subject's error against the oracle in one case, tensor by tensor in data-flow order."""

    specs: list[TensorSpec]
    signals: dict[str, float]
    undefined_by_oracle: list[str]
    """Tensors with non-finite values in the oracle's trace."""
    errors: dict[int, dict[str, Measured | str]]
    """By subject index, then tensor; a string is the reason why the two cannot be compared."""


_CASE, _CASE_FIELDS = TypeAdapter(Case), {field.name for field in fields(Case)}


def _inconsistent(manifest: Manifest) -> str | None:
    """The first inconsistency of a valid manifest, for example after an edit; None if there is none."""
    for checkpoint in manifest.checkpoints:
        if checkpoint.name not in manifest.cases:
            return f"it has no cases of the checkpoint {brief(checkpoint.name)}"
        for number, case in enumerate(manifest.cases[checkpoint.name]):
            if unknown := sorted(case.keys() - _CASE_FIELDS):
                return f"cases.{brief(checkpoint.name)[1:-1]}.{number}: no field is called {brief(unknown[0])}"
            try:
                _CASE.validate_python(case)
            except ValidationError as error:
                return f"cases.{brief(checkpoint.name)[1:-1]}.{number}.{format_validation_error(error)}"
    for subject in manifest.subjects:
        if subject.environment not in manifest.environments:
            return f"it has no environment {brief(subject.environment)}"
    if any(not 0 <= trace.subject < len(manifest.subjects) for trace in manifest.traces):
        return "a trace names a subject that it does not have"
    return None


REMEMBERED = 1000
"""The number of cases whose errors are cached, by the digests of their traces."""
_measured_before: dict[tuple[Any, ...], CaseErrors] = {}


class CheckpointRun:
    """One checkpoint of a run, with its traces and measured errors.

    Args:
        directory: the run directory of ``manifest``.
    """

    def __init__(self, directory: Path, manifest: Manifest, checkpoint: CheckpointRecord) -> None:
        self.directory, self.manifest, self.checkpoint = directory, manifest, checkpoint
        self.config = checkpoint.config
        self.cases = {case["name"]: Case.from_json(case) for case in manifest.cases[checkpoint.name]}
        own = (record for record in manifest.traces if record.checkpoint == checkpoint.name)
        self.records: dict[tuple[int, str], TraceRecord] = {(record.subject, record.case): record for record in own}
        self._traces: dict[tuple[int, str], Trace] = {}
        self._errors: dict[str, CaseErrors] = {}
        self._scales: dict[tuple[str, str], float] = {}
        self._noise_floors: dict[tuple[str, str, bool], NoiseFloor] = {}

    @cached_property
    def model_spec(self) -> ModelSpec:
        """The structure of the checkpoint's model."""
        return model_spec_of(self.config, self.checkpoint.documented_class)

    @classmethod
    def open_all(cls, directory: Path) -> tuple[Manifest, list[CheckpointRun]]:
        """Opens every checkpoint of a run directory.

        Raises:
            RecordError: the manifest cannot be read or is inconsistent, or its traces are missing.
        """
        manifest = read_record(Manifest, directory / "manifest.json")
        if (wrong := _inconsistent(manifest)) is not None:
            raise RecordError(f"{directory / 'manifest.json'}: {wrong}")
        paths = [record.path for record in manifest.traces if record.path]
        if paths and not any((directory / path).is_file() for path in paths):
            raise RecordError(f"{directory}: the traces of the manifest are missing: copy the whole run directory")
        return manifest, [cls(directory, manifest, checkpoint) for checkpoint in manifest.checkpoints]

    def subjects(self, *roles: str) -> Iterator[tuple[int, SubjectRecord]]:
        """The subjects that run this checkpoint's class, with their indices in the manifest."""
        for index, subject in enumerate(self.manifest.subjects):
            if subject.role in roles and (subject.documented_class, tuple(subject.families)) == self.model_spec.kind:
                yield index, subject

    @cached_property
    def oracle_index(self) -> int:
        return self._one("oracle", (index for index, _ in self.subjects("oracle")))

    def file_index(self, dtype: str) -> int:
        return self._one("file", (index for index, subject in self.subjects("file") if subject.dtype == dtype))

    def _one(self, role: str, found: Iterator[int]) -> int:
        index = next(found, None)
        if index is None:
            raise RecordError(
                f"{self.directory / 'manifest.json'}: {self.checkpoint.name} has no subject of role {role}"
            )
        return index

    def trace(self, subject: int, case: str) -> Trace | None:
        """The trace of one subject for one case; None if it was not captured.

        Raises:
            TraceError: the trace file cannot be read, is damaged, or has another digest.
        """
        record = self.records.get((subject, case))
        if record is None or record.path is None:
            return None
        if (subject, case) not in self._traces:
            self._traces[subject, case] = Trace.read(self.directory / record.path, record.digest)
        return self._traces[subject, case]

    def _readable(self, subject: int, case: str) -> Trace | None:
        """A candidate's trace; None if it cannot be read, which is an error of its own cells only."""
        try:
            return self.trace(subject, case)
        except (TraceError, OSError):
            return None

    def oracle(self, case: str) -> Trace | None:
        """The oracle's trace; None if the run has no oracle, or the oracle has no trace or raised."""
        trace = self.trace(self.oracle_index, case) if any(self.subjects("oracle")) else None
        return None if trace is None or trace.raised else trace

    def captured(self, subject: int, case: str) -> Trace:
        """The trace of one subject for a case that must have been captured.

        Raises:
            LookupError: it was not.
            TraceError: as ``trace``.
        """
        trace = self.trace(subject, case)
        if trace is None:
            raise LookupError(f"{case} was not captured for {self.manifest.subjects[subject].label}")
        return trace

    def truth(self, case: str) -> Trace:
        """The oracle's trace of a case that it must have run.

        Raises:
            LookupError: it has none.
        """
        oracle = self.oracle(case)
        if oracle is None:
            raise LookupError(f"the oracle has no trace of {case}")
        return oracle

    def scale(self, case: str, tensor: str) -> float:
        """The root mean square of one of the oracle's tensors, cached.

        Raises:
            LookupError: the oracle has no trace of the case.
        """
        if (case, tensor) not in self._scales:
            self._scales[case, tensor] = root_mean_square(self.truth(case).arrays[tensor])
        return self._scales[case, tensor]

    def error_scale(self, case: str, spec: TensorSpec) -> float | None:
        """The scale of errors of a case's tensor; None if the oracle does not have the tensor."""
        oracle = self.oracle(case)
        return None if oracle is None or spec.name not in oracle.arrays else _error_scale(spec, oracle)

    def specs(self, case: str) -> list[TensorSpec]:
        """The canonical tensors of a case, in data-flow order."""
        found = self.cases[case]
        if found.operation == "gradients":
            oracle = self.oracle(case)
            names = [name.removeprefix("gradient.") for name in oracle.arrays if name != "loss"] if oracle else []
            return gradient_tensors(self.model_spec, names)
        if found.operation == "decode_steps":
            return [spec for spec in decode_tensors(self.model_spec) if found.produces(spec.name)]
        if found.operation == "score":
            return score_tensors()
        if found.operation in WITHOUT_TENSORS or found.component != "model":
            return []
        specs = [spec for spec in forward_tensors(self.model_spec) if found.produces(spec.name)]
        if found.operation == "training":
            # Not every library returns the weights that it used, and a skipped layer has none.
            return [spec for spec in specs if spec.kind not in ("attention", "cross-attention")]
        return specs

    def errors(self, case: str) -> CaseErrors:
        """The errors of every captured subject against the oracle, cached."""
        if case not in self._errors:
            self._errors[case] = self._known_or_measured(case)
        return self._errors[case]

    @property
    def measured(self) -> dict[str, CaseErrors]:
        """The errors that were measured so far, by case, in the order of the cases."""
        return {name: self._errors[name] for name in self.cases if name in self._errors}

    def _known_or_measured(self, case: str) -> CaseErrors:
        """Measures the errors of a case, or returns the cached ones.

        Each round of follow-up cases, and then the judge, opens the run again; the cache avoids measuring the same
        traces again.
        """
        oracle, answers = self.oracle(case), self._answers(case)
        found = {index: trace.digest for index, trace in answers.items()}
        if oracle is None or not (oracle.digest and all(found.values())):
            return self._measure_all(case, answers)
        key = (case, tuple(self.specs(case)), oracle.digest, *found.items())
        if key not in _measured_before:
            _measured_before[key] = self._measure_all(case, answers)
            if len(_measured_before) > REMEMBERED:
                del _measured_before[next(iter(_measured_before))]
        return _measured_before[key]

    def _answers(self, case: str) -> dict[int, Trace]:
        """The traces to measure, of candidates and members of the noise floor, by subject index."""
        traces = {index: self._readable(index, case) for index, _ in self.subjects("candidate")}
        # A trace of the noise floor must be readable: without one of its members a tolerance would change.
        traces |= {index: self.trace(index, case) for index, _ in self.subjects("noise_floor")}
        return {index: trace for index, trace in traces.items() if trace is not None and not trace.raised}

    def _measure_all(self, case: str, answered: Mapping[int, Trace]) -> CaseErrors:
        oracle = self.oracle(case) or Trace()
        specs = [spec for spec in self.specs(case) if spec.name in oracle.arrays]
        found = CaseErrors(specs, {}, [], {index: {} for index in answered})
        for spec in specs:
            truth = oracle.arrays[spec.name]
            if not np.isfinite(truth).all():
                found.undefined_by_oracle.append(spec.name)
            scale = _error_scale(spec, oracle)
            found.signals[spec.name] = np.inf if _is_zero_in_theory(spec) else _signal(spec, oracle, scale)
            for index, trace in answered.items():
                if spec.name in trace.arrays:
                    found.errors[index][spec.name] = _measured(_value(trace, spec), truth, scale)
        return found

    def error(self, index: int, case: str, spec: TensorSpec, oracle: Trace) -> Measured | str:
        """The error of a subject's tensor in a case, against another trace of the oracle."""
        trace = self.captured(index, case)
        if spec.name not in trace.arrays or spec.name not in oracle.arrays:
            return "is missing"
        return _measured(_value(trace, spec), oracle.arrays[spec.name], _error_scale(spec, oracle))

    def noise_floor(self, subject: SubjectRecord) -> NoiseFloor:
        """The errors of conforming implementations at a subject's device, dtype and matmul precision."""
        default_precision = Variant.parse(subject.variant).default_precision
        key = (subject.device, subject.dtype, default_precision)
        if key not in self._noise_floors:
            self._noise_floors[key] = self._measure_noise_floor(*key)
        return self._noise_floors[key]

    def _measure_noise_floor(self, device: str, dtype: str, default_precision: bool) -> NoiseFloor:
        tf32 = default_precision and device == "cuda" and dtype == "float32"
        noise_floor = NoiseFloor(UNIT_ROUNDOFF["tf32" if tf32 else dtype])
        for case in (case for case in self.cases.values() if case.notes.get("sets_noise_floor")):
            found, oracle = self.errors(case.name), self.oracle(case.name)
            terms = oracle.facts.get("minuend_terms", {}) if oracle is not None else {}
            for index, member in self.subjects("noise_floor"):
                same = (member.device, member.dtype) == (device, dtype)
                if not same or Variant.parse(member.variant).default_precision != default_precision:
                    continue
                for spec in found.specs:
                    measured = found.errors.get(index, {}).get(spec.name)
                    if isinstance(measured, Measured) and np.isfinite(measured.slice):
                        noise_floor.add(member.backend, spec, measured, terms.get(spec.name, 0.0))
        return noise_floor

    def tolerance(self, subject: SubjectRecord, tensor: str) -> Tolerance | None:
        """The tolerance of a subject at a tensor; None if no reference returned finite values.

        Raises:
            NoPeer: the subject is a reference, and the other reference was not run.
        """
        found = self.noise_floor(subject).tolerance(tensor, subject.backend)
        if found is None and not any(s.backend != subject.backend for _, s in self.subjects("noise_floor")):
            peer = next(name for name in REFERENCES if name != subject.backend)
            raise NoPeer(
                f"{subject.backend} is compared only with the other reference, which cannot run here: "
                f"pip install {BACKENDS[peer].install}"
            )
        return found


def _value(trace: Trace, spec: TensorSpec) -> np.ndarray:
    actual = trace.arrays[spec.name]
    return mean_loss(actual) if spec.kind == "loss" else actual


def _error_scale(spec: TensorSpec, oracle: Trace) -> float:
    """The scale of errors of one of the oracle's tensors."""
    return scale_of(spec, oracle.arrays, oracle.facts.get("minuends"))


def _is_zero_in_theory(spec: TensorSpec) -> bool:
    """Whether a gradient is zero in exact arithmetic: its error has another tensor's scale, and it has no signal."""
    return spec.kind == "gradient" and spec.scale_from is not None


def _signal(spec: TensorSpec, oracle: Trace, scale: float) -> float:
    """``signal``, or the size of a gradient's minuend if that is larger: the error of omitting the subtraction."""
    return max(
        signal(_wrong_answer_scale(spec, oracle), scale), oracle.facts.get("minuends", {}).get(spec.name, 0.0) / scale
    )


def _wrong_answer_scale(spec: TensorSpec, oracle: Trace) -> np.ndarray:
    """The tensor whose slices a deliberately wrong output exchanges. Scores of a repetitive text are similar at all
    positions, so the scores of other tokens at the same positions are used."""
    if spec.kind != "score":
        return oracle.arrays[spec.name]
    words = oracle.arrays[spec.scale_from or spec.name]
    return words.reshape(-1, words.shape[-1]).T


def mean_loss(given: np.ndarray) -> np.ndarray:
    """The loss as one number, float64 ``[]``: the mean if there is one number for each label or text.

    The mean is the documented training loss, and the one that Keras computes from such an array (``train_step``). The
    shape of the loss is a claim of its own (OUT02).
    """
    return np.asarray(np.mean(given, dtype=np.float64) if given.size else np.nan)


def _measured(actual: np.ndarray, truth: np.ndarray, scale: float) -> Measured | str:
    if truth.ndim == 0 and actual.size == 1:
        # The shape of a scalar is a claim of its own (OUT02); its value is compared here.
        actual = actual.reshape(())
    if actual.shape != truth.shape:
        return f"has shape {list(actual.shape)} where the oracle has {list(truth.shape)}"
    return measure(actual, truth, scale)
