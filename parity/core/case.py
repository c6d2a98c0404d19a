"""A case: inputs and one operation. Cases are created without any framework and identified by their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

IGNORED = -100
"""The label that the loss ignores (BART page, ``labels``)."""

LABELS = {"labels", "start_positions"}
"""Inputs that define the target of a loss."""

Rows = list[Any]
REAL = ("input_values", "encoder_hidden_states", "head_mask", "decoder_head_mask", "cross_attn_head_mask")
"""Inputs of real numbers; the others are token ids, masks, positions and labels."""

COMPONENTS = {
    "config": "config",
    "save_config": "config",
    "load_config": "config",
    "tokenize": "tokenizer",
    "save_tokenizer": "tokenizer",
    "load_tokenizer": "tokenizer",
    "tokenizer_files": "files",
    "weight_files": "files",
}
"""Per operation, the component it runs on, where that is not the model. A backend only runs operations on its own
component."""


if TYPE_CHECKING:
    from typing import TypedDict

    _Named = TypedDict("_Named", {"class": str}, total=False)

    class Notes(_Named, total=False):
        """Metadata for checks about how a case was made; an absent key means false or none.

        ``class``: the documented class that a config is read as.
        """

        # Which subjects run the case.
        roles: list[str]
        """The roles that run it; by default all."""
        only: list[list[str]]
        """Backends and variants of the only candidates that run it."""
        lacking: dict[str, str]
        """By name in ``requires``: why no backend can run it."""
        sets_noise_floor: bool
        """The references run it too, and their errors set tolerances."""

        # What was changed in the batch, or which part is examined.
        row: int
        """Index of a row of the batch."""
        rows: list[Any]
        """Each row's lengths by axis; for reordered rows, the source index of each row."""
        at: int
        """The step before which rows are reordered."""
        src: int
        """Positions of the source that are not padding."""
        frames: int
        """Frames of the audio that are not padding."""
        tgt: int
        """Positions of the target that are not padding, or the position that was changed."""
        masked: int
        """The row whose source is fully masked."""
        head: int
        """The attention head that is silenced."""
        no_encoder: bool
        """A decoder is called without encoder states: the output has no cross-attention."""
        shifts_labels: bool
        """Decoder inputs are made from the labels."""

        # Generated text.
        settings: dict[str, Any]
        """The generation settings in force."""
        not_read: list[str]
        """Settings of the file that are not supported (``parity.checkpoint.generation_settings.NOT_READ``)."""
        of: str
        """The case whose generated texts a follow-up case was made from."""
        text: str
        """Digest of the text that is scored."""
        subjects: list[int]
        """Indices in the manifest of the subjects whose texts led to this case."""
        dialect: str
        """The generation dialect that the oracle uses."""
        trace: str
        """Key of the trace that is passed to the backend."""

        # Saved and other files.
        saver: str
        """The backend that saved."""
        saver_index: int
        """Its index in the manifest."""
        save: str
        """The case that saved."""
        serialised: bool
        """The checkpoint has a ``tokenizer.json``."""
        ids_apart: bool
        """The ids of the tokenizer's files are not contiguous."""

        # Documented values.
        value: dict[str, Any]
        """The row of the catalogue."""
        special: list[int]
        """Tokens that decoding leaves out."""
        tokens: list[int]
        """The documented text as tokens."""
        names: dict[str, str]
        """Names of labels by index."""
        source: list[int]
        """The tokens of which an answer is a span."""
        place: int
        """Position of the masked token."""

else:
    # A dict at runtime: before Python 3.12 pydantic accepts typing_extensions.TypedDict alone, which workers lack.
    Notes = dict[str, Any]

NOISE_FLOOR: Notes = {"sets_noise_floor": True}
"""The noise floor's members run these cases too. How ill-conditioned a model is depends on the tokens, so an error on
other tokens is compared with the noise floor on those tokens."""


@dataclass(frozen=True)
class Case:
    """One test case, the same for every backend.

    ``inputs`` are nested lists named as in the documented call (``input_ids`` or ``input_values``, ``attention_mask``,
    ``decoder_input_ids``, ``decoder_attention_mask``, ``labels``, ``head_mask``, ``decoder_head_mask``,
    ``cross_attn_head_mask``; ``encoder_hidden_states`` of a decoder-only model; ``start_positions`` and
    ``end_positions``), the first of them has one entry per row of the batch. An absent input is left to the backend's
    documented default.
    """

    name: str
    operation: str
    """``load``, ``forward``, ``repeat``, ``tuple``, ``embedded``, ``uncached``, ``in_form``, ``requested``,
    ``training``, ``encode_decode``, ``gradients``, ``decode_steps``, ``generate``, ``score``, ``sample``,
    ``generation_settings``, ``save``, ``load_saved``, ``signature``, ``compose``, ``route``, ``load_as``,
    ``frozen_gradients``, ``plain_load``, ``layerwise``, ``config``, ``tokenize``, ``tokenizer_files``,
    ``weight_files``, or ``save_`` and ``load_`` with ``config`` or ``tokenizer``
    (``parity.capture.worker.operations``)."""
    inputs: dict[str, Rows] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    """Parameters of the operation other than arrays: the sizes of decoding steps, the arguments of ``generate``."""
    requires: tuple[str, ...] = ()
    """Capabilities (``parity.backends.capabilities``) a backend needs to run it."""
    undefined: tuple[str, ...] = ()
    """Tensors for which the oracle has no finite value; for these only the pattern of non-finite values is checked."""
    notes: Notes = field(default_factory=lambda: Notes())
    """Metadata for checks about how the case was made (the changed position, the silenced head …)."""
    parents: tuple[str, ...] = ()
    """Digests of other subjects' traces that the backend receives with the case: saved files, a layer's states."""

    def array(self, name: str) -> np.ndarray:
        """An input as the documented call takes it: float32 for ``REAL`` ones, int64 for the others.

        Labels are int64, except for regression and multi-label classification.
        """
        array = np.asarray(self.inputs[name])
        return array.astype(np.float32 if name in REAL or array.dtype.kind == "f" else np.int64)

    @property
    def batch(self) -> int:
        """Number of rows: the length of the first input."""
        return len(next(iter(self.inputs.values())))

    @property
    def component(self) -> str:
        """The component it runs on: ``model``, ``config``, ``tokenizer``, or ``files``, which only our own readers run
        on."""
        return COMPONENTS.get(self.operation, "model")

    def produces(self, tensor: str) -> bool:
        """Whether the output can contain a tensor of its class: a loss needs labels, cross-attention an encoder,
        and states and attentions the argument that requests them."""
        if tensor == "loss":
            return bool(LABELS & set(self.inputs))
        if (requested := self.settings.get("requested")) is not None:
            kinds = {"output_hidden_states": ".hidden.", "output_attentions": "attention."}
            if any(kind in tensor and argument not in requested for argument, kind in kinds.items()):
                return False
        return "cross_" not in tensor or not self.notes.get("no_encoder")

    def is_for(self, backend: str, variant: str, role: str = "candidate", component: str = "model") -> bool:
        """Whether this backend and variant runs it; most cases run on all backends of their component."""
        if role == "candidate" and component != self.component:
            return False
        only = self.notes.get("only")
        return only is None or (role == "candidate" and [backend, variant] in only)

    def without(self, lacking: Mapping[str, str]) -> Case:
        """The same case, skipped for every backend where the checkpoint lacks what it needs.

        Args:
            lacking: by name, the reason; where empty, the case is returned unchanged.
        """
        if not lacking:
            return self
        notes = {**self.notes, "lacking": {**self.notes.get("lacking", {}), **lacking}}
        return replace(self, requires=(*self.requires, *lacking), notes=notes)

    @property
    def digest(self) -> str:
        """sha256 of what the backend runs (without the name and notes), first 32 hex digits."""
        content = {name: getattr(self, name) for name in ("operation", "inputs", "settings", "parents")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Case:
        tuples = {name: tuple(data.get(name, ())) for name in ("requires", "undefined", "parents")}
        return cls(**{**data, **tuples})


def shift_right(labels: np.ndarray, pad: int, start: int) -> np.ndarray:
    """Decoder inputs from labels: the start token, then all labels but the last, with -100 replaced by padding.

    Source: BART page, ``decoder_input_ids``; encoder-decoder page, "decoder_input_ids are created by shifting".

    Args:
        labels: int ``[batch, tgt]``.
    """
    shifted = np.concatenate([np.full_like(labels[:, :1], start), labels[:, :-1]], axis=1)
    return np.where(shifted == IGNORED, pad, shifted)
