"""What each backend can be asked, looked up without importing a framework. ``tests/backends`` proves every line.

What a class has no way to be asked is declared in ``parity.backends.limits``, one module for each adapter. What it
accepts and then gets wrong (transformers 4.57.6 takes a head mask with sdpa attention and ignores it) is a divergence,
and stays a capability so that a check can find it.
"""

from __future__ import annotations

from collections.abc import Mapping

from parity.backends.limits import Question
from parity.backends.registry import class_of, limits_of
from parity.core.backends import DEFAULT_CLASS, Entry, find_entry
from parity.core.subject import DEVICES, DTYPES, Variant
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
    *(f"as_{name}" for name in CLASSES["bart"]),
)
OF_FILES = ("config", "tokenize", "offsets", "serialised_tokenizer", "paired_merges")
"""What the readers of configs and of tokenizers can be asked."""
DOCUMENTED = ("signature", "compose", "modes", "freeze", "plain_load")
OTHER_CLASSES = tuple(word for word in OPERATIONS if word.startswith("as_"))
"""Loading one class's file by another class of the family."""
SAVING = tuple(word for word in OPERATIONS if word.startswith(("save_", "from_")))
HALF = ("bfloat16", "float16")
NEAR_TIES = "in {dtype} near ties between hypotheses are the rule, and no token of a beam search could be proven wrong"
WORDS = (*OPERATIONS, *DTYPES, *DEVICES)


def capabilities(
    backend: str,
    variant: str | Variant,
    versions: Mapping[str, str],
    device: str = "cpu",
    dtype: str = "float32",
    documented: str = DEFAULT_CLASS,
    families: tuple[str, ...] = (),
) -> tuple[list[str], dict[str, str]]:
    """What the backend can be asked, and why each other word of ``words_of`` is lacking.

    Args:
        versions: of the stack's installed distributions, by name; what is not there is not installed.
        device, dtype: what the subject computes on and in. ``beam_search`` depends on the dtype, nothing on the device.
        documented: the class asked for, by its PyTorch name.
        families: of a composition, the model types of its encoder and its decoder.

    Raises:
        KeyError: there is no backend of this name.
    """
    question = Question(backend, find_entry(backend), Variant.parse(str(variant)), versions, documented, families)
    words = words_of(backend)
    missing = cannot_run(backend, versions)
    lacking = dict.fromkeys(WORDS if question.entry.about == "model" else words, missing) if missing else {}
    lacking = lacking or _declared(question)
    if question.entry.about == "model":
        if dtype in HALF:
            lacking.setdefault("beam_search", NEAR_TIES.format(dtype=dtype))
        if documented != "SpeechEncoderDecoderModel":
            lacking.setdefault("freeze", f"{documented} has no feature encoder")
        # The oracle could not say whether the answer is right, whoever gives it.
        lacking.setdefault("other_searches", "of the ways to generate only greedy and beam search are written here")
    return [word for word in words if word not in lacking], lacking


def _declared(question: Question) -> dict[str, str]:
    """What a backend that can run cannot be asked, as its row's ``limits`` or its class declare it."""
    entry = question.entry
    limits = limits_of(entry)
    if limits is not None:
        return dict(limits(question))
    if entry.about != "model":
        return dict(getattr(class_of(entry), "lacking", {}))
    if entry.documented_class not in ("", question.documented):
        return everything(
            f"{question.backend} loads {entry.class_for(question.documented)}, which is no {question.documented}"
        )
    alone = dict.fromkeys(SAVING, "what another library saves is not asked of it")
    alone |= dict.fromkeys((*DOCUMENTED, *OTHER_CLASSES), "the pages document the classes of transformers")
    return alone | dict(getattr(class_of(entry), "lacking", {}))


def everything(reason: str) -> dict[str, str]:
    """A model's every capability lacking, for one reason; none is where there is no reason."""
    return dict.fromkeys(WORDS, reason) if reason else {}


def install_hint(backend: str, versions: Mapping[str, str]) -> str:
    """What to type so that a backend can run which cannot with these versions; "" where nothing of its is missing."""
    entry = find_entry(backend)
    if not cannot_run(backend, versions):
        return ""
    if _has_dropped(entry, versions):
        # Another version of transformers beside today's needs an environment of its own.
        return f"in another environment: pip install {entry.install}; then name its python with --stack"
    return f"pip install {entry.install}" if entry.install else ""


def words_of(backend: str) -> tuple[str, ...]:
    """Everything that a backend can be asked, or can lack for a reason.

    Raises:
        KeyError: there is no backend of this name.
    """
    entry = find_entry(backend)
    if entry.role == "file":
        return (*WORDS, *OF_FILES)
    return {"model": WORDS, "config": OF_FILES[:1], "tokenizer": OF_FILES[1:]}[entry.about]


def cannot_run(backend: str, versions: Mapping[str, str]) -> str:
    """Why a backend cannot run at all: a library is absent, or has dropped its classes; "" where neither is so."""
    entry = find_entry(backend)
    for alternatives in entry.needs:
        if not any(versions.get(name) for name in alternatives):
            return f"{alternatives[0]} is not installed"
    if _has_dropped(entry, versions):
        return f"transformers {versions['transformers']} has no {entry.class_prefix} classes"
    return ""


def _has_dropped(entry: Entry, versions: Mapping[str, str]) -> bool:
    """Whether the installed transformers has no such classes any more."""
    installed = versions.get("transformers")
    return entry.until is not None and bool(installed) and int(installed.split(".")[0]) >= entry.until
