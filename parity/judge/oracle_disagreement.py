"""Detects a possibly wrong oracle: independent libraries that agree with each other and disagree with it."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

from parity.core.records import Verdict
from parity.judge.captured_run import CheckpointRun
from parity.judge.evidence import SELF_COMPARISON
from parity.judge.tolerance import measure


def flag_oracle(run: CheckpointRun, verdicts: list[Verdict]) -> list[Verdict]:
    """Flags failures in which two independent libraries agree within tolerance and the oracle differs.

    The references are not independent of the oracle, and stacks or variants of one backend count once.
    """
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    ours = {subject.backend for subject in run.manifest.subjects if subject.reference}
    for index, verdict in enumerate(verdicts):
        independent = verdict.backend not in ours
        if verdict.status in ("fail", "known") and verdict.first_divergence and independent:
            tensor = verdict.first_divergence.tensor
            groups[verdict.check, verdict.case, verdict.device, verdict.dtype, tensor].append(index)
    marked = list(verdicts)
    for (_, case, _, _, tensor), members in groups.items():
        for one, other in combinations(members, 2):
            first, second = verdicts[one], verdicts[other]
            if first.backend != second.backend and _agree(run, case, tensor, first, second):
                for index, peer in ((one, other), (other, one)):
                    marked[index] = _mark(marked[index], verdicts[peer].backend)
    return marked


def _agree(run: CheckpointRun, case: str, tensor: str, one: Verdict, other: Verdict) -> bool:
    found = []
    for verdict in (one, other):
        index, subject = next(
            (index, subject)
            for index, subject in run.subjects("candidate")
            if (subject.backend, subject.variant, subject.stack, subject.device, subject.dtype)
            == (verdict.backend, verdict.variant, verdict.stack, verdict.device, verdict.dtype)
        )
        trace = run.trace(index, case)
        if trace is None or tensor not in trace.arrays:
            return False
        found.append(trace.arrays[tensor])
    tolerance = run.tolerance(subject, tensor)
    if tolerance is None or found[0].shape != found[1].shape:
        return False
    return measure(*found).slice <= SELF_COMPARISON * tolerance.slice


def _mark(verdict: Verdict, peer: str) -> Verdict:
    suspected = {*verdict.evidence.get("oracle_suspected", []), peer}
    evidence = {**verdict.evidence, "oracle_suspected": sorted(suspected)}
    return verdict.model_copy(update={"evidence": evidence})
