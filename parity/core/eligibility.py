"""Whether a subject runs a case, and whether a claim about its result is judged. This is the only place that decides
it.

Capture calls this before it plans a task, the judge before it lists a cell. Both pass what the manifest records: the
subject's capabilities and the reasons for missing ones (``SubjectRecord``), and the case's requirements. Conditions
known only after the case ran are not part of it: a reference without a peer to measure it, an undefined result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parity.core.case import COMPONENTS, Case
from parity.core.records import SubjectRecord

COMPUTING = ("candidate", "noise_floor")
"""Roles that may lack the dtype and device of the run; the oracle's are chosen so that it has them."""
OF_FILES = ("load", *COMPONENTS)
"""The operations of the weight file itself."""


@dataclass(frozen=True)
class Eligible:
    """The subject runs the case, and claims about its result are judged."""


@dataclass(frozen=True)
class Skip:
    """The case applies to the subject, but a capability is missing."""

    reason: str


@dataclass(frozen=True)
class NotApplicable:
    """The case does not apply to the subject: there is no cell."""


Decision = Eligible | Skip | NotApplicable


def eligibility(
    subject: SubjectRecord, case: Case, *, requires: Sequence[str] = (), depends_on: Sequence[Case] = ()
) -> Decision:
    """Decides whether a subject runs a case.

    Args:
        requires: capabilities that a check needs besides those of the cases.
        depends_on: other cases whose traces the check reads.
    """
    if not _applies(subject, case):
        return NotApplicable()
    if subject.kept and not {case.name, *(each.name for each in depends_on)} <= set(subject.kept):
        return NotApplicable()
    needed = [*requires, *case.requires, *(word for each in depends_on for word in each.requires)]
    if subject.role in COMPUTING and case.component == "model":
        needed += [subject.device, subject.dtype]
    missing = dict.fromkeys(word for word in needed if word not in subject.capabilities)
    return Skip(_reason(subject, case, list(missing))) if missing else Eligible()


def _applies(subject: SubjectRecord, case: Case) -> bool:
    """Whether a case applies to this subject, by its role in the run.

    The file is only loaded and read, the oracle only computes, and noise floor members run the cases that set
    tolerances. A candidate runs the cases of its backend's component.
    """
    role = subject.role
    if role not in case.notes.get("roles", (role,)):
        return False
    if not case.is_for(subject.backend, subject.variant, role, subject.component):
        return False
    if (role == "file") != (case.operation in OF_FILES) and role != "candidate":
        return False
    return role != "noise_floor" or bool(case.notes.get("sets_noise_floor"))


def _reason(subject: SubjectRecord, case: Case, missing: Sequence[str]) -> str:
    """Why each of these capabilities is missing; a single cause where the backend cannot run at all."""
    why = {**subject.lacking, **case.notes.get("lacking", {})}
    reasons = {word: why.get(word, "not declared") for word in missing}
    cause = reasons.get(subject.device, "")
    if cause and set(reasons.values()) == {cause} and subject.dtype in reasons:
        return cause
    return "; ".join(f"{word}: {reason}" for word, reason in reasons.items())
