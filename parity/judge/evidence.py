"""The input of a check: traces of one subject and of the oracle, errors and tolerances."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from packaging.version import Version

from parity.core.case import Case
from parity.core.records import SubjectRecord
from parity.core.tensors import TensorSpec
from parity.core.trace import Trace
from parity.judge import generated_text as texts
from parity.judge.captured_run import CheckpointRun
from parity.judge.results import Comparison, Decided, Finding
from parity.judge.tolerance import Measured, Tolerance, measure

Region = Callable[[TensorSpec], tuple[slice, ...] | None]
"""The slices of a tensor to compare, by axis; None excludes the tensor."""


def whole(spec: TensorSpec) -> tuple[slice, ...]:
    """The region of the whole tensor."""
    return ()


SHOWN = 8
"""The number of slices out of tolerance that a comparison lists."""

SELF_COMPARISON = 2.0
"""Each of two outputs of one backend may differ from the oracle by one tolerance, in opposite directions."""


class Evidence:
    """The traces and measurements of a run, seen from one cell."""

    def __init__(self, run: CheckpointRun, index: int, subject: SubjectRecord, case: Case) -> None:
        self._run, self._index = run, index
        self.subject, self.case, self.config, self.model_spec = subject, case, run.config, run.model_spec

    @property
    def trace(self) -> Trace:
        """The subject's trace of the cell's case."""
        return self.trace_of(self.case.name)

    def trace_of(self, case: str) -> Trace:
        """The subject's trace of another case; the judge guarantees the cases in the check's ``depends_on``."""
        trace = self._run.trace(self._index, case)
        if trace is None:
            raise LookupError(
                f"no trace of {case!r} for {self.subject.label}: name it in the check's cases or depends_on"
            )
        return trace

    def cases(self, operation: str) -> list[Case]:
        """All cases of one operation for this checkpoint."""
        return [case for case in self._run.cases.values() if case.operation == operation]

    @property
    def answer(self) -> str:
        """The main output of a pass: logits, or the last hidden states of a model without a head."""
        specs = self._run.specs(self.case.name)
        return next(spec.name for spec in specs if spec.kind == "logits" or spec.name == "decoder.last")

    @property
    def file(self) -> Trace:
        """The ``load`` trace of the weight file itself, cast to the subject's dtype."""
        return self._of_the_file("load")

    @property
    def reference_reading(self) -> Trace:
        """The trace of our own file readers for the cell's case; it may have raised."""
        return self._of_the_file(self.case.name)

    @property
    def implementations(self) -> list[tuple[SubjectRecord, tuple[int, ...]]]:
        """The run's candidates for this checkpoint's model, each with its version of transformers (``()`` if its
        stack has none)."""
        found = [subject for _, subject in self._run.subjects("candidate") if subject.component == "model"]
        return [(each, self._version_of(each)) for each in found]

    def in_other_stacks(self, case: str) -> list[tuple[SubjectRecord, tuple[int, ...], Trace]]:
        """Traces of the same backend, variant, device and dtype in other stacks, with their versions of transformers.
        Traces that raised are left out."""
        own = self.subject
        alike = ("backend", "variant", "device", "dtype", "role")
        found = []
        for index, other in self._run.subjects(own.role):
            if index == self._index or any(getattr(own, name) != getattr(other, name) for name in alike):
                continue
            trace = self._run.trace(index, case)
            if trace is not None and trace.raised is None:
                found.append((other, self._version_of(other), trace))
        return found

    @property
    def version(self) -> tuple[int, ...]:
        """The subject's version of transformers."""
        return self._version_of(self.subject)

    def _version_of(self, subject: SubjectRecord) -> tuple[int, ...]:
        text = self._run.manifest.environments.get(subject.environment, {}).get("versions", {}).get("transformers")
        return Version(text).release if text else ()

    @property
    def stated_dtype(self) -> str | None:
        """The checkpoint's own dtype (``FileFacts.dtype``); None if its files were not inspected."""
        facts = self._run.checkpoint.file_facts
        return None if facts is None else facts.dtype

    def distance(self, trace: Trace, tensor: str, case: str) -> tuple[float, float | None] | None:
        """The relative error of a tensor's worst slice against the oracle, and the subject's tolerance. None if the
        two cannot be compared."""
        oracle = self._run.oracle(case)
        if oracle is None or tensor not in oracle.arrays or tensor not in trace.arrays:
            return None
        actual, truth = trace.arrays[tensor].astype(np.float64), oracle.arrays[tensor]
        if actual.shape != truth.shape:
            return None
        tolerance = self.tolerance(tensor)
        return measure(actual, truth, self.scale(tensor, case)).slice, tolerance.slice if tolerance else None

    def _of_the_file(self, case: str) -> Trace:
        trace = self._run.trace(self._run.file_index(self.subject.dtype), case)
        if trace is None:
            raise LookupError(f"{case} was not captured for the weight file")
        return trace

    @property
    def saved(self) -> Trace:
        """The trace that saved the files which the cell's case loads."""
        notes = self.case.notes
        trace = self._run.trace(notes["saver_index"], notes["save"])
        if trace is None:
            raise LookupError(f"{notes['save']}, whose files the case loads, was not captured")
        return trace

    @property
    def settings_before_saving(self) -> list[Mapping[str, Any]]:
        """The generation settings in force for the checkpoint itself, as the subject reads them, and as the saver."""
        traces = [self._run.trace(index, texts.SETTINGS) for index in (self._index, self.case.notes["saver_index"])]
        return [trace.facts["settings"] for trace in traces if trace is not None and trace.raised is None]

    @property
    def read_by_saver(self) -> Mapping[str, Any]:
        """What the version that saved a config reads in the original file (``read``) and in its own (``saved``)."""
        trace = self._run.trace(self.case.notes["saver_index"], "config")
        return {"read": {}, "saved": {}} if trace is None or trace.raised is not None else trace.facts

    @property
    def saver(self) -> str:
        """The class and version that saved the loaded files: ``BartConfig of transformers 5.23.0``."""
        who = self._run.manifest.subjects[self.case.notes["saver_index"]]
        return f"{who.model_class} of transformers {self._transformers(who)}"

    @property
    def saved_by_newer(self) -> bool:
        """Whether the loaded files were saved by a later version of the library."""
        who = self._run.manifest.subjects[self.case.notes["saver_index"]]
        return Version(self._transformers(who)) > Version(self._transformers(self.subject))

    def _transformers(self, subject: SubjectRecord) -> str:
        return self._run.manifest.environments[subject.environment]["versions"]["transformers"]

    def equals(self, case: str) -> bool:
        """Whether every tensor of the cell's case is within tolerance of the oracle's in another case."""
        oracle = self._run.oracle(case)
        if oracle is None:
            return False
        for spec in (spec for spec in self.expected_tensors() if spec.name not in self.case.undefined):
            error, tolerance = self._run.error(self._index, self.case.name, spec, oracle), self.tolerance(spec.name)
            if tolerance is None or not isinstance(error, Measured):
                return False
            if not (error.slice <= tolerance.slice and error.element <= tolerance.element):
                return False
        return True

    def expected_tensors(self, case: str | None = None) -> list[TensorSpec]:
        """The canonical tensors that the subject must return for a case, given its capabilities."""
        lacks = set(self.subject.lacking)
        specs = self._run.specs(case or self.case.name)
        if "hidden_states" in lacks:
            # The output of a class without a head is its last hidden state, which is always returned.
            specs = [spec for spec in specs if spec.kind != "hidden" or spec.name == "decoder.last"]
        if "attentions" in lacks:
            specs = [spec for spec in specs if spec.kind not in ("attention", "cross-attention")]
        if "cross_cache" in lacks:
            specs = [spec for spec in specs if not spec.name.startswith(("decoder.cross_key", "decoder.cross_value"))]
        return specs

    def oracle(self, case: str | None = None) -> Trace:
        """The oracle's trace of the same case, or of another.

        Raises:
            LookupError: the oracle has none; a check with ``needs_oracle`` is not run then.
        """
        trace = self._run.oracle(case or self.case.name)
        if trace is None:
            raise LookupError("the oracle has no trace of this case: set needs_oracle on the check")
        return trace

    def texts(self, case: str | None = None) -> list[texts.Text]:
        """The rows of text that the subject generated, each compared with the oracle."""
        return texts.judged(self._run, self._index, self._named(case))

    def dialects(self, *cases: str, scores: bool = False) -> list[str]:
        """The named dialects that reproduce the subject's text (``parity.judge.generated_text.explaining``)."""
        return texts.explaining(self._run, self._index, *map(self._named, cases or (None,)), scores=scores)

    def settings_held(self) -> dict[str, Any]:
        """The settings in force without arguments, if they differ from the file's
        (``parity.judge.generated_text.overridden_settings``)."""
        return texts.overridden_settings(self._run, self._index, self.case)

    def score_tolerance(self, text: texts.Text) -> float | None:
        """The tolerance of the returned score of a text of the cell's case."""
        return texts.score_tolerance(self._run, self.subject, self.case, text)

    def choice_tolerance(self) -> float | None:
        """The error of the difference of two logits (``parity.judge.generated_text.choice_tolerance``)."""
        return texts.choice_tolerance(self._run, self.subject)

    def choice_threshold(self) -> float:
        """The typical difference of two logits of one position: the error of an arbitrary choice of token."""
        return texts.choice_threshold(self._run)

    def _named(self, case: str | None) -> Case:
        return self._run.cases[case or self.case.name]

    def tolerance(self, tensor: str) -> Tolerance | None:
        return self._run.tolerance(self.subject, tensor)

    def against_oracle(self, *kinds: str, names: tuple[str, ...] = ("",)) -> Iterator[Decided]:
        """Compares every tensor of the case with the oracle, in data-flow order.

        Args:
            kinds: compare only these tensor kinds; empty: all.
            names: compare only tensors whose names start with one of these prefixes.
        """
        found = self._run.errors(self.case.name)
        measured = found.errors[self._index]
        for spec in self.expected_tensors():
            if (kinds and spec.kind not in kinds) or spec.name in self.case.undefined:
                continue
            if not spec.name.startswith(names):
                continue
            if spec.name in found.undefined_by_oracle:
                yield Finding(False, f"the oracle's {spec.name} is not finite", spec.name)
            elif spec.name not in measured:
                yield Finding(False, f"{spec.name} was not returned", spec.name)
            elif isinstance(error := measured[spec.name], str):
                yield Finding(False, f"{spec.name} {error}", spec.name)
            else:
                yield self._compared(spec, error, 1.0, signal=found.signals[spec.name])

    def between(self, actual: str, expected: str, actual_part: Region, expected_part: Region) -> Iterator[Decided]:
        """Compares two outputs of the subject, tensor by tensor.

        Args:
            actual, expected: names of the two cases.
            actual_part, expected_part: the regions to compare in each.
        """
        first, second = self.trace_of(actual), self.trace_of(expected)
        common = {spec.name for spec in self.expected_tensors(expected)}
        for spec in (spec for spec in self.expected_tensors(actual) if spec.name in common):
            if spec.name not in first.arrays or spec.name not in second.arrays:
                yield Finding(False, f"{spec.name} was not returned", spec.name)
                continue
            region, other = actual_part(spec), expected_part(spec)
            if region is None or other is None:
                continue
            ours, theirs = first.arrays[spec.name][region], second.arrays[spec.name][other]
            if ours.shape != theirs.shape:
                yield Finding(False, f"{spec.name} has shape {list(ours.shape)}, not {list(theirs.shape)}", spec.name)
            else:
                yield self.near(spec, ours, theirs, expected, region)

    def near(
        self,
        spec: TensorSpec,
        actual: np.ndarray,
        expected: np.ndarray,
        case: str,
        origin: tuple[slice, ...] = (),
    ) -> Decided:
        """Compares two arrays of the subject, both of a tensor.

        Args:
            case: whose scale of the tensor applies.
            origin: the region that they are of.
        """
        error = measure(actual, expected, self.scale(spec.name, case))
        return self._compared(spec, error, SELF_COMPARISON, origin=origin)

    def assert_depends_on(self, tensor: str, actual: str, expected: str, part: Region) -> Finding:
        """Asserts that a tensor differs between two cases wherever the oracle's does by more than the tolerance.

        A claim of independence is vacuous if the tensor depends on no input at all. Equal inputs give equal bits
        (EVAL01), so any difference is a dependence. If the oracle's tensors differ by less than the tolerance
        everywhere, one difference anywhere is enough.
        """
        spec = next(spec for spec in self.expected_tensors() if spec.name == tensor)

        def difference_of(one: Trace, other: Trace) -> np.ndarray:
            first, second = (trace.arrays[tensor][part(spec)].astype(np.float64) for trace in (one, other))
            return np.abs(first - second).max(axis=-1)

        tolerance, scale = self.tolerance(tensor), self.scale(tensor, expected)
        limit = SELF_COMPARISON * tolerance.element * scale if tolerance else 0.0
        difference = difference_of(self.trace_of(actual), self.trace_of(expected))
        plain = difference_of(self.oracle(actual), self.oracle(expected)) > limit
        still = ~(difference > 0)
        unmoved = np.argwhere(still & plain if plain.any() else still & still.all())
        at = f" at {unmoved[0].tolist()}" if len(unmoved) else ""
        return Finding(not len(unmoved), f"{tensor}{at} does not depend on the changed input", tensor)

    def scale(self, tensor: str, case: str | None = None) -> float:
        """The root mean square of the oracle's tensor in the cell's case, or in another."""
        return self._run.scale(case or self.case.name, tensor)

    def compared(self, spec: TensorSpec, error: Measured) -> Decided:
        """Compares an error against the oracle in the cell's case with its tolerance."""
        signal = self._run.errors(self.case.name).signals[spec.name]
        return self._compared(spec, error, 1.0, signal=signal)

    def _compared(
        self,
        spec: TensorSpec,
        error: Measured,
        factor: float,
        signal: float | None = None,
        origin: tuple[slice, ...] = (),
    ) -> Decided:
        tolerance = self.tolerance(spec.name)
        if tolerance is None:
            return Finding(False, f"{spec.name} has no tolerance: no reference returned finite values", spec.name)
        tolerance = tolerance.times(factor)
        by_slice = error.slice * tolerance.element >= error.element * tolerance.slice
        measure_name = "slice" if by_slice else "element"
        starts = [each.start or 0 for each in origin] + [0] * (len(spec.axes) - len(origin))
        index = _moved(error.slice_at if by_slice else error.element_at, starts)
        over = np.argwhere(~(error.slices <= tolerance.slice)) + np.array(starts[:-1], int)
        worst: dict[str, Any] = {}
        if not self._projected(spec.name):
            worst["index"] = dict(zip(spec.axes, _moved(error.element_at, starts), strict=False))
            worst |= {"actual": error.actual, "expected": error.expected}
        return Comparison(
            tensor=spec.name,
            error=error.slice if by_slice else error.element,
            tolerance=tolerance.slice if by_slice else tolerance.element,
            measure=measure_name,
            at=dict(zip(spec.axes[:-1] if self._projected(spec.name) else spec.axes, index, strict=False)),
            worst=worst,
            first_step=_first_step(spec, over, _moved(error.element_at, starts)),
            slices=error.slices.size,
            slices_over=len(over),
            over_at=tuple(dict(zip(spec.axes, index.tolist(), strict=False)) for index in over[:SHOWN]),
            against_oracle=signal is not None,
            vacuous=signal is not None and tolerance.slice >= signal,
        )

    def _projected(self, tensor: str) -> bool:
        """Whether the trace stores a random projection of the tensor's last axis, whose indices have no meaning."""
        return tensor in self.trace.facts.get("projected", ())


def _moved(index: tuple[int, ...], starts: list[int]) -> tuple[int, ...]:
    """Converts an index into a region to an index into the whole tensor."""
    return tuple(each + start for each, start in zip(index, starts, strict=False))


def _first_step(spec: TensorSpec, over: np.ndarray, largest: tuple[int, ...]) -> int | None:
    """The lowest target position out of tolerance, or that of the largest element; None without positions."""
    if "tgt" not in spec.axes[:-1]:
        return None
    axis = spec.axes.index("tgt")
    return int(over[:, axis].min()) if len(over) else largest[axis]
