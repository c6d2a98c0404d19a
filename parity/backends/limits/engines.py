"""What each engine does not support, with files that we convert."""

from __future__ import annotations

from dataclasses import replace

from parity.backends.capabilities import INPUTS, OPERATIONS, everything
from parity.backends.engines.onnx_files import CLASSES, MERGED, WITH_PAST
from parity.backends.limits import Question, reference
from parity.backends.registry import limits_of
from parity.core.backends import find_entry
from parity.core.subject import DTYPES

EXPORTED = "the exported graph takes no labels and returns logits and hidden states alone"
PARTS = "the graphs of optimum-onnx return logits and the cache alone, and take tokens and the mask of the source"
FLOAT32 = dict.fromkeys((word for word in DTYPES if word != "float32"), "the graphs compute in float32")


def onnxruntime(question: Question) -> dict[str, str]:
    """By capability, why the files lack it: our own export, or the graphs of optimum-onnx."""
    layout = question.entry.setup.get("layout", "")
    found = _of_parts(question, layout) if layout else _exported(question)
    one_graph = layout == "" and "quantised" not in question.entry.setup
    found |= {word: why for word, why in FLOAT32.items() if not (one_graph and word == "float16")}
    cuda = "onnxruntime-gpu, which has the CUDA execution provider, is not installed"
    return found | ({} if question.versions.get("onnxruntime-gpu") else {"cuda": cuda})


def openvino(question: Question) -> dict[str, str]:
    """By capability, why our export lacks it."""
    return _exported(question) | FLOAT32 | {"cuda": "OpenVINO has no CUDA device"}


def _exported(question: Question) -> dict[str, str]:
    if question.documented not in CLASSES:
        return everything(f"only {' and '.join(CLASSES)} are exported, not {question.documented}")
    return {word: EXPORTED for word in OPERATIONS if word not in ("hidden_states", *INPUTS)}


def _of_parts(question: Question, layout: str) -> dict[str, str]:
    if question.documented != CLASSES[0]:
        return everything(f"graphs of encoder and decoder are run as {CLASSES[0]} only")
    offered = {"encode_decode", *INPUTS}
    found: dict[str, str] = {}
    searches = ("generate", "beam_search", "no_repeat_ngram", "forced_end")
    if layout.endswith("+past"):
        offered |= {"decode_steps", "cross_cache"}
    else:
        found |= dict.fromkeys(("decode_steps", "cross_cache"), f"there is neither {WITH_PAST} nor {MERGED}")
    if question.versions.get("optimum-onnx"):
        offered |= {*searches}
    else:
        found |= dict.fromkeys(searches, "optimum-onnx, which generates text with these graphs, is not installed")
    return dict.fromkeys((word for word in OPERATIONS if word not in offered), PARTS) | found


def original_weights(question: Question) -> dict[str, str]:
    """What the engine does not support, for the reference that is run beside it with the original weights."""
    engine = question.entry.setup["engine"]
    entry = find_entry(engine)
    theirs = limits_of(entry)(replace(question, backend=engine, entry=entry))
    not_offered = dict.fromkeys(theirs, f"{engine} does not offer it")
    return {"load": "its parameters are those of the original checkpoint"} | not_offered | reference.lacking(question)
