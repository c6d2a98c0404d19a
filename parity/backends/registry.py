"""Which implementations there are. Importing this imports no framework; ``get_backend`` imports one adapter.

A third party adds one with an entry point of the group ``encdec_parity.backends`` whose value is ``module:Class``; the
module imports its framework inside functions, and the class may carry ``lacking`` (capability -> why), ``class_name``
(the model class it loads) and ``depends_on`` (names of the distributions that its answers depend on, such as
``("torch", "my-kernels")``; an empty tuple: none besides its own). Only where it says ``depends_on`` are its answers
found again in the cache, and only under the same versions of these; otherwise it is run anew each time.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from parity.backends.protocol import Backend, LoadReport, Model

__all__ = [
    "BACKENDS",
    "MUTANT_HOSTS",
    "Backend",
    "Entry",
    "LoadReport",
    "Model",
    "SourceRoot",
    "find_entry",
    "get_backend",
]

ENTRY_POINTS = "encdec_parity.backends"


@dataclass(frozen=True)
class SourceRoot:
    """Part of a package whose source decides what is computed: a trace of other source is another trace."""

    package: str
    patterns: tuple[str, ...] = ("**/*.py",)
    """Glob patterns relative to the package's folder."""


@dataclass(frozen=True)
class Entry:
    """Where a backend is, and what its answers depend on."""

    module: str
    attribute: str
    distributions: tuple[str, ...]
    """Distributions whose versions belong to a trace's key; one that is not installed is simply absent."""
    sources: tuple[SourceRoot, ...] = ()
    """Of others' packages, and of ours what is named in a text; what of ours is imported is followed by itself
    (``parity.capture.sources``)."""
    variants: tuple[str, ...] = ("eager",)
    """Attentions it can be told to use."""
    about: str = "model"
    """What it loads of a checkpoint: its ``model``, ``config`` or ``tokenizer``."""
    cached: bool = True
    """Whether what its answers depend on is known, so that one may be found again."""
    framework: str = ""
    """What it computes with: ``torch``, ``tensorflow`` or ``jax``; empty where it computes nothing, or does not say."""
    needs: tuple[tuple[str, ...], ...] = ()
    """Without one distribution of each of these it cannot run."""
    install: str = ""
    """What ``pip install`` is given where one is missing."""
    class_prefix: str | None = None
    """Of a library's model classes: ``TF`` for ``TFBartModel``, empty for PyTorch's; None of any other backend."""
    until: int | None = None
    """The first major version of transformers without these classes."""
    reference: bool = False
    """Whether it is one of the two implementations of our own, each the other's peer and never its own."""
    room_ahead: bool = False
    """Whether its cache has room for all tokens to come, instead of growing by those that are fed."""


_LIBRARY = SourceRoot(
    "transformers",
    (
        "*.py",
        "generation/**/*.py",
        "integrations/**/*.py",
        "loss/**/*.py",
        "utils/**/*.py",
        "models/auto/*.py",
        *(
            f"models/{family}/*.py"
            for family in (
                "bart",
                "mbart",
                "bert",
                "bert_generation",
                "roberta",
                "gpt2",
                "wav2vec2",
                "hubert",
                "encoder_decoder",
                "speech_encoder_decoder",
            )
        ),
    ),
)
"""What the library computes, loads and saves with: every family that is audited here."""
_COMMON = ("numpy", "safetensors")
_HUB = ("transformers", "tokenizers", "huggingface-hub", *_COMMON)
_SPLIT = (*_HUB, "regex")
_TOKENIZERS = SourceRoot(
    "transformers", ("*token*.py", "models/bart/token*.py", "models/roberta/token*.py", "models/gpt2/token*.py")
)
_TORCH = ("torch",)
_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tf-keras", "tf_keras", "keras", "h5py")
_JAX = ("jax", "jaxlib", "flax", "ml-dtypes")
_TRANSFORMERS = ("transformers",)

BACKENDS: dict[str, Entry] = {
    "reference-torch": Entry(
        "parity.backends.reference.torch",
        "ReferenceTorch",
        (*_TORCH, *_COMMON),
        variants=("eager", "sdpa"),
        framework="torch",
        needs=(_TORCH,),
        install="torch",
        reference=True,
        room_ahead=True,
    ),
    "reference-flax": Entry(
        "parity.backends.reference.flax",
        "ReferenceFlax",
        (*_JAX, *_COMMON),
        framework="jax",
        needs=(("jax",), ("flax",)),
        install="jax flax",
        reference=True,
        room_ahead=True,
    ),
    "hf-torch": Entry(
        "parity.backends.hf.torch",
        "HfTorch",
        (*_TORCH, *_HUB, *_TENSORFLOW, *_JAX),
        (_LIBRARY,),
        ("eager", "sdpa"),
        framework="torch",
        needs=(_TORCH, _TRANSFORMERS),
        install="torch transformers",
        class_prefix="",
    ),
    # The TF and Flax classes read a PyTorch checkpoint through torch; before 5.0 it reads theirs through them.
    "hf-tf": Entry(
        "parity.backends.hf.tensorflow",
        "HfTf",
        (*_TENSORFLOW, *_TORCH, *_HUB),
        (_LIBRARY,),
        framework="tensorflow",
        needs=(("tensorflow", "tensorflow-cpu"), _TRANSFORMERS),
        install="'transformers<5' tensorflow tf-keras",
        class_prefix="TF",
        until=5,
    ),
    "hf-flax": Entry(
        "parity.backends.hf.flax",
        "HfFlax",
        (*_JAX, *_TORCH, *_HUB),
        (_LIBRARY,),
        framework="jax",
        needs=(("jax",), ("flax",), _TRANSFORMERS),
        install="'transformers<5' jax flax",
        class_prefix="Flax",
        until=5,
    ),
    "hf-config": Entry(
        "parity.backends.hf.config",
        "HfConfig",
        _HUB,
        (SourceRoot("transformers", ("configuration_utils.py", "models/**/configuration_*.py")),),
        about="config",
        needs=(_TRANSFORMERS,),
        install="transformers",
    ),
    "hf-tokenizer": Entry(
        "parity.backends.hf.tokenizer",
        "HfTokenizer",
        _SPLIT,
        (_TOKENIZERS,),
        about="tokenizer",
        needs=(_TRANSFORMERS,),
        install="transformers",
    ),
    "hf-tokenizer-fast": Entry(
        "parity.backends.hf.tokenizer",
        "HfTokenizerFast",
        _SPLIT,
        (_TOKENIZERS,),
        about="tokenizer",
        needs=(_TRANSFORMERS,),
        install="transformers",
    ),
    "file": Entry("parity.backends.reference.weight_file", "WeightFile", _COMMON),
}

_FAULTY = (SourceRoot("reference"),)
"""A fault names what it changes in a text, which is no import."""
_OF_PAGES = (*_FAULTY, SourceRoot("parity", ("cases/data/configs.toml",)))
MUTANT_HOSTS: dict[str, Entry] = {
    "mutant": Entry(
        "parity.backends.mutants.host", "MutantTorch", (*_TORCH, *_COMMON), _FAULTY, framework="torch", room_ahead=True
    ),
    "mutant-flax": Entry(
        "parity.backends.mutants.host", "MutantFlax", (*_JAX, *_COMMON), _FAULTY, framework="jax", room_ahead=True
    ),
    "mutant-config": Entry("parity.backends.mutants.config_host", "MutantConfig", _COMMON, _OF_PAGES, about="config"),
    "mutant-tokenizer": Entry(
        "parity.backends.mutants.tokenizer_host", "MutantTokenizer", _COMMON, _FAULTY, about="tokenizer"
    ),
}
"""Whose variants are broken on purpose: no stack offers them, and only ``parity selftest`` asks them."""


def find_entry(name: str) -> Entry:
    """The table's entry, or a third party's.

    Raises:
        KeyError: no backend is called so; the message lists the names there are.
    """
    ours = BACKENDS | MUTANT_HOSTS
    if name in ours:
        return ours[name]
    others = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name in others:
        return _third_party(others[name])
    raise KeyError(f"no backend is called {name!r}; there are {', '.join(sorted([*BACKENDS, *others]))}")


def _third_party(point: EntryPoint) -> Entry:
    """All of a third party's package counts as source: nothing is known of how it is laid out."""
    depends_on = _depends_on(point)
    own = (point.dist.name,) if point.dist else ()
    variants = ("eager", "sdpa")
    return Entry(
        point.module,
        point.attr,
        (*own, *(depends_on or ())),
        (SourceRoot(point.module.split(".")[0]),),
        variants,
        cached=depends_on is not None,
    )


def _depends_on(point: EntryPoint) -> tuple[str, ...] | None:
    """What the class says its answers depend on; None where it says nothing, or cannot be imported here."""
    try:
        declared = getattr(point.load(), "depends_on", None)
    except (ImportError, AttributeError):
        return None
    words = [declared] if isinstance(declared, str) else declared
    return None if words is None else tuple(map(str, words))


def get_backend(name: str) -> Backend:
    """A new instance of the backend's class; its module is imported now, its framework in ``setup``.

    Raises:
        KeyError: no backend is called so.
        ImportError: a third party's module cannot be imported.
    """
    entry = find_entry(name)
    return getattr(importlib.import_module(entry.module), entry.attribute)()
