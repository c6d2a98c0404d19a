"""Compares a model file of fairseq with the checkpoint that it was converted to: parameters, settings and dictionary.

Parameters are compared bit for bit, after a cast where the checkpoint has another dtype. No model is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parity.checkpoint.files import json_object
from parity.checkpoint.inspection import inspect_checkpoint
from parity.checkpoint.unread_fields import unread_fields
from parity.core.errors import InputError
from parity.tools.compare.selector import CompareError
from reference.config import read_config
from reference.names import LOGITS_BIAS
from reference.weights.fairseq_file import FairseqFile, open_fairseq
from reference.weights.weights import Weights, read_weights

SUFFIXES = (".pt", ".pth")
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
"""The tokens that fairseq's dictionary starts with, before the lines of ``dict.txt`` (fairseq 0.12, data/dictionary.py,
``Dictionary.__init__``)."""
LARGEST_DICTIONARY = 64 << 20
"""Bytes of a ``dict.txt`` that is read."""


@dataclass(frozen=True)
class Difference:
    """One parameter that is not the same in both files.

    Attributes:
        name: in the checkpoint, canonical.
        theirs: in fairseq's file; empty if it is only in the checkpoint.
        kind: ``lost``, ``added``, ``changed``, ``transposed``, ``padded``, ``truncated``, ``reordered`` or ``shape``.
        detail: what differs, with shapes, indices or values.
    """

    name: str
    theirs: str
    kind: str
    detail: str

    def __str__(self) -> str:
        source = f" (fairseq: {self.theirs})" if self.theirs and self.theirs != self.name else ""
        return f"{self.kind}: {self.name}{source}: {self.detail}"


@dataclass(frozen=True)
class ConversionComparison:
    """The result of comparing a model file of fairseq with a checkpoint."""

    names: tuple[str, str]
    parameters: tuple[Difference, ...]
    settings: tuple[str, ...]
    """Settings that the checkpoint's config does not have, or has otherwise, a line each."""
    dictionary: tuple[str, ...]
    """Differences between ``dict.txt`` and the checkpoint's vocabulary, a line each."""
    equal: int
    """The number of parameters that are the same in every bit, after a cast where the dtypes differ."""

    @property
    def same(self) -> bool:
        return not (self.parameters or self.settings or self.dictionary)

    @property
    def exit_code(self) -> int:
        """0 if nothing was lost or changed, else 1."""
        return 0 if self.same else 1


def is_fairseq_file(path: Path) -> bool:
    return path.suffix in SUFFIXES and path.is_file()


def compare_conversion(model: Path, directory: Path) -> ConversionComparison:
    """
    Args:
        model: a model file of fairseq (``model.pt``).
        directory: the checkpoint that was made from it.

    Raises:
        CompareError: the directory is no checkpoint's, or its class is no BART's or mBART's.
        CheckpointError: a file cannot be read.
    """
    if not directory.is_dir():
        raise CompareError(
            f"{directory}: no directory: {model} is compared with the checkpoint that it was converted to"
        )
    checkpoint = inspect_checkpoint(directory)
    config = read_config(directory)
    if checkpoint.model_spec.composed:
        raise CompareError(f"{directory}: {checkpoint.model_class}: only BART and mBART come from a model of fairseq")
    found = open_fairseq(model)
    theirs = Weights(config, found.opened, "bin", [model], checkpoint.model_class)
    ours = read_weights(directory, config, model_class=checkpoint.model_class)
    parameters, equal = [], 0
    for name in dict.fromkeys([*theirs, *theirs.missing]):
        difference = _difference(name, found, theirs, ours)
        if difference is not None:
            parameters.append(difference)
        elif name in theirs:
            equal += 1
    for raw in [*theirs.surplus, *found.unknown]:
        fairseq_name = found.names.get(raw, raw)
        if not _is_tied(raw):
            parameters.append(
                Difference(
                    raw, fairseq_name, "lost", f"{checkpoint.model_class} with this config has no such parameter"
                )
            )
    settings = tuple(_settings(found.settings, checkpoint.config))
    dictionary = tuple(_dictionary(model, directory, checkpoint.model_spec.vocab))
    return ConversionComparison((str(model), str(directory)), tuple(parameters), settings, dictionary, equal)


def _is_tied(raw: str) -> bool:
    """The output projection is another name of the shared table."""
    return raw == "lm_head.weight"


def _difference(name: str, found: FairseqFile, theirs: Weights, ours: Weights) -> Difference | None:
    raw = found.names.get(theirs.raw.get(name, name), "")
    if name not in theirs or name in theirs.missing:
        if name == LOGITS_BIAS or name not in ours:
            return None
        return Difference(name, "", "added", f"{_shape(ours[name])}, and not in the file of fairseq")
    one = theirs[name]
    if name not in ours or name in ours.missing:
        return None if name == LOGITS_BIAS else Difference(name, raw, "lost", f"{_shape(one)} is not in the checkpoint")
    other = ours[name]
    cast = one.astype(other.dtype) if one.dtype != other.dtype else one
    if cast.shape == other.shape and _same(cast, other):
        return None
    kind, detail = _kind(cast, other)
    return Difference(name, raw, kind, detail)


def _kind(one: np.ndarray, other: np.ndarray) -> tuple[str, str]:
    """How an array of the checkpoint differs from fairseq's."""
    if one.ndim == 2 and one.T.shape == other.shape and _same(one.T, other):
        return "transposed", f"{_shape(one)}, transposed to {_shape(other)}"
    if one.shape != other.shape:
        return _another_shape(one, other)
    if one.ndim == 2 and (order := _row_order(one, other)) is not None:
        first = int(np.flatnonzero(order != np.arange(len(order)))[0])
        return "reordered", f"the same rows in another order: row {first} of the checkpoint is row {order[first]}"
    if one.ndim == 2 and len(one) == len(other):
        rows = np.flatnonzero((one != other).any(axis=1))
        if 0 < len(rows) < len(one):
            return "changed", f"{len(rows)} of {len(one)} rows, the first at {rows[0]}, {_largest(one, other)}"
    return "changed", _largest(one, other)


def _another_shape(one: np.ndarray, other: np.ndarray) -> tuple[str, str]:
    shapes = f"{_shape(one)}, and {_shape(other)} in the checkpoint"
    if one.ndim != other.ndim:
        return "shape", shapes
    common = tuple(slice(0, min(sizes)) for sizes in zip(one.shape, other.shape, strict=True))
    if not _same(one[common], other[common]):
        return "shape", f"{shapes}; the values in common differ, {_largest(one[common], other[common])}"
    if all(a <= b for a, b in zip(one.shape, other.shape, strict=True)):
        return "padded", f"{shapes}; the rest has been added"
    return "truncated", f"{shapes}; the rest has been lost"


def _row_order(one: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    """By row of the second array its index in the first, if both have the same rows in another order."""
    rows = {row.tobytes(): index for index, row in enumerate(one)}
    if len(rows) < len(one):
        return None
    found = [rows.get(row.tobytes(), -1) for row in other]
    return None if -1 in found or len(set(found)) < len(found) else np.array(found)


def _largest(one: np.ndarray, other: np.ndarray) -> str:
    distance = np.abs(one.astype(np.float64) - other.astype(np.float64))
    at = np.unravel_index(int(np.nanargmax(distance)) if not np.isnan(distance).all() else 0, distance.shape)
    return f"by at most {float(distance[at]):.3g} at {[int(index) for index in at]}"


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def _shape(array: np.ndarray) -> str:
    return str(list(array.shape))


def _settings(theirs: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    """The settings of fairseq that the checkpoint's config means otherwise."""
    raw = {**theirs, "model_type": config.get("model_type")}
    for field in unread_fields(raw, config):
        if not field.harmless:
            yield f"{field.name} is {field.value!r}: {field.why}; the checkpoint computes with {field.computed!r}"
    for name, ours in (
        ("encoder_layers", "encoder_layers"),
        ("decoder_layers", "decoder_layers"),
        ("encoder_attention_heads", "encoder_attention_heads"),
        ("decoder_attention_heads", "decoder_attention_heads"),
        ("encoder_ffn_embed_dim", "encoder_ffn_dim"),
        ("decoder_ffn_embed_dim", "decoder_ffn_dim"),
        ("encoder_embed_dim", "d_model"),
    ):
        if name in theirs and theirs[name] != config.get(ours):
            yield f"{name} is {theirs[name]!r}, and {ours} of the checkpoint is {config.get(ours)!r}"


def _dictionary(model: Path, directory: Path, size: int) -> Iterator[str]:
    """``dict.txt`` beside the model against the checkpoint's vocabulary. A line of it is a token and its count."""
    path = model.with_name("dict.txt")
    if not path.is_file():
        return
    if path.stat().st_size > LARGEST_DICTIONARY:
        raise InputError(f"{path}: larger than {LARGEST_DICTIONARY >> 20} MB, no dictionary")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    tokens = [*SPECIAL, *(line.rpartition(" ")[0] for line in lines if line.strip())]
    if len(tokens) > size:
        yield f"dict.txt has {len(tokens)} tokens with the special ones, and the checkpoint a vocabulary of {size}"
    vocabulary = json_object(directory, "vocab.json")
    if vocabulary is None:
        return
    by_id = {index: token for token, index in vocabulary.items() if isinstance(index, int)}
    # BART's dictionary has the ids of GPT-2's tokens in place of tokens, whose texts are in another file.
    if all(token.isdecimal() or token.startswith("madeupword") for token in tokens[len(SPECIAL) :]):
        for index, token in enumerate(SPECIAL):
            if by_id.get(index, token) != token:
                yield f"token {index} is {token} in fairseq, and {by_id[index]} in vocab.json"
        return
    for index, token in enumerate(tokens):
        if index in by_id and by_id[index] != token:
            yield f"token {index} is {token} in dict.txt, and {by_id[index]} in vocab.json"
            return
