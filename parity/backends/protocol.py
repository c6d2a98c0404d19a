"""What a backend is: load a checkpoint, then answer calls. The rest (naming, digests, traces) is the same for all.

A new backend is one file with a class that meets ``Backend``, and one row in ``parity.core.backends.BACKENDS``
(or an entry point of the group ``encdec_parity.backends``). It runs in its own process, in its stack's interpreter,
where nothing of ours but the standard library, numpy and safetensors may be imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from parity.core.subject import Variant

Field = Any
"""A framework's array, None, or (nested) tuples of them, as the library returned it."""


class UnexpectedReturn(Exception):
    """A library gave nothing where it should have raised: what an adapter raises in its place, and the library's."""


@dataclass
class LoadReport:
    """What a library says about a load, under canonical parameter names."""

    missing: list[str] = field(default_factory=list)
    """Parameters the library says it did not find in the file (it fills them with random numbers)."""
    unexpected: list[str] = field(default_factory=list)
    """Entries of the file it says it did not use."""
    tied: list[list[str]] = field(default_factory=list)
    """Groups of canonical names that are one storage in memory."""
    not_materialised: list[str] = field(default_factory=list)
    """Parameters left on a meta device or abstract."""
    training: bool | None = None
    """Whether the model is in training mode after loading; None where the framework has no such mode."""
    route: str = "plain"
    """How it was loaded: ``plain`` or the library's conversion flag (``from_pt=True`` …)."""
    notes: list[str] = field(default_factory=list)
    """Warnings the library printed or logged while loading, one line each."""


class Reorder(NamedTuple):
    """Row i goes on as a copy of row ``rows[i]``, from the token at position ``at`` on."""

    at: int
    rows: tuple[int, ...]


class Step(NamedTuple):
    """What one decoding call gave."""

    fields: Mapping[str, Field]
    """``logits``, ``decoder_hidden_states`` and, where the variant has them, ``decoder_attentions`` and
    ``cross_attentions``, of the new tokens alone; the keys of ``decoder_attentions`` cut to the tokens fed so far."""
    cache: tuple[tuple[Field, ...], ...]
    """Layer by layer self-attention's key and value, then cross-attention's where the library keeps them, each
    ``[batch, heads, length, head_dim]`` (BART page, ``past_key_values``), of the tokens fed so far."""
    layout: list[list[int]]
    """Shapes of the first layer's arrays as the library itself holds them, in the order of ``cache``."""


def token_input_names(inputs: Mapping[str, Any]) -> tuple[str, str]:
    """What the decoder's tokens and their mask are called: a decoder alone is fed its first input."""
    behind = "decoder_input_ids" in inputs
    return ("decoder_input_ids", "decoder_attention_mask") if behind else ("input_ids", "attention_mask")


class Model(Protocol):
    """A loaded checkpoint. Every call is in evaluation mode (no dropout)."""

    class_name: str
    """The library's class: ``TFBartForConditionalGeneration``."""
    report: LoadReport

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        """Canonical name and value on the host, in the layout of the canonical table (``reference.names``), bits
        unchanged; bfloat16 comes as ``ml_dtypes.bfloat16`` or, without it, as uint16 of the same bits.
        A parameter tied to another is given under each of its names the library itself exposes."""
        ...

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field] | tuple:
        """One documented call, asking for hidden states, for attentions where the variant has them, and the cache's
        documented default. ``inputs`` are int64/float arrays, passed on under the same names; absent ones are not
        passed at all. Returns the library's own output: an ordered mapping of its field names to what they hold
        (without the Nones), or its tuple where ``as_tuple``."""
        ...

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """The encoder alone, then a call given its output; same fields as ``call``."""
        ...

    def decode_steps(
        self, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None = None
    ) -> Iterator[Step]:
        """The encoder once, then the decoder on ``decoder_input_ids`` in pieces of these sizes, each call given the
        cache that the one before returned; ``decoder_attention_mask`` covers the tokens fed so far. What each call
        gave. With ``reorder`` the library's own way of reordering a cache for beams is used once, between two calls."""
        ...

    def generate(self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Mapping[str, Field]:
        """``generate`` of ``input_ids`` and ``attention_mask`` with these documented arguments and no others:
        ``sequences`` (int ``[batch, length]``, the decoder's start token first) and, where beams were searched,
        ``sequences_scores`` (float ``[batch]``)."""
        ...

    def generation_settings(self) -> Mapping[str, Any]:
        """What ``generate`` would use without arguments, by documented name, as the library holds it after loading;
        names it does not know are left out."""
        ...

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        """The loss (``inputs`` hold ``labels``) and its gradient by every trainable parameter, under canonical names
        and in canonical layout. A backend whose class takes no labels computes the documented cross-entropy of its
        own logits."""
        ...

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        """A framework's array on the host and the dtype it had there (``bfloat16`` comes widened to float32)."""
        ...


class CapableModel(Model, Protocol):
    """What capabilities add to ``Model``: who declares a capability has its methods, and no other need."""

    def reduced_gradients(
        self, inputs: Mapping[str, np.ndarray], keep: Callable[[np.ndarray], Any]
    ) -> tuple[Field, dict[str, Any]]:
        """``gradients``, with ``keep`` of each in its place, called while the pass goes on: as many gradients as there
        are parameters take as much memory. Only a framework that tells of each gradient has it."""
        ...

    def save(self, folder: Path, format: str) -> None:
        """Saves as a user would, as ``safetensors``, ``sharded`` (safetensors in pieces), ``bin``, ``h5`` or
        ``msgpack`` (capabilities ``save_…``); only a library that saves has it."""
        ...

    def layerwise(self, inputs: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """``encode_then_decode`` in which every layer is given a state from elsewhere, and the decoder the encoder's
        last (``parity.backends.layer_injection``): what each layer makes of it, under the fields of ``call``. A state
        that is none of a layer's (capability ``layerwise``) is not passed."""
        ...

    def frozen_gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        """``gradients`` of a speech model after its feature encoder was frozen in the documented way; only a library
        whose classes document that has it (capability ``freeze``)."""
        ...

    def softmax_cancellation(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """How large what was almost cancelled was, a fact of the oracle's gradients
        (``parity.backends.reference.softmax_cancellation``)."""
        ...

    def reachable(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], tolerance: float
    ) -> tuple[list[tuple[int, list[int], float]], bool]:
        """Every text that a search could end in, its row first and the tolerance it takes last, and whether there may
        be more; only the oracle is asked."""
        ...

    def signatures(self, methods: Iterable[str]) -> dict[str, Any]:
        """By method of the library's class its parameters in order (capability ``signatures``)."""
        ...

    def composed(self, checkpoint: Path) -> CapableModel:
        """The composition made anew of its two halves (capability ``compose``)."""
        ...

    def flags(self) -> Mapping[str, Any]:
        """What a composition says of its decoder and of itself."""
        ...

    def as_loaded(self) -> dict[str, Any]:
        """Dtypes, devices and mode that a load without arguments gave (capability ``plain_load``)."""
        ...


class Backend(Protocol):
    """One implementation on one framework.

    Its class may carry ``sets_before_use``: names of global settings (``parity.capture.worker.global_state``) that it
    sets itself before each load or call that depends on them. A task that leaves any other setting changed ends its
    process.

    One whose framework keeps something of models that nobody holds any more has ``release()`` too, which gives it back:
    called when a worker becomes idle.
    """

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        """Called once, before anything else in the process: environment, thread counts, compilation caches
        (under ``cache``), determinism, no network.

        A backend whose setup depends on its tasks has a static method ``setup_for(tasks, *, float64_limit)`` as well.
        It returns further keywords for ``setup``, from the tasks (``parity.capture.task.Task.to_json``) and
        ``float64_limit``: the most bytes of float64 parameters that fit in memory, None where every model fits. It is
        called when tasks are planned, and a worker only runs tasks with the same keywords."""
        ...

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str) -> Model:
        """Loads as a user would; what the library raises goes through unchanged.

        Args:
            model_class: the documented class, by its PyTorch name: ``BartModel`` for ``TFBartModel`` too.

        One that can load what another library saved (capabilities ``from_pt``, ``from_tf``, ``from_flax``) takes a
        keyword ``route`` as well: ``plain``, or the flag to pass; without it, the flag that the files ask for.
        """
        ...
