"""The table of backends: one row for each implementation. Nothing else in the project lists them by name.

A backend is a file with its class (``parity.backends.protocol``) and a row here. A row says where the class is, what
its answers depend on, what it reads and writes, and what it is asked for; everything that differs from one backend to
another is read from its row, by whoever needs it. What a class cannot be asked, and why, is declared where the row's
``limits`` says (``parity.backends.limits``). Importing this imports no framework and no adapter.

A third party adds one with an entry point of the group ``encdec_parity.backends`` whose value is ``module:Class``; the
module imports its framework inside functions, and the class may carry ``lacking`` (capability -> why), ``class_name``
(the model class it loads), ``documented_class`` (the documented class that it is, by its PyTorch name) and
``depends_on`` (names of the distributions that its answers depend on, such as ``("torch", "my-kernels")``; an empty
tuple: none besides its own). Only where it says ``depends_on`` are its answers found again in the cache, and only under
the same versions of these; otherwise it is run anew each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from parity.core.model_spec import config_class

ENTRY_POINTS = "encdec_parity.backends"
DEFAULT_CLASS = "BartForConditionalGeneration"
"""The documented class that a third party's model is, where it does not say."""


@dataclass(frozen=True)
class SourceRoot:
    """Part of a package whose source decides what is computed: a trace of other source is another trace."""

    package: str
    patterns: tuple[str, ...] = ("**/*.py",)
    """Glob patterns relative to the package's folder."""


@dataclass(frozen=True)
class WeightFiles:
    """What the classes of a library read and write of a checkpoint's weights.

    Attributes:
        own: the framework that files must be written for to be read without a flag: ``pt``, ``tf`` or ``flax``
            (``parity.checkpoint.conversion``).
        converts: of which others it reads files by a flag ``from_…``, in the order of preference.
        saves: the forms in which it can save.
    """

    own: str
    converts: tuple[str, ...]
    saves: tuple[str, ...]

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The capabilities that this is: ``save_…`` and ``from_…``."""
        return (*(f"save_{form}" for form in self.saves), *(f"from_{other}" for other in self.converts))


@dataclass(frozen=True)
class Entry:
    """The row of one backend."""

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
    role: str = "candidate"
    """``candidate``: an audit asks it where its stack offers it; ``file``: our own reader of the files, asked in every
    audit; ``mutant``: its variants are broken on purpose, and only a selftest asks them."""
    cached: bool = True
    """Whether what its answers depend on is known, so that one may be found again."""
    framework: str = ""
    """What it computes with: ``torch``, ``tensorflow`` or ``jax``; empty where it computes nothing, or does not say."""
    needs: tuple[tuple[str, ...], ...] = ()
    """Without one distribution of each of these it cannot run."""
    install: str = ""
    """What ``pip install`` is given where one is missing."""
    library: str = ""
    """The library whose documented classes these are; empty for our own and a third party's."""
    class_prefix: str | None = None
    """Of a library's model classes: ``TF`` for ``TFBartModel``, empty for PyTorch's; None of any other backend."""
    class_name: str = ""
    """The class that is loaded, where the documented class does not name it."""
    documented_class: str = ""
    """The only documented class that it can load; empty: whichever."""
    until: int | None = None
    """The first major version of transformers without these classes."""
    weights: WeightFiles | None = None
    """What it reads and writes of the weights; None where it reads none, or it is not known which."""
    reads_data_only: bool = False
    """Whether it runs nothing that a file holds, and says itself what it cannot read."""
    reference: bool = False
    """Whether it is one of the two implementations of our own, each the other's peer and never its own."""
    room_ahead: bool = False
    """Whether its cache has room for all tokens to come, instead of growing by those that are fed."""
    start_cost: int = 0
    """How long its worker imports and compiles, relative to the others': the longest is started first."""
    limits: str = ""
    """``module:function`` that declares what it cannot be asked (``parity.backends.limits``); without it the class's
    own ``lacking`` does."""

    def class_for(self, documented: str) -> str:
        """The name of the class that is loaded: ``TFBartModel`` for ``BartModel``, its config or its tokenizer."""
        if self.library and self.about == "config":
            return config_class(documented)
        return self.class_name or f"{self.class_prefix or ''}{documented}"

    @property
    def compiles(self) -> bool:
        """Whether a model of a new shape costs it a compilation."""
        return self.framework == "jax"


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
        reads_data_only=True,
        reference=True,
        room_ahead=True,
        limits="parity.backends.limits.reference:lacking",
    ),
    "reference-flax": Entry(
        "parity.backends.reference.flax",
        "ReferenceFlax",
        (*_JAX, *_COMMON),
        framework="jax",
        needs=(("jax",), ("flax",)),
        install="jax flax",
        reads_data_only=True,
        reference=True,
        room_ahead=True,
        start_cost=2,
        limits="parity.backends.limits.reference:lacking",
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
        library="transformers",
        class_prefix="",
        weights=WeightFiles("pt", converts=("tf", "flax"), saves=("safetensors", "sharded", "bin")),
        limits="parity.backends.limits.hf_torch:lacking",
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
        library="transformers",
        class_prefix="TF",
        until=5,
        weights=WeightFiles("tf", converts=("pt",), saves=("h5", "safetensors")),
        start_cost=1,
        limits="parity.backends.limits.hf_tensorflow:lacking",
    ),
    "hf-flax": Entry(
        "parity.backends.hf.flax",
        "HfFlax",
        (*_JAX, *_TORCH, *_HUB),
        (_LIBRARY,),
        framework="jax",
        needs=(("jax",), ("flax",), _TRANSFORMERS),
        install="'transformers<5' jax flax",
        library="transformers",
        class_prefix="Flax",
        until=5,
        weights=WeightFiles("flax", converts=("pt",), saves=("msgpack", "safetensors")),
        start_cost=3,
        limits="parity.backends.limits.hf_flax:lacking",
    ),
    "hf-config": Entry(
        "parity.backends.hf.config",
        "HfConfig",
        _HUB,
        (SourceRoot("transformers", ("configuration_utils.py", "models/**/configuration_*.py")),),
        about="config",
        needs=(_TRANSFORMERS,),
        install="transformers",
        library="transformers",
    ),
    "hf-tokenizer": Entry(
        "parity.backends.hf.tokenizer",
        "HfTokenizer",
        _SPLIT,
        (_TOKENIZERS,),
        about="tokenizer",
        needs=(_TRANSFORMERS,),
        install="transformers",
        library="transformers",
        class_name="BartTokenizer",
        limits="parity.backends.limits.hf_tokenizers:slow",
    ),
    "hf-tokenizer-fast": Entry(
        "parity.backends.hf.tokenizer",
        "HfTokenizerFast",
        _SPLIT,
        (_TOKENIZERS,),
        about="tokenizer",
        needs=(_TRANSFORMERS,),
        install="transformers",
        library="transformers",
        class_name="BartTokenizerFast",
        limits="parity.backends.limits.hf_tokenizers:fast",
    ),
    "file": Entry(
        "parity.backends.reference.weight_file",
        "WeightFile",
        _COMMON,
        role="file",
        reads_data_only=True,
        limits="parity.backends.limits.reference:weight_file",
    ),
}

_MUTANT_SOURCES = (SourceRoot("reference"),)
"""A fault names what it changes in a text, which is no import."""
_DOC_SOURCES = (*_MUTANT_SOURCES, SourceRoot("parity", ("cases/data/configs.toml",)))
MUTANT_HOSTS: dict[str, Entry] = {
    "mutant": Entry(
        "parity.backends.mutants.host",
        "MutantTorch",
        (*_TORCH, *_COMMON),
        _MUTANT_SOURCES,
        role="mutant",
        framework="torch",
        reads_data_only=True,
        room_ahead=True,
        limits="parity.backends.limits.mutants:lacking",
    ),
    "mutant-flax": Entry(
        "parity.backends.mutants.host",
        "MutantFlax",
        (*_JAX, *_COMMON),
        _MUTANT_SOURCES,
        role="mutant",
        framework="jax",
        reads_data_only=True,
        room_ahead=True,
        limits="parity.backends.limits.mutants:lacking",
    ),
    "mutant-config": Entry(
        "parity.backends.mutants.config_host",
        "MutantConfig",
        _COMMON,
        _DOC_SOURCES,
        about="config",
        role="mutant",
        reads_data_only=True,
    ),
    "mutant-tokenizer": Entry(
        "parity.backends.mutants.tokenizer_host",
        "MutantTokenizer",
        _COMMON,
        _MUTANT_SOURCES,
        about="tokenizer",
        role="mutant",
        reads_data_only=True,
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


def audited() -> list[str]:
    """The backends that an audit asks where none is named, as far as a stack offers them, in the table's order."""
    return [name for name, entry in BACKENDS.items() if entry.role == "candidate"]


def library_backends(about: str = "model", framework: str = "") -> list[str]:
    """The backends whose classes a library documents, in the table's order.

    Args:
        about: what they load of a checkpoint.
        framework: of that one alone.
    """
    return [
        name
        for name, entry in BACKENDS.items()
        if entry.library and entry.about == about and framework in ("", entry.framework)
    ]


def offered_by(requires: Iterable[str], references: bool) -> list[str]:
    """The audited backends that an environment made of these pins can run.

    Args:
        requires: such as ``jax[cuda13]==0.11.2``.
        references: whether the references run there.
    """
    pins = dict(re.split(r"(?:\[.*\])?==", pin, maxsplit=1) for pin in requires)
    major = int(pins.get("transformers", "0").partition(".")[0])

    def offered(entry: Entry) -> bool:
        made = all(any(each in pins for each in alternatives) for alternatives in entry.needs)
        return (references or not entry.reference) and made and (entry.until is None or major < entry.until)

    return [name for name in audited() if offered(BACKENDS[name])]


def _third_party(point: EntryPoint) -> Entry:
    """All of a third party's package counts as source: nothing is known of how it is laid out."""
    kind = _class_of(point)
    depends_on = _depends_on(kind)
    own = (point.dist.name,) if point.dist else ()
    return Entry(
        point.module,
        point.attr,
        (*own, *(depends_on or ())),
        (SourceRoot(point.module.split(".")[0]),),
        ("eager", "sdpa"),
        cached=depends_on is not None,
        class_name=getattr(kind, "class_name", point.name),
        documented_class=getattr(kind, "documented_class", DEFAULT_CLASS),
    )


def _class_of(point: EntryPoint) -> Any:
    """A third party's class; None where it cannot be imported here."""
    try:
        return point.load()
    except (ImportError, AttributeError):
        return None


def _depends_on(kind: Any) -> tuple[str, ...] | None:
    """What a class says its answers depend on; None where it says nothing."""
    declared = getattr(kind, "depends_on", None)
    words = [declared] if isinstance(declared, str) else declared
    return None if words is None else tuple(map(str, words))
