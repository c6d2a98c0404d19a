"""What the references and the reader of weight files do not support."""

from __future__ import annotations

from parity.backends.capabilities import DOCUMENTED, OPERATIONS, OTHER_CLASSES, SAVING
from parity.backends.limits import Question


def lacking(question: Question) -> dict[str, str]:
    """By capability, why a reference lacks it."""
    found = {
        "tuple": "the reference returns one dataclass and has no tuple form",
        "training_mode": "the reference has no dropout",
        "cache_output": "the reference's forward pass returns no cache",
        **dict.fromkeys(SAVING, "the reference writes no files and loads them as they are"),
        **dict.fromkeys((*DOCUMENTED, *OTHER_CLASSES), "no page documents the reference's own classes"),
    }
    if question.variant.attention == "sdpa":
        found["attentions"] = "the framework's fused attention returns no weights"
    return found


def weight_file(question: Question) -> dict[str, str]:
    """By capability, why a weight file lacks it."""
    return {word: "a weight file computes nothing" for word in OPERATIONS if word != "load"}
