"""The oracle may be wrong: where independent libraries agree with each other against it, the report says so."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

from parity.core.records import Verdict
from parity.judge.captured_run import CheckpointRun
from parity.judge.evidence import SELF_COMPARISON
from parity.judge.tolerance import measure


def suspect_the_oracle(run: CheckpointRun, verdicts: list[Verdict]) -> list[Verdict]:
    """Marks failures in which two libraries that share no author give the same number and the oracle another.

    The two references count as one witness, and so do several stacks or variants of one backend.
    """
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    ours = {subject.backend for subject in run.manifest.subjects if subject.reference}
    for place, verdict in enumerate(verdicts):
        independent = verdict.backend not in ours
        if verdict.status in ("fail", "known") and verdict.first_divergence and independent:
            tensor = verdict.first_divergence.tensor
            places[verdict.check, verdict.case, verdict.device, verdict.dtype, tensor].append(place)
    marked = list(verdicts)
    for (_, case, _, _, tensor), members in places.items():
        for one, other in combinations(members, 2):
            first, second = verdicts[one], verdicts[other]
            if first.backend != second.backend and _agree(run, case, tensor, first, second):
                for place, peer in ((one, other), (other, one)):
                    marked[place] = _mark(marked[place], verdicts[peer].backend)
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
