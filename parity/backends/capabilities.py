"""What each backend can be asked, declared without importing a framework. ``tests/backends`` proves every line.

Only what a class has no way to be asked stands here. What it accepts and then gets wrong (transformers 4.57.6 takes a
head mask with sdpa attention and ignores it) is a divergence, and stays a capability so that a check can find it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from parity.backends.registry import BACKENDS, MUTANT_HOSTS, find_entry
from parity.core.model_spec import config_class
from parity.core.subject import Variant
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
    "each_layer",
    *(f"as_{name}" for name in CLASSES["bart"]),
)
OF_FILES = ("config", "tokenize", "offsets", "serialised_tokenizer", "paired_merges")
"""What the readers of configs and of tokenizers can be asked."""
DOCUMENTED = ("signature", "compose", "modes", "freeze", "plain_load")
OTHER_CLASSES = tuple(word for word in OPERATIONS if word.startswith("as_"))
"""Loading one class's file by another class of the family."""
SAVING = tuple(word for word in OPERATIONS if word.startswith(("save_", "from_")))
DTYPES = ("float64", "float32", "bfloat16", "float16")
DEVICES = ("cpu", "cuda")
HALF = ("bfloat16", "float16")
NEAR_TIES = "in {dtype} near ties between hypotheses are the rule, and no token of a beam search could be proven wrong"
WORDS = (*OPERATIONS, *DTYPES, *DEVICES)

BART = "BartForConditionalGeneration"
ABSENT = {
    "hf-tf": ("BartForQuestionAnswering", "BartForCausalLM", "SpeechEncoderDecoderModel"),
    "hf-flax": (),
}
"""Documented classes that a framework has no class for, in any release from 4.37 to 4.57."""
WITHOUT = {
    "hf-tf": {"encoder": ("bert-generation",), "decoder": ("bart", "mbart", "bert-generation")},
    "hf-flax": {"encoder": ("bert-generation", "hubert"), "decoder": ("mbart", "bert-generation")},
}
"""Halves that a framework's compositions cannot have, in any release from 4.37 to 4.57: its auto classes
(models/auto/modeling_tf_auto.py and modeling_flax_auto.py) know no model of that type."""
NO_SDPA = ("bert-generation",)
"""Halves that PyTorch's compositions have in eager attention only (transformers 4.57.6, modeling_utils.py,
``_sdpa_can_dispatch``). In 4.37.2 no composition has it (``PreTrainedModel._supports_sdpa``)."""
_AUTO = {"encoder": "AutoModel", "decoder": "AutoModelForCausalLM"}


def capabilities(
    backend: str,
    variant: str | Variant,
    versions: Mapping[str, str],
    device: str = "cpu",
    dtype: str = "float32",
    documented: str = BART,
    families: tuple[str, ...] = (),
) -> tuple[list[str], dict[str, str]]:
    """What the backend can be asked, and why each other word of ``WORDS`` is lacking.

    Args:
        versions: of the stack's installed distributions, by name; what is not there is not installed.
        device, dtype: what the subject computes on and in. ``beam_search`` depends on the dtype, nothing on the device.
        documented: the class asked for, by its PyTorch name.
        families: of a composition, the model types of its encoder and its decoder.

    Raises:
        KeyError: no backend is called so.
    """
    variant = Variant.parse(str(variant))
    if find_entry(backend).about != "model":
        return _of_files(backend, versions)
    missing = cannot_run(backend, versions) or _no_class(backend, versions, documented)
    missing = missing or _no_half(backend, versions, families) or _no_attention(backend, variant, versions, families)
    lacking = dict.fromkeys(WORDS, missing) if missing else _lacking(backend, variant, versions, documented, families)
    if dtype in HALF:
        lacking.setdefault("beam_search", NEAR_TIES.format(dtype=dtype))
    if documented != "SpeechEncoderDecoderModel":
        lacking.setdefault("freeze", f"{documented} has no feature encoder")
    # The oracle could not say whether the answer is right, whoever gives it.
    lacking.setdefault("other_searches", "of the ways to generate only greedy and beam search are written here")
    return [word for word in words_of(backend) if word not in lacking], lacking


def install_hint(backend: str, versions: Mapping[str, str]) -> str:
    """What to type so that a backend can run which cannot with these versions; "" where nothing of its is missing."""
    entry = find_entry(backend)
    if not cannot_run(backend, versions):
        return ""
    dropped = entry.until is not None and bool(versions.get("transformers")) and _major(versions) >= entry.until
    if dropped:
        # Another version of transformers beside today's needs an environment of its own.
        return f"in another environment: pip install {entry.install}; then name its python with --stack"
    return f"pip install {entry.install}" if entry.install else ""


def words_of(backend: str) -> tuple[str, ...]:
    """Everything that a backend can be asked, or can lack for a reason.

    Raises:
        KeyError: no backend is called so.
    """
    if backend == "file":
        return (*WORDS, *OF_FILES)
    return {"model": WORDS, "config": OF_FILES[:1], "tokenizer": OF_FILES[1:]}[find_entry(backend).about]


def _of_files(backend: str, versions: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """What a reader of configs or of tokenizers can be asked: of that, and of nothing else."""
    missing = cannot_run(backend, versions)
    lacking = dict.fromkeys(words_of(backend), missing) if missing else {}
    if backend == "hf-tokenizer" and not missing and _major(versions) < 5:
        named = f"BartTokenizer of transformers {versions['transformers']}"
        lacking["offsets"] = f"{named} returns no offsets"
        lacking["serialised_tokenizer"] = f"{named} is made of vocab.json and merges.txt, and reads no tokenizer.json"
    reader = versions.get("tokenizers", "")
    if backend == "hf-tokenizer-fast" and [int(part) for part in re.findall(r"\d+", reader)[:2]] < [0, 20] and reader:
        # tokenizers 0.20.0, models/bpe: merges that hold spaces are written as pairs.
        lacking["paired_merges"] = f"tokenizers {reader} reads merges as texts, and tokenizer.json has them as pairs"
    return [word for word in words_of(backend) if word not in lacking], lacking


def library_class(backend: str, documented: str) -> str:
    """The name of the class that a backend loads: ``TFBartModel`` for ``BartModel``, its config or its tokenizer."""
    if backend not in BACKENDS | MUTANT_HOSTS:
        return getattr(_third_party_class(backend), "class_name", backend)
    if backend == "hf-config":
        return config_class(documented)
    if backend in ("hf-tokenizer", "hf-tokenizer-fast"):
        return "BartTokenizerFast" if backend == "hf-tokenizer-fast" else "BartTokenizer"
    return f"{find_entry(backend).class_prefix or ''}{documented}"


def _no_class(backend: str, versions: Mapping[str, str], documented: str) -> str:
    """Why a backend has no such class; "" where it has."""
    if documented in ABSENT.get(backend, ()):
        return f"transformers {versions['transformers']} has no {library_class(backend, documented)}"
    if backend not in BACKENDS | MUTANT_HOSTS and documented != getattr(
        _third_party_class(backend), "documented_class", BART
    ):
        return f"{backend} loads {library_class(backend, documented)}, which is no {documented}"
    return ""


def _no_half(backend: str, versions: Mapping[str, str], families: tuple[str, ...]) -> str:
    """Why a composition cannot be made of these halves; "" where it can."""
    for half, family in zip(_AUTO, families, strict=False):
        if family in WITHOUT.get(backend, {}).get(half, ()):
            auto = f"{find_entry(backend).class_prefix}{_AUTO[half]}"
            return f"{auto} of transformers {versions['transformers']} has no {family} as {half}"
    return ""


def _no_attention(backend: str, variant: Variant, versions: Mapping[str, str], families: tuple[str, ...]) -> str:
    """Why a composition cannot be told to use an attention; "" where it can."""
    sdpa = backend == "hf-torch" and variant.attention == "sdpa"
    if sdpa and families and _is_old(versions):
        return f"no composition of transformers {versions['transformers']} has sdpa attention, and loading it so raises"
    for family in families:
        if sdpa and family in NO_SDPA:
            return (
                f"{family} of transformers {versions['transformers']} has no sdpa attention, and loading it so raises"
            )
    return ""


def cannot_run(backend: str, versions: Mapping[str, str]) -> str:
    """Why a backend cannot run at all: a library is absent, or has dropped its classes; "" where neither is so."""
    entry = find_entry(backend)
    for alternatives in entry.needs:
        if not any(versions.get(name) for name in alternatives):
            return f"{alternatives[0]} is not installed"
    if entry.until is not None and _major(versions) >= entry.until:
        return f"transformers {versions['transformers']} has no {entry.class_prefix} classes"
    return ""


def _lacking(
    backend: str, variant: Variant, versions: Mapping[str, str], documented: str, families: tuple[str, ...]
) -> dict[str, str]:
    if backend == "file":
        return {word: "a weight file computes nothing" for word in OPERATIONS if word != "load"}
    if backend in MUTANT_HOSTS:
        return _reference(variant) | _mutant(variant)
    if find_entry(backend).reference:
        return _reference(variant)
    if backend == "hf-torch":
        return _hf_torch(variant, versions, documented, families) | _saves(backend, versions)
    if backend == "hf-tf":
        return _hf_tf(versions, documented, families) | _saves(backend, versions)
    if backend == "hf-flax":
        return _hf_flax(versions, documented) | _saves(backend, versions)
    alone = dict.fromkeys(SAVING, "what another library saves is not asked of it")
    alone |= dict.fromkeys((*DOCUMENTED, *OTHER_CLASSES), "the pages document the classes of transformers")
    return alone | dict(getattr(_third_party_class(backend), "lacking", {}))


_SAVES = {
    "hf-torch": ("save_safetensors", "save_sharded", "save_bin", "from_tf", "from_flax"),
    "hf-tf": ("save_h5", "save_safetensors", "from_pt"),
    "hf-flax": ("save_msgpack", "save_safetensors", "from_pt"),
}


def _saves(backend: str, versions: Mapping[str, str]) -> dict[str, str]:
    """What a class of the library cannot be told when it saves, and when it loads what another saved."""
    library = f"transformers {versions['transformers']}"
    lacking = {
        word: f"{backend} of {library} has no such form or flag" for word in SAVING if word not in _SAVES[backend]
    }
    if _major(versions) >= 5:
        # modeling_utils.py of 5.23.0: save_pretrained writes safetensors alone, from_pretrained drops both flags.
        lacking |= dict.fromkeys(("from_tf", "from_flax"), f"from_pretrained of {library} drops the flag unread")
        lacking["save_bin"] = f"save_pretrained of {library} writes safetensors only"
    return lacking


def _reference(variant: Variant) -> dict[str, str]:
    lacking = {
        "tuple": "the reference returns one dataclass and has no tuple form",
        "cache_output": "the reference's forward pass returns no cache",
        **dict.fromkeys(SAVING, "the reference writes no files and loads them as they are"),
        **dict.fromkeys((*DOCUMENTED, *OTHER_CLASSES), "no page documents the reference's own classes"),
    }
    if variant.attention == "sdpa":
        lacking["attentions"] = "the framework's fused attention returns no weights"
    return lacking


def _mutant(variant: Variant) -> dict[str, str]:
    """Text is asked of faults that are about text: each costs the oracle cases of its own."""
    from parity.backends.mutants import MUTANTS, UNCHANGED

    if variant.mutant == UNCHANGED or MUTANTS[variant.mutant].writes:
        return {}
    return {"generate": "this fault shows before anything is generated, and is not asked to"}


def _hf_torch(
    variant: Variant, versions: Mapping[str, str], documented: str, families: tuple[str, ...]
) -> dict[str, str]:
    library, lacking = f"transformers {versions['transformers']}", {}
    if _is_old(versions) and families[1:] == ("gpt2",):
        lacking["cross_cache"] = f"GPT2LMHeadModel of {library} keeps no keys and values of the source"
    if _is_old(versions) and documented == "BartModel":
        lacking["reorder_cache"] = f"BartModel of {library} has no _reorder_cache"
    if variant.attention == "sdpa":
        lacking["attentions"] = f"sdpa attention in {library} has no weights to return"
        if _major(versions) < 5 and _minor(versions) < 53:
            # Asked for them, it computes everything eagerly instead (4.37.2, modeling_bart.py, BartSdpaAttention).
            lacking["attentions"] += "; asked for them it falls back to eager, so that sdpa would go untested"
    if _major(versions) >= 5:
        lacking["head_masks"] = f"{documented} of {library} takes no head masks"
    return lacking


def _hf_tf(versions: Mapping[str, str], documented: str, families: tuple[str, ...]) -> dict[str, str]:
    name = f"TF{documented} of transformers {versions['transformers']}"
    reason = f"TF classes of transformers {versions['transformers']} are built in float32 and take no dtype"
    kept = f"TFGPT2LMHeadModel of transformers {versions['transformers']} keeps no keys and values of the source"
    return {
        **({"cross_cache": kept} if families[1:] == ("gpt2",) else {}),
        **{dtype: reason for dtype in DTYPES if dtype != "float32"},
        "reorder_cache": f"{name} reorders its cache inside of generate only",
        "modes": f"{name} has no mode of its own: its call takes training",
        "plain_load": f"{name} takes no dtype, attention or device: every load of it is a plain one",
        **{f"as_{other}": _no_class("hf-tf", versions, other) for other in ABSENT["hf-tf"] if other in CLASSES["bart"]},
        "cuda": "no stack brings a TensorFlow built for CUDA",
    }


def _hf_flax(versions: Mapping[str, str], documented: str) -> dict[str, str]:
    name = f"Flax{documented} of transformers {versions['transformers']}"
    lacking = {
        "labels": f"{name} takes no labels",
        "head_masks": f"{name} takes no head masks",
        "cache_output": f"{name} returns no cache from a whole call",
        "float64": f"{name} documents float32, float16 and bfloat16 only",
        "cross_cache": f"{name} keeps no keys and values of the source",
        "reorder_cache": f"{name} reorders its cache inside of generate only",
        "modes": f"{name} has no mode of its own: its call takes train",
        "plain_load": f"{name} computes in float32 without arguments, as it is asked to with them",
    }
    if _minor(versions) > 37:
        # 4.37.2 has no such processor and ignores the argument, which is a divergence; measured with JAX 0.10.2.
        lacking["no_repeat_ngram"] = f"{name} raises NotImplementedError (jax.experimental.sparse, bcoo_gather)"
    return lacking


def _third_party_class(backend: str) -> Any:
    import importlib

    entry = find_entry(backend)
    return getattr(importlib.import_module(entry.module), entry.attribute)


def _is_old(versions: Mapping[str, str]) -> bool:
    """Whether it is of the line that the documents describe, or of one before."""
    return (_major(versions), _minor(versions)) <= (4, 37)


def _major(versions: Mapping[str, str]) -> int:
    return int(versions["transformers"].split(".")[0])


def _minor(versions: Mapping[str, str]) -> int:
    return int(versions["transformers"].split(".")[1])
