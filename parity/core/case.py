"""A case: inputs and one operation. Cases are made here, without any framework, and named by their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

IGNORED = -100
"""The label that the loss leaves out (BART page, ``labels``)."""

LABELS = {"labels", "start_positions"}
"""Inputs of which one says what a loss is to be computed of."""

Rows = list[Any]
REAL = ("input_values", "encoder_hidden_states", "head_mask", "decoder_head_mask", "cross_attn_head_mask")
"""Inputs of real numbers; the others are tokens, masks, places and labels."""

ABOUT = {"config": "config", "tokenize": "tokenizer", "tokenizer_files": "files", "weight_files": "files"}
"""What an operation is put to, where that is no model: a backend answers only what it is about."""


if TYPE_CHECKING:
    from typing import TypedDict

    _Named = TypedDict("_Named", {"class": str}, total=False)

    class Notes(_Named, total=False):
        """What a check must know of how a case was made; what is not there does not hold.

        ``class``: the documented class that a config is read as.
        """

        # Who is asked.
        roles: list[str]
        """The roles that it is put to; all by default."""
        only: list[list[str]]
        """Backends and variants of the only candidates that it is put to."""
        lacking: dict[str, str]
        """By word of ``requires``: why nobody can be asked."""
        sets_noise_floor: bool
        """The references answer it too, and their errors set tolerances."""

        # What of the batch was changed or is looked at.
        row: int
        """A row of the batch."""
        rows: list[Any]
        """Each row's lengths by axis; of reordered rows, which comes where."""
        at: int
        """The step before which rows are reordered."""
        src: int
        """Positions of the source that are not padding."""
        frames: int
        """Frames of the audio that are not padding."""
        tgt: int
        """Positions of the target that are not padding, or the position that was changed."""
        masked: int
        """The row whose source is masked altogether."""
        head: int
        """The attention head that is silenced."""
        no_encoder: bool
        """A decoder is called without the states of an encoder: nothing of cross-attention comes back."""
        shifts_labels: bool
        """Decoder inputs are made from the labels."""

        # Generated text.
        settings: dict[str, Any]
        """The generation settings in force."""
        not_read: list[str]
        """Settings of the file that are not known (``parity.checkpoint.generation_settings.NOT_READ``)."""
        of: str
        """The case whose texts a derived case was made from."""
        text: str
        """Digest of the text that is scored."""
        subjects: list[int]
        """Places in the manifest of those whose texts called for it."""
        dialect: str
        """The dialect that the oracle speaks."""
        trace: str
        """Key of the trace that a backend is handed."""

        # Saved and other files.
        saver: str
        """The backend that saved."""
        saver_index: int
        """Its place in the manifest."""
        save: str
        """The case in which it did."""
        serialised: bool
        """The checkpoint has a ``tokenizer.json``."""
        ids_apart: bool
        """Ids of the tokenizer's files leave gaps."""

        # Documented values.
        value: dict[str, Any]
        """The row of the catalogue."""
        special: list[int]
        """Tokens that decoding leaves out."""
        tokens: list[int]
        """The documented text as tokens."""
        names: dict[str, str]
        """Names of labels by their place."""
        source: list[int]
        """The tokens that an answer is a span of."""
        place: int
        """Position of the masked token."""

else:
    # A dict at runtime: before Python 3.12 pydantic accepts typing_extensions.TypedDict alone, which workers lack.
    Notes = dict[str, Any]

NOISE_FLOOR: Notes = {"sets_noise_floor": True}
"""The noise floor's members answer these too: how ill-conditioned a model is depends on the tokens, so that an error at
other tokens than the noise floor's own is not held against it."""


@dataclass(frozen=True)
class Case:
    """One question, the same for every backend.

    ``inputs`` are nested lists named as in the documented call (``input_ids`` or ``input_values``, ``attention_mask``,
    ``decoder_input_ids``, ``decoder_attention_mask``, ``labels``, ``head_mask``, ``decoder_head_mask``,
    ``cross_attn_head_mask``; ``encoder_hidden_states`` of a decoder alone; ``start_positions`` and ``end_positions``),
    the first of them with a row for each of the batch; one that is absent is left to the backend's documented default.
    """

    name: str
    operation: str
    """``load``, ``forward``, ``repeat``, ``tuple``, ``encode_decode``, ``gradients``, ``decode_steps``, ``generate``,
    ``score``, ``generation_settings``, ``save``, ``load_saved``, ``signature``, ``compose``, ``route``, ``load_as``,
    ``frozen_gradients``, ``plain_load``, ``layerwise``, ``config``, ``tokenize``, ``tokenizer_files`` or
    ``weight_files`` (``parity.capture.worker.operations``)."""
    inputs: dict[str, Rows] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    """How it is asked, where that is no array: the sizes of decoding steps, the arguments of ``generate``."""
    requires: tuple[str, ...] = ()
    """Capabilities (``parity.backends.capabilities``) a backend needs to be asked at all."""
    undefined: tuple[str, ...] = ()
    """Tensors for which the oracle itself has no finite answer; there the claim is the pattern."""
    notes: Notes = field(default_factory=lambda: Notes())
    """What a check must know of how the case was made (the changed position, the silenced head …)."""
    parents: tuple[str, ...] = ()
    """Digests of what other subjects answered and a backend is handed with the case: saved files, a layer's states."""

    def array(self, name: str) -> np.ndarray:
        """An input as the documented call takes it: float32 for ``REAL`` ones, int64 for the others.

        Labels are int64 too, but where the model's problem is of real numbers (regression, several labels at once).
        """
        array = np.asarray(self.inputs[name])
        return array.astype(np.float32 if name in REAL or array.dtype.kind == "f" else np.int64)

    @property
    def batch(self) -> int:
        """Rows of the call: those of its first input."""
        return len(next(iter(self.inputs.values())))

    @property
    def about(self) -> str:
        """``model``, ``config``, ``tokenizer``, or ``files``, of which only our own readers are asked."""
        return ABOUT.get(self.operation, "model")

    def brings(self, tensor: str) -> bool:
        """Whether the answer can hold a tensor of its class: a loss needs labels, cross-attention an encoder."""
        if tensor == "loss":
            return bool(LABELS & set(self.inputs))
        return "cross_" not in tensor or not self.notes.get("no_encoder")

    def is_for(self, backend: str, variant: str, role: str = "candidate", about: str = "model") -> bool:
        """Whether it is a question to this backend and variant; most cases are for all that are about the same."""
        if role == "candidate" and about != self.about:
            return False
        only = self.notes.get("only")
        return only is None or (role == "candidate" and [backend, variant] in only)

    def without(self, lacking: Mapping[str, str]) -> Case:
        """The same question, which nobody can be asked where a checkpoint lacks what it needs.

        Args:
            lacking: by name, why it is not there; with none the question stays as it is.
        """
        if not lacking:
            return self
        notes = {**self.notes, "lacking": {**self.notes.get("lacking", {}), **lacking}}
        return replace(self, requires=(*self.requires, *lacking), notes=notes)

    @property
    def digest(self) -> str:
        """sha256 of what the backend is asked (not of the name or notes), first 32 hex digits."""
        content = {name: getattr(self, name) for name in ("operation", "inputs", "settings", "parents")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Case:
        tuples = {name: tuple(data.get(name, ())) for name in ("requires", "undefined", "parents")}
        return cls(**{**data, **tuples})


def shift_right(labels: np.ndarray, pad: int, start: int) -> np.ndarray:
    """Decoder inputs from labels: the start token, then all labels but the last, -100 read as padding.

    Source: BART page, ``decoder_input_ids``; encoder-decoder page, "decoder_input_ids are created by shifting".

    Args:
        labels: int ``[batch, tgt]``.
    """
    shifted = np.concatenate([np.full_like(labels[:, :1], start), labels[:, :-1]], axis=1)
    return np.where(shifted == IGNORED, pad, shifted)
