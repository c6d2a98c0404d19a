"""Failures of a report, with the arrays that differ, which are loaded from the run directory when they are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import PrivateAttr

from parity.core.display import at_index, printable, sentence
from parity.core.records import Manifest, RecordError, Report, Verdict, read_record
from parity.core.trace import Trace, TraceError

if TYPE_CHECKING:
    import numpy as np


class Failure(Verdict):
    """A cell that failed: every field of a ``Verdict``, the arrays that differ, and the command that repeats it.

    ``check``, ``checkpoint``, ``model_class``, ``case``, ``backend``, ``variant``, ``stack``, ``device`` and ``dtype``
    identify the cell. ``error`` and ``tolerance`` are relative to the tensor's scale; ``ratio`` is their quotient.

    >>> failure = report.failures[0]
    >>> failure
    <Failure NUM01 bart-odd forward hf-torch float32 cpu: encoder.hidden.1 at [batch 2, src 8], 154 × tolerance>
    >>> print(f"{abs(failure.actual - failure.expected).max():.1e} in an array of shape {failure.actual.shape}")
    4.1e-04 in an array of shape (3, 9, 4)
    >>> failure.reproduce
    'parity audit fixtures/checkpoints/bart-odd --backend hf-torch/eager --check NUM01'
    """

    _run: RunTraces = PrivateAttr()

    @property
    def actual(self) -> np.ndarray | None:
        """The backend's tensor at the first divergence, in the failure's case; None where there is no such tensor.

        There is none where the backend raised an exception, or where no tensor is compared (a config, a tokenizer, a
        file). float32 holds half-precision values exactly. Of large gradients a trace holds a random projection.

        Raises:
            TraceError: the run directory, or its trace, is gone or damaged.
        """
        return self._run.array(self, self._tensor, oracle=False)

    @property
    def expected(self) -> np.ndarray | None:
        """The oracle's tensor of the same name and case, float64, of the same shape; None where there is none.

        A check that compares two answers of one backend (PAD01, BATCH01, …) measures ``error`` between these; the
        oracle's tensor is still the right value.

        Raises:
            TraceError: as for ``actual``.
        """
        return self._run.array(self, self._tensor, oracle=True)

    @property
    def reproduce(self) -> str:
        """The command that repeats this cell; empty where the report has none."""
        return self.evidence.get("reproduce", "")

    @property
    def _tensor(self) -> str | None:
        return self.first_divergence.tensor if self.first_divergence is not None else None

    def __repr__(self) -> str:
        cell = (self.check, self.checkpoint, self.case, self.subject_label, self.dtype, self.device)
        return printable(f"<Failure {' '.join(cell)}: {sentence(finding(self), 300)}>", 1000)

    __str__ = __repr__


@dataclass(frozen=True)
class RunTraces:
    """The traces of one run directory; its manifest is read once, a trace each time it is used."""

    directory: Path | None = field(compare=False)
    """None for a report that was made in memory. It is not compared: failures of a run that was moved are equal."""

    def array(self, verdict: Verdict, tensor: str | None, *, oracle: bool) -> np.ndarray | None:
        """One tensor of a cell's case: the oracle's, or the cell's own subject's.

        Raises:
            TraceError: the trace cannot be read.
        """
        if tensor is None:
            return None
        if self.directory is None:
            raise TraceError("this report was not read from a run directory, so that there are no traces to load")
        manifest = self._manifest
        subjects = {i for i, subject in enumerate(manifest.subjects) if (subject.role == "oracle") is oracle}
        if not oracle:
            own = _identity(verdict)
            candidates = {i for i in subjects if manifest.subjects[i].role != "noise_floor"}
            subjects = {i for i in candidates if _identity(manifest.subjects[i]) == own}
        for record in manifest.traces:
            if record.subject in subjects and (record.checkpoint, record.case) == (verdict.checkpoint, verdict.case):
                return self._read(record.path, record.digest, tensor)
        return None

    def _read(self, path: str | None, digest: str, tensor: str) -> np.ndarray | None:
        if path is None:
            return None
        assert self.directory is not None
        file = self.directory / path
        if not file.is_file():
            raise TraceError(f"{file}: {_GONE}")
        trace = Trace.read(file, digest)
        return trace.arrays.get(tensor)

    @cached_property
    def _manifest(self) -> Manifest:
        assert self.directory is not None
        path = self.directory / "manifest.json"
        if not path.is_file():
            raise TraceError(f"{path}: {_GONE}")
        try:
            return read_record(Manifest, path)
        except RecordError as error:
            raise TraceError(str(error)) from error


_GONE = "gone: arrays are loaded from the run directory; run the failure's `reproduce` command to capture them again"


def _identity(cell: object) -> tuple[str, ...]:
    names = ("backend", "variant", "stack", "device", "dtype", "model_class")
    return tuple(getattr(cell, name) for name in names)


def failures_of(report: Report) -> tuple[Failure, ...]:
    """The cells of a report with status ``fail`` or ``error``, in its order."""
    return tuple(_failures(report.verdicts, RunTraces(report.directory)))


def _failures(verdicts: Iterable[Verdict], run: RunTraces) -> Iterator[Failure]:
    for verdict in verdicts:
        if verdict.status in ("fail", "error"):
            # Its fields were validated when the report was made.
            failure = Failure.model_construct(**{name: getattr(verdict, name) for name in Verdict.model_fields})
            failure._run = run
            yield failure


def finding(verdict: Verdict) -> str:
    """``encoder.hidden.1 at [batch 2, src 8], 154 × tolerance``, or the verdict's reason where there is no number."""
    first = verdict.first_divergence
    if first is None or first.ratio is None:
        return verdict.reason
    return f"{first.tensor}{at_index(first.at)}, {first.ratio:,.3g} × tolerance"
