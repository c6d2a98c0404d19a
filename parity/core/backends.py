"""The registry of backends: one row per implementation. No other module lists them by name.

A backend is a file with its class (``parity.backends.protocol``) and a row here. The row names the class, what its
results depend on, what it reads and writes, and when it runs; everything that differs between backends is read from the
row. Unsupported capabilities and their reasons are declared by the row's ``limits`` (``parity.backends.limits``).
Importing this module imports no framework and no adapter.

A third party adds a backend with an entry point of the group ``encdec_parity.backends`` whose value is
``module:Class``. The module imports its framework inside functions. The class may define ``lacking`` (capability ->
reason), ``class_name`` (the model class it loads), ``documented_class`` (the documented counterpart, by its PyTorch
name) and ``depends_on`` (names of the distributions that its results depend on, such as ``("torch", "my-kernels")``; an
empty tuple: none besides its own). Its traces are cached only if it defines ``depends_on``, under the versions of
these; otherwise it runs anew each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from parity.core.model_spec import config_class
from parity.core.nearest import unknown

ORIGINAL = "original-weights"
"""Beside a quantised engine: the reference with the weights before rounding (``parity.tools.quantised_engine``)."""
OBJECT = "object"
"""``Entry.user_model`` of an object of the caller's process."""
ENTRY_POINTS = "encdec_parity.backends"
DEFAULT_CLASS = "BartForConditionalGeneration"
"""The documented class of a third party's model that declares none."""


@dataclass(frozen=True)
class SourceRoot:
    """A part of a package whose source decides what is computed; its content is part of the trace key."""

    package: str
    patterns: tuple[str, ...] = ("**/*.py",)
    """Glob patterns relative to the package's folder."""


@dataclass(frozen=True)
class WeightFiles:
    """The weight formats that the classes of a library read and write.

    Attributes:
        own: the framework whose files are read without a flag: ``pt``, ``tf`` or ``flax``
            (``parity.checkpoint.conversion``).
        converts: frameworks whose files it reads with a flag ``from_…``, in order of preference.
        saves: the formats in which it can save.
    """

    own: str
    converts: tuple[str, ...]
    saves: tuple[str, ...]

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The capabilities that follow: ``save_…`` and ``from_…``."""
        return (*(f"save_{form}" for form in self.saves), *(f"from_{other}" for other in self.converts))


@dataclass(frozen=True)
class Quantisation:
    """How an engine rounds a model.

    Attributes:
        scheme: of the weights, by its name in ``parity.tools.quantise``.
        kept: ends of the names of matrices that stay as they are.
        vectors: whether biases and norms are rounded too.
        activations: how activations are rounded as the model runs; "" if they are not. Then no rounding of the weights
            reproduces the engine's answers, and only distances are reported.
    """

    scheme: str
    kept: tuple[str, ...] = ()
    vectors: bool = False
    activations: str = ""


@dataclass(frozen=True)
class Entry:
    """One backend."""

    module: str
    attribute: str
    distributions: tuple[str, ...]
    """Distributions whose versions are part of a trace's key; one that is not installed is absent from it."""
    sources: tuple[SourceRoot, ...] = ()
    """Package sources in the trace key. Of our own sources only those named in strings are listed; imports are followed
    automatically (``parity.capture.sources``)."""
    variants: tuple[str, ...] = ("eager",)
    """Attention implementations it supports."""
    component: str = "model"
    """What it loads from a checkpoint: its ``model``, ``config`` or ``tokenizer``."""
    role: str = "candidate"
    """``candidate``: an audit runs it where its stack offers it; ``file``: our own reader of the files, run in every
    audit; ``mutant``: deliberately broken variants, run by a selftest only; ``engine``: runs a file converted from the
    checkpoint, or computes in another way than its library by default, and only if named."""
    cached: bool = True
    """Whether the dependencies of its results are known, so that traces can be cached."""
    framework: str = ""
    """Its framework: ``torch``, ``tensorflow`` or ``jax``; empty where it computes nothing or declares none."""
    needs: tuple[tuple[str, ...], ...] = ()
    """Distribution groups: it needs one distribution of each."""
    install: str = ""
    """Arguments for ``pip install`` where one is missing."""
    library: str = ""
    """The library whose documented classes it runs; empty for our own and third-party backends."""
    class_prefix: str | None = None
    """Class name prefix: ``TF`` for ``TFBartModel``, empty for PyTorch's; None for backends outside the library."""
    class_name: str = ""
    """The class that is loaded, where it does not follow from the documented class."""
    documented_class: str = ""
    """The only documented class that it can load; empty: any."""
    until: int | None = None
    """The first major version of transformers without these classes."""
    weights: WeightFiles | None = None
    """The weight formats it reads and writes; None where it reads none, or they are unknown."""
    reads_data_only: bool = False
    """Whether it never runs code from a file and reports by itself what it cannot read."""
    reference: bool = False
    """Whether it is one of our two references, each the other's peer and never its own."""
    room_ahead: bool = False
    """Whether its cache is preallocated for all tokens to come, instead of growing with each call."""
    start_cost: int = 0
    """Relative import and compile time of its worker; the slowest starts first."""
    limits: str = ""
    """``module:function`` that declares unsupported capabilities (``parity.backends.limits``); the class's own
    ``lacking`` where absent."""
    lacking: Mapping[str, str] | None = None
    """Of a user's model: unsupported capabilities and their reasons, as found by calling it."""
    setup: Mapping[str, Any] = field(default_factory=dict)
    """Further keywords of ``setup``."""
    user_model: str = ""
    """Of a user's model ``NAME=FILE.py:FUNCTION``, or ``OBJECT``."""
    derives_from: str = ""
    """The backend whose known issues are its own: of a user's model, whose classes it is one of or derived from; of an
    engine, which loads the checkpoint for the conversion."""
    stack: str = ""
    """The only stack it runs in; empty: any that offers it."""
    unaccepted: Mapping[str, str] = field(default_factory=dict)
    """Of an engine: documented inputs that it does not accept, with the reason (``parity.cases.unaccepted``)."""
    quantisations: Mapping[str, Quantisation] = field(default_factory=dict)
    """Of an engine: how it can be asked to round a model, by the name that ``--quantised`` takes."""
    unjudged: str = ""
    """Why the distance from the oracle is reported without a verdict; "" for a backend that is judged."""
    examine: str = ""
    """Of an engine: ``module:function`` that finds what a given directory offers (``parity.capture.engines``); empty
    where it runs no converted files."""
    builds_with: str = ""
    """``module:function`` that names the tool its results depend on besides the distributions, a C++ compiler: part of
    the trace key."""

    def class_for(self, documented: str) -> str:
        """Name of the class to load: ``TFBartModel`` for ``BartModel``, or its config or tokenizer class."""
        if self.library and self.component == "config":
            return config_class(documented)
        return self.class_name or f"{self.class_prefix or ''}{documented}"

    @property
    def compiles(self) -> bool:
        """Whether each new input shape costs a compilation."""
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
            f"models/{architecture}/*.py"
            for architecture in (
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
"""Library sources that compute, load and save, for every supported architecture."""
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
        "parity.backends.reference.torch_backend",
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
        "parity.backends.reference.flax_backend",
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
        "parity.backends.hf.torch_backend",
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
    # The TF and Flax classes read a PyTorch checkpoint through torch; before 5.0 the PyTorch class reads theirs through
    # them.
    "hf-tf": Entry(
        "parity.backends.hf.tensorflow_backend",
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
        "parity.backends.hf.flax_backend",
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
        component="config",
        needs=(_TRANSFORMERS,),
        install="transformers",
        library="transformers",
    ),
    "hf-tokenizer": Entry(
        "parity.backends.hf.tokenizer",
        "HfTokenizer",
        _SPLIT,
        (_TOKENIZERS,),
        component="tokenizer",
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
        component="tokenizer",
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
"""Mutants name the functions they change in strings, which are not imports."""
_DOC_SOURCES = (*_MUTANT_SOURCES, SourceRoot("parity", ("cases/data/configs.toml",)))


def _mutated(name: str, attribute: str) -> Entry:
    """A library's backend, run with a change of its source."""
    return replace(
        BACKENDS[name],
        module="parity.backends.mutants.library_host",
        attribute=attribute,
        role="mutant",
        cached=False,
        derives_from=name,
    )


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
        component="config",
        role="mutant",
        reads_data_only=True,
    ),
    "mutant-tokenizer": Entry(
        "parity.backends.mutants.tokenizer_host",
        "MutantTokenizer",
        _COMMON,
        _MUTANT_SOURCES,
        component="tokenizer",
        role="mutant",
        reads_data_only=True,
    ),
    "mutant-hf-torch": _mutated("hf-torch", "MutatedTorch"),
    "mutant-hf-tf": _mutated("hf-tf", "MutatedTensorFlow"),
    "mutant-hf-flax": _mutated("hf-flax", "MutatedFlax"),
}
"""Backends with deliberately broken variants: no stack offers them, and only ``parity selftest`` runs them."""


def _of_hf_torch(module: str, attribute: str, **others: Any) -> Entry:
    """A variant of ``hf-torch``: its classes and weights, computed in another way."""
    return replace(
        BACKENDS["hf-torch"],
        module=f"parity.backends.variants.{module}",
        attribute=attribute,
        role="engine",
        limits="parity.backends.limits.variants:lacking",
        derives_from="hf-torch",
        **others,
    )


ENGINES: dict[str, Entry] = {
    "onnxruntime": Entry(
        "parity.backends.engines.onnx_runtime",
        "OnnxRuntime",
        ("onnxruntime", "onnxruntime-gpu", "onnx", "optimum", "optimum-onnx", *_TORCH, *_HUB),
        role="engine",
        needs=(("onnxruntime", "onnxruntime-gpu"), ("onnx",), _TORCH, _TRANSFORMERS),
        install="onnxruntime onnx torch transformers",
        limits="parity.backends.limits.engines:onnxruntime",
        derives_from="hf-torch",
        quantisations={
            "int8": Quantisation("int8", activations="uint8, with one scale for each tensor that is multiplied"),
        },
        examine="parity.backends.engines.onnx_files:examine",
    ),
    "openvino": Entry(
        "parity.backends.engines.openvino_backend",
        "OpenVino",
        ("openvino", "onnx", *_TORCH, *_HUB),
        role="engine",
        needs=(("openvino",), ("onnx",), _TORCH, _TRANSFORMERS),
        install="openvino onnx torch transformers",
        limits="parity.backends.limits.engines:openvino",
        derives_from="hf-torch",
        examine="parity.backends.engines.openvino_backend:examine",
    ),
    "ctranslate2": Entry(
        "parity.backends.engines.ctranslate2_backend",
        "CTranslate2",
        ("ctranslate2", *_TORCH, *_HUB),
        role="engine",
        needs=(("ctranslate2",), _TORCH, _TRANSFORMERS),
        install="ctranslate2 torch transformers",
        limits="parity.backends.limits.ctranslate2:lacking",
        derives_from="hf-torch",
        unaccepted={"decoder_attention_mask": "CTranslate2 takes no mask of the target"},
        quantisations={
            "int8": Quantisation(
                "int8-per-channel",
                ("embed_positions.weight",),
                activations="int8, with one scale for each row that is multiplied",
            ),
            "int8-weights": Quantisation("int8-per-channel", ("embed_positions.weight",)),
            "bfloat16-weights": Quantisation("bfloat16", vectors=True),
            "float16-weights": Quantisation("float16", vectors=True),
        },
        examine="parity.backends.engines.ctranslate2_files:examine",
    ),
    "hf-torch-compile": _of_hf_torch(
        "compiled", "Inductor", builds_with="parity.backends.variants.compiler:version", start_cost=3
    ),
    "hf-torch-aot": _of_hf_torch("compiled", "AotEager", start_cost=2),
    "hf-torch-export": _of_hf_torch("exported", "Exported", start_cost=2),
    "hf-torch-static-cache": _of_hf_torch("static_cache", "StaticCache", room_ahead=True),
    "hf-torch-checkpointing": _of_hf_torch("checkpointing", "Checkpointing"),
    "hf-torch-flash": _of_hf_torch("flash", "Flash", variants=("eager",)),
    "keras-hub": Entry(
        "parity.backends.engines.keras_hub_backend",
        "KerasHub",
        ("keras-hub", "keras", *_TORCH, *_COMMON),
        role="engine",
        needs=(("keras-hub",), ("keras",), _TORCH),
        install="keras-hub keras torch",
        limits="parity.backends.limits.keras_hub:lacking",
    ),
}
"""Engines, which run a file converted from the checkpoint (``parity.backends.engines``), and variants of ``hf-torch``
(``parity.backends.variants``): named explicitly, never run by default."""


def built_in() -> dict[str, Entry]:
    """The rows of this module; no third party's backend and no user's model may have one of these names."""
    return BACKENDS | MUTANT_HOSTS | ENGINES


def find_entry(name: str) -> Entry:
    """The registered entry of this name, or a third party's.

    Raises:
        KeyError: there is no backend of this name; the message has the nearest name, or lists the known ones.
    """
    ours = built_in() | _USER_MODELS
    if name in ours:
        return ours[name]
    others = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name in others:
        return _third_party(others[name])
    raise KeyError(unknown("no backend is named", name, sorted([*BACKENDS, *ENGINES, *others])))


@contextmanager
def user_models(entries: Mapping[str, Entry]) -> Iterator[None]:
    """Registers users' models, by name, for the duration of a run.

    Raises:
        ValueError: a name is that of another backend.
    """
    if taken := entries.keys() & (built_in() | _USER_MODELS).keys():
        raise ValueError(f"{', '.join(sorted(taken))}: a backend has this name")
    with _registered(entries):
        yield


@contextmanager
def engine_rows(entries: Mapping[str, Entry]) -> Iterator[None]:
    """Adds or replaces rows for the duration of a run: of an engine, for a directory that was given or a quantisation;
    and of what is compared with it."""
    with _registered(entries):
        yield


@contextmanager
def _registered(entries: Mapping[str, Entry]) -> Iterator[None]:
    before = dict(_USER_MODELS)
    _USER_MODELS.update(entries)
    try:
        yield
    finally:
        _USER_MODELS.clear()
        _USER_MODELS.update(before)


_USER_MODELS: dict[str, Entry] = {}


def audited() -> list[str]:
    """Backends that an audit runs by default where a stack offers them, in table order."""
    return [name for name, entry in BACKENDS.items() if entry.role == "candidate"]


def library_backends(component: str = "model", framework: str = "") -> list[str]:
    """Backends that run documented library classes, in table order.

    Args:
        component: what they load from a checkpoint.
        framework: only those of this framework.
    """
    return [
        name
        for name, entry in BACKENDS.items()
        if entry.library and entry.component == component and framework in ("", entry.framework)
    ]


def offered_by(requires: Iterable[str], references: bool) -> list[str]:
    """The audited backends that an environment with these pins can run.

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
    """The whole of a third party's package counts as source, because its layout is unknown."""
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
    """A third party's class; None where it cannot be imported in this environment."""
    try:
        return point.load()
    except (ImportError, AttributeError):
        return None


def _depends_on(kind: Any) -> tuple[str, ...] | None:
    """The dependencies that a class declares; None where it declares none."""
    declared = getattr(kind, "depends_on", None)
    words = [declared] if isinstance(declared, str) else declared
    return None if words is None else tuple(map(str, words))
