"""What the hosts of mutants cannot be asked: what the references cannot, and text of faults that are not about text."""

from __future__ import annotations

from parity.backends.limits import Question, reference
from parity.backends.mutants import MUTANTS, UNCHANGED


def lacking(question: Question) -> dict[str, str]:
    """By capability, why a fault is not asked for it: each text costs the oracle cases of its own."""
    fault = question.variant.mutant
    if fault == UNCHANGED or MUTANTS[fault].writes:
        return reference.lacking(question)
    why = "this fault shows before anything is generated, and is not asked to"
    return {**reference.lacking(question), "generate": why}
