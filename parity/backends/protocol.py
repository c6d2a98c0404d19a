"""The interface of a backend: load a checkpoint, then run calls. Naming, digests and traces are common to all.

A new backend is one file with a class that implements ``Backend``, and one row in ``parity.core.backends.BACKENDS`` (or
an entry point of the group ``encdec_parity.backends``). It runs in its own process, in its stack's interpreter, where
only the standard library, numpy, safetensors and its framework may be imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from parity.core.subject import Variant
from parity.core.trace import Facts

Field = Any
"""A framework's array, None, or (nested) tuples of them, as the library returned it."""


class UnexpectedReturn(Exception):
    """A library returned something unexpected where it should have raised; raised by an adapter, attributed to the
    library."""


@dataclass
class LoadReport:
    """A library's report of a load, under canonical parameter names."""

    missing: list[str] = field(default_factory=list)
    """Parameters reported missing from the file (randomly initialised)."""
    unexpected: list[str] = field(default_factory=list)
    """Entries of the file reported as unused."""
    tied: list[list[str]] = field(default_factory=list)
    """Groups of canonical names that share storage."""
    not_materialised: list[str] = field(default_factory=list)
    """Parameters left on a meta device or abstract."""
    training: bool | None = None
    """Whether the model is in training mode after loading; None where the framework has no such mode."""
    route: str = "plain"
    """How it was loaded: ``plain`` or the library's conversion flag (``from_pt=True`` …)."""
    notes: list[str] = field(default_factory=list)
    """Warnings the library printed or logged while loading, one line each."""


class Reorder(NamedTuple):
    """Row i continues as a copy of row ``rows[i]``, from the token at position ``at`` on."""

    at: int
    rows: tuple[int, ...]


class Step(NamedTuple):
    """The result of one decoding call."""

    fields: Mapping[str, Field]
    """``logits``, ``decoder_hidden_states`` and, where the variant has them, ``decoder_attentions`` and
    ``cross_attentions``, of the new tokens alone; the keys of ``decoder_attentions`` cut to the tokens fed so far."""
    cache: tuple[tuple[Field, ...], ...]
    """Layer by layer self-attention's key and value, then cross-attention's where the library keeps them, each
    ``[batch, heads, length, head_dim]`` (BART page, ``past_key_values``), of the tokens fed so far."""
    layout: list[list[int]]
    """Shapes of the first layer's arrays as the library itself holds them, in the order of ``cache``."""


def token_input_names(inputs: Mapping[str, Any]) -> tuple[str, str]:
    """Names of the decoder's tokens and their mask; a decoder-only model's tokens are its first input."""
    behind = "decoder_input_ids" in inputs
    return ("decoder_input_ids", "decoder_attention_mask") if behind else ("input_ids", "attention_mask")


class Model(Protocol):
    """A loaded checkpoint. Every call is in evaluation mode (no dropout)."""

    class_name: str
    """The library's class: ``TFBartForConditionalGeneration``."""
    report: LoadReport

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        """Canonical name and value on the host, in the layout of the canonical table (``reference.names``), bits
        unchanged; bfloat16 is returned as ``ml_dtypes.bfloat16`` or, without that package, as uint16 with the same
        bits. A tied parameter is yielded under each name that the library exposes."""
        ...

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field] | tuple:
        """One documented call that requests hidden states, attentions where the variant has them, and the cache's
        documented default. ``inputs`` are int64/float arrays, passed on under the same names; absent ones are not
        passed at all. Returns the library's own output: an ordered mapping of its field names to what they hold
        (without the Nones), or its tuple where ``as_tuple``."""
        ...

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """The encoder alone, then a call with its output; same fields as ``call``."""
        ...

    def decode_steps(
        self, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None = None
    ) -> Iterator[Step]:
        """Runs the encoder once, then the decoder on ``decoder_input_ids`` in pieces of these sizes, each with the
        cache returned by the previous call; ``decoder_attention_mask`` covers the tokens so far. Yields the result of
        each call. With ``reorder`` the library's own way of reordering a cache for beams is used once, between two
        calls."""
        ...

    def generate(self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Mapping[str, Field]:
        """``generate`` of ``input_ids`` and ``attention_mask`` with these documented arguments and no others:
        ``sequences`` (int ``[batch, length]``, the decoder's start token first) and, for beam search,
        ``sequences_scores`` (float ``[batch]``)."""
        ...

    def generation_settings(self) -> Mapping[str, Any]:
        """The settings ``generate`` would use without arguments, by documented name, as the library holds them after
        loading; unknown names are omitted."""
        ...

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        """The loss (``inputs`` hold ``labels``) and its gradient by every trainable parameter, under canonical names
        and in canonical layout. A backend whose class takes no labels computes the documented cross-entropy of its
        own logits."""
        ...

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        """A framework's array on the host and the dtype it had there (``bfloat16`` is widened to float32)."""
        ...


class FileReader(Protocol):
    """A config or a tokenizer that a library has read."""

    def save(self, folder: Path) -> None:
        """Saves as a user would."""
        ...

    def read_saved(self, folder: Path, **settings: Any) -> Facts:
        """What this reader reads in the checkpoint (``before``), and in the saved files of a folder (``after``)."""
        ...


class CapableModel(Model, Protocol):
    """Methods that capabilities add to ``Model``: a model has those of the capabilities it declares."""

    def reduced_gradients(
        self, inputs: Mapping[str, np.ndarray], keep: Callable[[np.ndarray], Any]
    ) -> tuple[Field, dict[str, Any]]:
        """``gradients`` with each gradient replaced by ``keep`` of it during the backward pass, because all gradients
        together take as much memory as the parameters. Only for frameworks with per-parameter gradient hooks."""
        ...

    def save(self, folder: Path, format: str) -> None:
        """Saves as a user would, as ``safetensors``, ``sharded`` (safetensors in pieces), ``bin``, ``h5`` or
        ``msgpack`` (capabilities ``save_…``); only a library that saves has it."""
        ...

    def layerwise(self, inputs: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """``encode_then_decode`` with the input state of every layer replaced, and the encoder's last state for the
        decoder (``parity.backends.layer_injection``). Returns each layer's output under the fields of ``call``. A state
        that belongs to no layer (capability ``layerwise``) is not passed."""
        ...

    def call_embedded(self, inputs: Mapping[str, np.ndarray], tokens: str) -> Mapping[str, Field]:
        """``call`` with the documented embeddings in place of ``tokens``, ``input_ids`` or ``decoder_input_ids``: the
        rows of the model's own table, times the scale of the embedding (capability ``embedded``)."""
        ...

    def encode_then_decode_in_form(self, inputs: Mapping[str, np.ndarray], form: str) -> Mapping[str, Field]:
        """``encode_then_decode`` with ``encoder_outputs`` as an ``output`` object, a ``tuple``, or an object with the
        last hidden ``states`` alone (capability ``encoder_forms``). A classifier also gets the end tokens."""
        ...

    def call_in_form(self, inputs: Mapping[str, np.ndarray], form: str) -> Mapping[str, Field]:
        """``call`` with the same answer in another documented form: given parameters and transformations of the call
        (capability ``functional_calls``), given positions (``positions``), or all inputs in the first argument, as a
        ``list``, ``tuple`` or ``dict`` (``input_forms``)."""
        ...

    def call_uncached(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """``call`` with ``use_cache=False`` (capability ``uncached``)."""
        ...

    def call_requesting(self, inputs: Mapping[str, np.ndarray], requested: Sequence[str]) -> Mapping[str, Field]:
        """``call`` with these of ``output_hidden_states`` and ``output_attentions`` true, and without the others
        (capability ``output_requests``)."""
        ...

    def call_in_training(self, inputs: Mapping[str, np.ndarray], seed: int) -> Mapping[str, Field]:
        """``call`` in training mode, with the library's random numbers seeded (capability ``training_mode``)."""
        ...

    def generate_in_form(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], form: str
    ) -> Mapping[str, Field]:
        """``generate`` with the same text, but the argument ``form`` in place of a setting, or beside them
        (capabilities ``call_forms``, ``logits_processors`` and ``generated_states``)."""
        ...

    def sample(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], draws: int, seed: int
    ) -> Mapping[str, Field]:
        """The token after ``decoder_input_ids``, sampled by ``generate`` with these documented arguments (capability
        ``sampling``).

        Args:
            inputs: one row of ``generate``'s inputs, and ``decoder_input_ids`` ``[1, length]``.
            draws: the number of results, which share the distribution.
            seed: of the random numbers; the same seed gives the same results.

        Returns:
            ``draws`` int ``[draws]``; with the capability ``sampling_scores`` also ``scores`` ``[1, vocab]``, the
            processed scores that were drawn from, -inf where a token is dropped."""
        ...

    def frozen_gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        """``gradients`` of a speech model with its feature encoder frozen in the documented way; only a library whose
        classes document that has it (capability ``freeze``)."""
        ...

    def softmax_cancellation(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The size of the terms that cancel in softmax's backward pass, facts of the oracle's gradients
        (``parity.backends.reference.softmax_cancellation``)."""
        ...

    def reachable(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], tolerance: float
    ) -> tuple[list[tuple[int, list[int], float]], bool]:
        """Every text that a search could return, with its row first and the required tolerance last, and whether there
        may be more. Oracle only."""
        ...

    def signatures(self, methods: Iterable[str]) -> dict[str, Any]:
        """Parameters of the library class's methods, in order (capability ``signatures``)."""
        ...

    def composed(self, checkpoint: Path) -> CapableModel:
        """The composition built anew from its two halves (capability ``compose``)."""
        ...

    def flags(self) -> Mapping[str, Any]:
        """The configuration flags of a composition and its decoder."""
        ...

    def as_loaded(self) -> dict[str, Any]:
        """Dtypes, devices and mode after a load without arguments (capability ``plain_load``)."""
        ...


class Backend(Protocol):
    """One implementation on one framework.

    Its class may carry ``sets_before_use``: names of global settings (``parity.capture.worker.global_state``) that it
    sets itself before each load or call that depends on them. A task that leaves any other setting changed ends its
    process.

    A backend whose framework caches data of freed models has ``release()`` as well, which frees it. It is called when a
    worker becomes idle.
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
        """Loads as a user would; the library's exceptions propagate unchanged.

        Args:
            model_class: the documented class, by its PyTorch name: ``BartModel`` for ``TFBartModel`` too.

        A backend that can load another framework's files (capabilities ``from_pt``, ``from_tf``, ``from_flax``) takes a
        keyword ``route`` as well: ``plain``, or the flag to pass; without it, the flag that the files ask for.
        """
        ...
