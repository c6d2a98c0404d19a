"""Unsupported capabilities of mutant hosts: those of the references, and generation for faults that do not concern
it."""

from __future__ import annotations

from parity.backends.limits import Question, reference
from parity.backends.mutants import MUTANTS, UNCHANGED


def lacking(question: Question) -> dict[str, str]:
    """By capability, why a fault does not run it: each generation case costs follow-up cases of the oracle."""
    fault = question.variant.mutant
    if fault == UNCHANGED or MUTANTS[fault].writes:
        return reference.lacking(question)
    why = "this fault is detectable without generation, so it does not generate"
    return {**reference.lacking(question), "generate": why}
