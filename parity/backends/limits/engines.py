"""What each engine does not support, with files that we convert."""

from __future__ import annotations

from parity.backends.capabilities import OPERATIONS, everything
from parity.backends.engines.onnx_files import CLASSES
from parity.backends.limits import Question
from parity.core.subject import DTYPES

EXPORTED = "the exported graph is the whole documented call without labels"


def onnxruntime(question: Question) -> dict[str, str]:
    """By capability, why our own export lacks it."""
    if question.documented not in CLASSES:
        return everything(f"only {' and '.join(CLASSES)} are exported")
    found = {word: EXPORTED for word in OPERATIONS if word != "hidden_states"}
    return found | of_onnx_runtime(question)


def of_onnx_runtime(question: Question) -> dict[str, str]:
    """Dtypes and devices, whatever the files."""
    found = dict.fromkeys((word for word in DTYPES if word != "float32"), "exported in float32")
    if not question.versions.get("onnxruntime-gpu"):
        found["cuda"] = "onnxruntime-gpu, which has the CUDA execution provider, is not installed"
    return found
