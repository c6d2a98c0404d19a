"""Builds the verdict of a cell from the results of its check: reason, first divergence, command to reproduce it."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import Any, cast

from parity.core.backends import ENGINES, OBJECT, find_entry, library_backends
from parity.core.case import Case
from parity.core.display import at_index
from parity.core.records import Divergence, Status, SubjectRecord, Verdict, VerdictEvidence
from parity.core.subject import Variant
from parity.judge.captured_run import CheckpointRun
from parity.judge.checks import Check
from parity.judge.evidence import Evidence
from parity.judge.results import Comparison, Decided, Finding, Result, Undecided
from parity.judge.tolerance import Measured


@dataclass(frozen=True)
class Cell:
    """One check of one subject on one case."""

    run: CheckpointRun
    check: Check
    case: Case
    index: int
    subject: SubjectRecord


def from_results(cell: Cell, results: list[Result], excused: frozenset[str] = frozenset()) -> Verdict:
    """The verdict: ``pass``, ``fail``, or ``error`` if nothing was compared or the comparison was vacuous.

    Args:
        excused: tensors that cannot be the first divergence.
    """
    if not results:
        return make_verdict(cell, "error", "vacuous: the check compared nothing")
    failed = [result for result in results if not isinstance(result, Undecided) and not result.ok]
    compared = [result for result in results if isinstance(result, Comparison)]
    nearest = max(compared, key=lambda result: result.ratio, default=None)
    numbers = {"error": _number(nearest.error), "tolerance": _number(nearest.tolerance)} if nearest else {}
    if failed:
        divergence = _first_divergence(cell, failed[0], compared, excused)
        evidence = _evidence(failed, nearest) | _layer_ratio(cell, divergence)
        return make_verdict(cell, "fail", _reason(failed), first_divergence=divergence, **numbers, **evidence)
    undecided = next((result for result in results if isinstance(result, Undecided)), None)
    if undecided:
        return make_verdict(cell, "error", undecided.what, **numbers)
    vacuous = next((result for result in compared if result.vacuous), None)
    if vacuous:
        reason = f"vacuous: the tolerance of {vacuous.tensor} is as large as the error of a wrong output"
        return make_verdict(cell, "error", reason, **numbers)
    return make_verdict(cell, "pass", "", **numbers, compared=len(results), **_seen(results))


def without_verdict(cell: Cell, results: list[Result]) -> Verdict:
    """Of a subject without verdicts: the largest error, and the reason why it is no pass and no failure.

    Facts that hold whatever the numbers are, such as a missing tensor or a wrong shape, remain failures.
    """
    compared = [result for result in results if isinstance(result, Comparison)]
    wrong = [result for result in results if isinstance(result, Finding) and not result.ok]
    if wrong and not compared and not any("word" in result.evidence for result in wrong):
        return from_results(cell, results)
    nearest = max(compared, key=lambda result: result.ratio, default=None)
    numbers: dict[str, Any] = {}
    if nearest:
        numbers = {
            "error": _number(nearest.error),
            "tolerance": _number(nearest.tolerance),
            "tensors": [nearest.tensor],
        }
    return make_verdict(cell, "skip", cell.subject.unjudged, **numbers)


def _seen(results: list[Result]) -> dict[str, Any]:
    """Details of a pass: choices that were ties, and the instances that exercised the claim."""
    details = [result.evidence for result in results if not isinstance(result, Undecided)]
    flips = [evidence for evidence in details if evidence.get("word") == "tie-flip"]
    exercised = [r.exercised for r in results if isinstance(r, Finding) and r.exercised is not None]
    seen: dict[str, Any] = {"tie_flips": flips} if flips else {}
    if any(evidence.get("raises") for evidence in details):
        seen["raises"] = [evidence["raises"] for evidence in details if evidence.get("raises")]
    return {**seen, "exercised": sum(exercised), "looked_at": len(exercised)} if exercised else seen


def _reason(failed: list[Decided]) -> str:
    first = failed[0]
    steps = [result.first_step for result in failed if isinstance(result, Comparison) and result.first_step is not None]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    if first.what or isinstance(first, Finding):
        return first.what + more
    more += f"; first wrong step: {min(steps)}" if steps else ""
    against = "from the oracle" if first.against_oracle else "from the backend's other output"
    where = at_index(first.at)
    if not math.isfinite(first.error):
        return f"{first.tensor}{where} is not finite{_oracle_value(first)}{more}"
    return f"{first.tensor}{where} is {first.ratio:.3g} × tolerance {against}{more}"


def _oracle_value(comparison: Comparison) -> str:
    """The oracle's value of a non-finite element, as text."""
    expected = comparison.worst.get("expected")
    known = isinstance(expected, float) and math.isfinite(expected)
    return f" where the oracle has {expected:+.6g}" if known and comparison.against_oracle else ""


def _evidence(failed: list[Decided], nearest: Comparison | None) -> dict[str, Any]:
    named = list(dict.fromkeys(result.tensor for result in failed if result.tensor))
    evidence: dict[str, Any] = {"tensors": named[:20], "failed": len(failed)}
    if nearest is not None and not nearest.ok:
        worst = {name: _number(value) if isinstance(value, float) else value for name, value in nearest.worst.items()}
        evidence["worst"] = {"tensor": nearest.tensor, "measure": nearest.measure, "at": nearest.at, **worst}
        evidence["slices_over"], evidence["slices"] = nearest.slices_over, nearest.slices
    steps = [result.first_step for result in failed if isinstance(result, Comparison) and result.first_step is not None]
    if steps:
        evidence["first_step"] = min(steps)
    return evidence | failed[0].evidence


def _first_divergence(
    cell: Cell, first: Decided, compared: list[Comparison], excused: frozenset[str]
) -> Divergence | None:
    """The first tensor out of tolerance in data-flow order, among all tensors of the pass except the excused ones."""
    if isinstance(first, Comparison) and first.against_oracle:
        everything = list(Evidence(cell.run, cell.index, cell.subject, cell.case).against_oracle())
        # A comparison that was repeated without its excused slices replaces the original; excused tensors are removed.
        repeated: dict[str, Decided] = {result.tensor: result for result in compared}
        everything = [
            repeated.get(result.tensor or "", result) for result in everything if result.tensor not in excused
        ]
        first = next((result for result in everything if not result.ok), first)
        compared = [result for result in everything if isinstance(result, Comparison)]
    if first.tensor is None:
        return None
    if isinstance(first, Finding):
        return Divergence(tensor=first.tensor, at=first.evidence.get("at", {}))
    ratios = {result.tensor: result.ratio for result in compared}
    specs = {spec.name: spec for spec in cell.run.specs(cell.case.name)}
    inputs = [ratios[name] for name in specs[first.tensor].inputs if name in ratios] if first.tensor in specs else []
    return Divergence(
        tensor=first.tensor,
        at=first.at,
        error=_number(first.error),
        tolerance=_number(first.tolerance),
        inputs_within=_number(max(inputs)) if inputs else None,
    )


def _layer_ratio(cell: Cell, divergence: Divergence | None) -> dict[str, Any]:
    """With ``--layerwise``: the error of the first divergent layer if its input is the oracle's."""
    layers = cell.run.cases.get("each-layer")
    if layers is None or divergence is None or divergence.error is None or ".hidden." not in divergence.tensor:
        return {}
    if cell.run.oracle(layers.name) is None:
        return {}
    measured = cell.run.errors(layers.name).errors.get(cell.index, {}).get(divergence.tensor)
    tolerance = cell.run.tolerance(cell.subject, divergence.tensor)
    if not isinstance(measured, Measured) or tolerance is None:
        return {}
    return {"layer_ratio": _number(max(measured.slice / tolerance.slice, measured.element / tolerance.element))}


def _number(value: float) -> float | None:
    """The value, or None: JSON has neither infinity nor NaN."""
    return value if math.isfinite(value) else None


def make_verdict(cell: Cell, status: Status, reason: str, **details: Any) -> Verdict:
    """A verdict of this cell. Details without a field of their own become evidence."""
    fields = {name: details.pop(name) for name in ("error", "tolerance", "first_divergence") if name in details}
    subject, checkpoint = cell.subject, cell.run.checkpoint
    if status in ("fail", "error"):
        details["reproduce"] = _command(cell)
    return Verdict(
        check=cell.check.id,
        claim=cell.check.claim,
        checkpoint=checkpoint.name,
        model_class=subject.model_class,
        case=cell.case.name,
        backend=subject.backend,
        variant=subject.variant,
        stack=subject.stack,
        device=subject.device,
        dtype=subject.dtype,
        status=status,
        reason=reason,
        evidence=cast("VerdictEvidence", details),  # a check may add keys of its own
        **fields,
    )


def _command(cell: Cell) -> str:
    """The shell command that reproduces this cell, with as few other cells as possible."""
    subject, options = cell.subject, cell.run.manifest.options
    variant = Variant.parse(subject.variant)
    if variant.mutant:
        library = ["--library", subject.derives_from] if subject.derives_from else []
        return shlex.join(["parity", "selftest", *library, variant.mutant])
    # The weight file is judged in every audit; with a config backend nothing else is computed.
    backend = library_backends("config")[0] if subject.role == "file" else subject.backend
    if subject.user_model == OBJECT:
        return f"parity.check(model, {cell.run.checkpoint.path!r}, checks=[{cell.check.id!r}])"
    words = ["parity", "audit", options.get("original", cell.run.checkpoint.path)]
    words += ["--model", subject.user_model] if subject.user_model else []
    if options.get("quantised") and subject.role == "candidate":
        engine = next((name for name in ENGINES if any(s.backend == name for s in cell.run.manifest.subjects)), backend)
        words += ["--backend", ",".join(dict.fromkeys([engine, *([] if subject.unjudged else [backend])]))]
        words += ["--quantised", str(options["quantised"])]
    else:
        words += [] if subject.user_model else ["--backend", _with_variant(backend, variant.attention)]
    words += ["--converted", options["converted"]] if options.get("converted") and backend in ENGINES else []
    words += ["--check", cell.check.id]
    for each in options.get("references") or ():
        words += ["--reference", each]
    if subject.kept:
        words += ["--golden", subject.stack.partition(" ")[0]]
    words += [word for stack in _stacks(cell) for word in ("--stack", stack)]
    if (saver := _saver(cell)) is not None:
        writes = _with_variant(saver.backend, Variant.parse(saver.variant).attention)
        words += ["--backend", writes] if writes not in words else []
    if subject.device != "cpu":
        words += ["--device", subject.device]
    if subject.dtype != "float32":
        words += ["--dtype", subject.dtype]
    words += ["--cases", options["case_set"]] if options.get("case_set", "standard") != "standard" else []
    words += ["--layerwise"] if "each-layer" in cell.run.cases else []
    for name, option in (("model_class", "--class"), ("inputs", "--inputs"), ("known_issues", "--known-issues")):
        if options.get(name):
            words += [option, str(options[name])]
    for name, option in (("time_limit", "--time-limit"), ("save_limit", "--save-limit")):
        if name in options:
            # null means no limit: JSON has no infinity.
            words += [option, f"{options[name]:g}" if isinstance(options[name], int | float) else "inf"]
    return shlex.join(words)


def _with_variant(backend: str, attention: str) -> str:
    """``hf-torch/eager``; ``hf-tf``, which has no other variant, so that its name selects nothing else."""
    try:
        variants = find_entry(backend).variants
    except KeyError:  # a third party's backend that is not installed here
        variants = ()
    return f"{backend}/{attention}" if attention != "eager" or len(variants) > 1 else backend


def _saver(cell: Cell) -> SubjectRecord | None:
    """The subject that saved the files that the cell loads, which has to run too; None for other cells."""
    index = cell.case.notes.get("saver_index")
    return None if index is None else cell.run.manifest.subjects[index]


def _stacks(cell: Cell) -> list[str]:
    """The stacks that a cell needs besides ``main``, by name or with their interpreter."""
    found = []
    for each in (cell.subject, _saver(cell)):
        if each is None or each.kept or each.stack == "main":
            continue
        interpreter = cell.run.manifest.environments[each.environment].get("interpreter")
        found.append(f"{each.stack}={interpreter}" if interpreter else each.stack)
    return list(dict.fromkeys(found))
