"""Whether a subject is asked a case, and whether a claim about its answer is judged: decided here for everyone.

Capture asks this before a case is put to a subject, the judge before a cell is listed, and both ask it of what the
manifest records: what the subject can be asked and why not more (``SubjectRecord``), and what the case needs. What
only shows once a case was answered is no part of it: that a reference had no peer to be measured by, or that nothing
defines the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parity.core.case import ABOUT, Case
from parity.core.records import SubjectRecord

COMPUTING = ("candidate", "noise_floor")
"""Roles that compute in a dtype and on a device which they may lack; the oracle's are those it was chosen for."""
OF_FILES = ("load", *ABOUT)
"""What the files themselves can be asked."""


@dataclass(frozen=True)
class Eligible:
    """The subject is asked the case, and what the claim says of its answer is judged."""


@dataclass(frozen=True)
class Skip:
    """The case is a question to the subject, which cannot be asked it."""

    reason: str


@dataclass(frozen=True)
class NotAsked:
    """The case is no question to the subject: there is no cell."""


Decision = Eligible | Skip | NotAsked


def eligibility(
    subject: SubjectRecord, case: Case, *, requires: Sequence[str] = (), depends_on: Sequence[Case] = ()
) -> Decision:
    """Whether a subject is asked a case.

    Args:
        requires: capabilities that a check needs besides those of the cases.
        depends_on: other cases whose answers the check reads.
    """
    if not _is_question(subject, case):
        return NotAsked()
    if subject.kept and not {case.name, *(each.name for each in depends_on)} <= set(subject.kept):
        return NotAsked()
    needed = [*requires, *case.requires, *(word for each in depends_on for word in each.requires)]
    if subject.role in COMPUTING and case.about == "model":
        needed += [subject.device, subject.dtype]
    missing = dict.fromkeys(word for word in needed if word not in subject.capabilities)
    return Skip(_reason(subject, case, list(missing))) if missing else Eligible()


def _is_question(subject: SubjectRecord, case: Case) -> bool:
    """Whether a case is put to this subject, by its part in the run.

    The file is only loaded and read, the oracle only computes, and a noise floor answers the cases that set tolerances.
    A candidate is asked what its backend is about.
    """
    role = subject.role
    if role not in case.notes.get("roles", (role,)):
        return False
    if not case.is_for(subject.backend, subject.variant, role, subject.about):
        return False
    if (role == "file") != (case.operation in OF_FILES) and role != "candidate":
        return False
    return role != "noise_floor" or bool(case.notes.get("sets_noise_floor"))


def _reason(subject: SubjectRecord, case: Case, missing: Sequence[str]) -> str:
    """Why each of these capabilities is missing; one cause where the backend cannot run, whatever it is asked."""
    why = {**subject.lacking, **case.notes.get("lacking", {})}
    reasons = {word: why.get(word, "not declared") for word in missing}
    cause = reasons.get(subject.device, "")
    if cause and set(reasons.values()) == {cause} and subject.dtype in reasons:
        return cause
    return "; ".join(f"{word}: {reason}" for word, reason in reasons.items())
