"""Unsupported capabilities that all classes of transformers share."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from parity.backends.capabilities import SAVING
from parity.backends.limits import Question

INPUT_FORMS = "only TensorFlow's classes document all inputs in the first argument"
_AUTO = {"encoder": "AutoModel", "decoder": "AutoModelForCausalLM"}


def no_class(question: Question, documented: str, absent: Collection[str]) -> str:
    """Why a framework has no class of this name; "" where it has.

    Args:
        absent: documented classes that it has no class for, in any release from 4.37 to 4.57.
    """
    return f"{question.library} has no {question.entry.class_for(documented)}" if documented in absent else ""


def no_half(question: Question, without: Mapping[str, Collection[str]]) -> str:
    """Why a composition cannot be made of these halves; "" where it can.

    Args:
        without: by ``encoder`` and ``decoder``, the model types that the framework's auto classes do not support
            (models/auto/modeling_tf_auto.py and modeling_flax_auto.py), in any release from 4.37 to 4.57.
    """
    for half, model_type in zip(_AUTO, question.model_types, strict=False):
        if model_type in without.get(half, ()):
            return f"{question.entry.class_prefix}{_AUTO[half]} of {question.library} has no {model_type} as {half}"
    return ""


def newer(question: Question) -> dict[str, str]:
    """The arguments that ``generate`` of a release does not take."""
    return (
        {"newer_arguments": f"{question.library} has none of min_p, output_logits and stop_strings"}
        if question.is_old
        else {}
    )


def saving(question: Question) -> dict[str, str]:
    """Formats a class cannot save, and files of other frameworks it cannot load."""
    weights = question.entry.weights
    able = () if weights is None else weights.capabilities
    reason = f"{question.backend} of {question.library} has no such format or flag"
    return {word: reason for word in SAVING if word not in able}


def without_parameters(name: str) -> dict[str, str]:
    """Capabilities of the Flax classes alone: of classes that do not hold their parameters."""
    return {"functional_calls": f"{name} takes no parameters in its call"}
