"""The capabilities of each backend, determined without importing a framework. ``tests/backends`` tests every entry.

What a class does not support is declared in ``parity.backends.limits``, one module for each adapter. What it accepts
and computes wrongly (transformers 4.57.6 accepts a head mask with sdpa attention and ignores it) is a divergence, and
remains a capability so that a check can find it.
"""

from __future__ import annotations

from collections.abc import Mapping

from parity.backends.limits import Question
from parity.backends.registry import class_of, limits_of
from parity.core.backends import DEFAULT_CLASS, Entry, find_entry
from parity.core.subject import DEVICES, DTYPES, HALF, Variant
from reference.config.classes import CLASSES

OPERATIONS = (
    "load",
    "labels",
    "hidden_states",
    "attentions",
    "head_masks",
    "default_decoder_inputs",
    "encode_decode",
    "tuple",
    "cache_output",
    "gradients",
    "decode_steps",
    "cross_cache",
    "reorder_cache",
    "generate",
    "beam_search",
    "no_repeat_ngram",
    "forced_end",
    "further_settings",
    "generation_settings",
    "other_searches",
    "save_safetensors",
    "save_sharded",
    "save_bin",
    "save_h5",
    "save_msgpack",
    "from_pt",
    "from_tf",
    "from_flax",
    "signature",
    "compose",
    "modes",
    "freeze",
    "plain_load",
    "layerwise",
    "empty_source",
    "embedded",
    "uncached",
    "output_requests",
    "input_forms",
    "sampling",
    "sampling_scores",
    "newer_arguments",
    "call_forms",
    "logits_processors",
    "generated_states",
    "training_mode",
    "encoder_forms",
    "functional_calls",
    "positions",
    *(f"as_{name}" for name in CLASSES["bart"]),
)
OF_FILES = ("config", "tokenize", "offsets", "serialised_tokenizer", "paired_merges")
"""Capabilities of the readers of configs and tokenizers."""
DOCUMENTED = ("signature", "compose", "modes", "freeze", "plain_load")
OTHER_CLASSES = tuple(word for word in OPERATIONS if word.startswith("as_"))
"""Loading one class's file by another class of the same architecture."""
OTHER_CALLS = (
    "embedded",
    "uncached",
    "output_requests",
    "input_forms",
    "encoder_forms",
    "functional_calls",
    "positions",
    "sampling",
    "sampling_scores",
    "newer_arguments",
    "call_forms",
    "logits_processors",
    "generated_states",
    "training_mode",
)
"""The whole call with embeddings in place of tokens, without a cache, with each ``output_*`` argument alone, with all
inputs in its first argument, with ``encoder_outputs`` in each form, with given parameters and transformed, and with
given positions; sampling, and the scores drawn from; arguments of ``generate`` that 4.37 does not take; other forms of
it, among them a processor of the user's, and returned states; and the call in training mode."""
SAVING = tuple(word for word in OPERATIONS if word.startswith(("save_", "from_")))
INPUTS = ("empty_source",)
"""Capabilities that are no operation of their own, but accept a kind of input."""
NEAR_TIES = "in {dtype} hypotheses are usually near ties, so that no token of a beam search can be shown to be wrong"
WORDS = (*OPERATIONS, *DTYPES, *DEVICES)


def capabilities(
    backend: str,
    variant: str | Variant,
    versions: Mapping[str, str],
    device: str = "cpu",
    dtype: str = "float32",
    documented: str = DEFAULT_CLASS,
    model_types: tuple[str, ...] = (),
) -> tuple[list[str], dict[str, str]]:
    """The backend's capabilities, and the reason for each other name of ``words_of``.

    Args:
        versions: versions of the stack's installed distributions, by name.
        device, dtype: of the subject. ``beam_search`` depends on the dtype, nothing on the device.
        documented: the documented class, by its PyTorch name.
        model_types: of a composition, the model types of its encoder and its decoder.

    Raises:
        KeyError: there is no backend of this name.
    """
    question = Question(backend, find_entry(backend), Variant.parse(str(variant)), versions, documented, model_types)
    words = words_of(backend)
    missing = cannot_run(backend, versions)
    lacking = dict.fromkeys(WORDS if question.entry.component == "model" else words, missing) if missing else {}
    lacking = lacking or _declared(question)
    if question.entry.component == "model":
        if dtype in HALF:
            lacking.setdefault("beam_search", NEAR_TIES.format(dtype=dtype))
        if documented != "SpeechEncoderDecoderModel":
            lacking.setdefault("freeze", f"{documented} has no feature encoder")
        # The oracle could not decide whether the result is correct.
        lacking.setdefault("other_searches", "only greedy and beam search are implemented here")
    return [word for word in words if word not in lacking], lacking


def _declared(question: Question) -> dict[str, str]:
    """What a backend that can run does not support, as its row's ``limits`` or its class declares."""
    entry = question.entry
    if entry.lacking is not None:
        return dict(entry.lacking)
    limits = limits_of(entry)
    if limits is not None:
        return dict(limits(question))
    if entry.component != "model":
        return dict(getattr(class_of(entry), "lacking", {}))
    if entry.documented_class not in ("", question.documented):
        return everything(f"{question.backend} loads {entry.class_for(question.documented)}, not {question.documented}")
    alone = dict.fromkeys(SAVING, "loading other libraries' saved files is not tested for this backend")
    alone |= dict.fromkeys((*DOCUMENTED, *OTHER_CLASSES), "the documentation describes the classes of transformers")
    alone |= dict.fromkeys(OTHER_CALLS, "its method is not tested for this backend")
    return alone | dict(getattr(class_of(entry), "lacking", {}))


def everything(reason: str) -> dict[str, str]:
    """All capabilities of a model with one reason; empty if there is no reason."""
    return dict.fromkeys(WORDS, reason) if reason else {}


def install_hint(backend: str, versions: Mapping[str, str]) -> str:
    """The install command for a backend that cannot run with these versions; "" where nothing is missing."""
    entry = find_entry(backend)
    if not cannot_run(backend, versions):
        return ""
    if _has_dropped(entry, versions):
        # Another version of transformers needs a separate environment.
        return f"in another environment: pip install {entry.install}; then name its python with --stack"
    return f"pip install {entry.install}" if entry.install else ""


def words_of(backend: str) -> tuple[str, ...]:
    """All capabilities that a backend can have or lack.

    Raises:
        KeyError: there is no backend of this name.
    """
    entry = find_entry(backend)
    if entry.role == "file":
        return (*WORDS, *OF_FILES)
    return {"model": WORDS, "config": OF_FILES[:1], "tokenizer": OF_FILES[1:]}[entry.component]


def cannot_run(backend: str, versions: Mapping[str, str]) -> str:
    """Why a backend cannot run at all: a library is missing, or has dropped its classes; "" where it can run."""
    entry = find_entry(backend)
    for alternatives in entry.needs:
        if not any(versions.get(name) for name in alternatives):
            return f"{alternatives[0]} is not installed"
    if _has_dropped(entry, versions):
        return f"transformers {versions['transformers']} has no {entry.class_prefix} classes"
    return ""


def _has_dropped(entry: Entry, versions: Mapping[str, str]) -> bool:
    """Whether the installed transformers has dropped these classes."""
    installed = versions.get("transformers")
    return entry.until is not None and bool(installed) and int(installed.split(".")[0]) >= entry.until
