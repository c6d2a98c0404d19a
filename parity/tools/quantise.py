"""Writes a checkpoint whose weights are rounded by a quantisation scheme: the exact answers of a quantised engine.

An engine that stores its weights in eight bits computes, without any fault, with other weights than the file's. Its
conforming implementations are the references with the rounded weights. So an audit of the rounded checkpoint shows what
the engine adds, and a comparison of the two checkpoints what rounding does by itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.errors import InputError, OutputError
from parity.core.nearest import unknown
from parity.core.version import __version__
from reference.config import read_config
from reference.names import LOGITS_BIAS
from reference.weights import read_weights
from reference.weights.cast import BFLOAT16

RECORD = "parity-quantisation.json"
"""Beside the weights: the scheme, the checkpoint's digest and the largest change of each matrix."""
WEIGHTS = "model.safetensors"
TABLES = ("embed_tokens.weight", "embed_positions.weight", "shared.weight", "lm_head.weight")
"""Ends of the names of embedding tables and of the output projection, which most schemes leave out."""


@dataclass(frozen=True)
class Scheme:
    """How a matrix ``[out, in]`` is rounded.

    Attributes:
        name: as the command takes it.
        bits: of an integer; 0 for a floating-point type.
        per_channel: one scale for each output (row), or one for the whole matrix.
        symmetric: the range is ``[-m, m]`` with ``m`` the greatest magnitude, and zero stays zero; else it is the least
            to the greatest value, widened to contain zero.
        full_range: whether the lowest integer (-128) is used in a symmetric range.
    """

    name: str
    bits: int = 8
    per_channel: bool = False
    symmetric: bool = True
    full_range: bool = False


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("int8"),
        Scheme("int8-per-channel", per_channel=True),
        Scheme("uint8", symmetric=False),
        Scheme("uint8-per-channel", per_channel=True, symmetric=False),
        Scheme("int4-per-channel", bits=4, per_channel=True),
        Scheme("float16", bits=0),
        Scheme("bfloat16", bits=0),
    )
}


def rounded(matrix: np.ndarray, scheme: Scheme) -> np.ndarray:
    """The matrix after rounding to the scheme's values and back, in float32.

    Args:
        matrix: float32 ``[out, in]``.

    >>> rounded(np.array([[1.0, -0.5, 0.001]], np.float32), SCHEMES["int8"]).round(4).tolist()
    [[1.0, -0.5039, 0.0]]
    """
    if not scheme.bits:
        kind = np.dtype(np.float16) if scheme.name == "float16" else BFLOAT16
        return matrix.astype(kind).astype(np.float32)
    exact = matrix.astype(np.float64)
    axis = 1 if scheme.per_channel else None
    if scheme.symmetric:
        highest = 2 ** (scheme.bits - 1) - 1
        lowest = -highest - scheme.full_range
        scale = np.abs(exact).max(axis=axis, keepdims=True) / highest
        zero = np.zeros_like(scale)
    else:
        lowest, highest = 0, 2**scheme.bits - 1
        least = np.minimum(exact.min(axis=axis, keepdims=True), 0.0)
        scale = (np.maximum(exact.max(axis=axis, keepdims=True), 0.0) - least) / highest
        zero = np.rint(-least / np.where(scale == 0, 1.0, scale))
    scale = np.where(scale == 0, 1.0, scale)  # a row of zeros
    steps = np.clip(np.rint(exact / scale) + zero, lowest, highest)
    return ((steps - zero) * scale).astype(np.float32)


@dataclass(frozen=True)
class Rounded:
    """What was written."""

    directory: Path
    matrices: int
    largest: float
    """The largest change of one element, relative to the largest element of its matrix."""
    where: str
    """The matrix with that change."""


def quantise(
    checkpoint: Path,
    directory: Path,
    scheme: str,
    *,
    tables: bool = False,
    selects: Callable[[str], bool] | None = None,
    vectors: bool = False,
) -> Rounded:
    """Writes the checkpoint with rounded matrices; vectors (biases, norms) stay as they are without ``vectors``.

    >>> from pathlib import Path
    >>> from parity.tools.quantise import quantise
    >>> quantise(Path("model"), Path("model-int8"), "int8-per-channel")  # doctest: +SKIP

    Args:
        checkpoint: a directory with a BART or mBART.
        directory: where the result is written; it must not exist.
        scheme: a name of ``SCHEMES``.
        tables: round the embedding tables and the output projection too.
        selects: whether a matrix is rounded, by its canonical name; by default every matrix but the tables.
        vectors: round biases and norms too, each as a matrix with one row.

    Raises:
        InputError: no such scheme, or another architecture.
        OutputError: the directory exists or cannot be written.
        CheckpointError: the checkpoint cannot be read.
    """
    if scheme not in SCHEMES:
        raise InputError(unknown("no quantisation scheme is called", scheme, SCHEMES))
    if directory.exists():
        raise OutputError(f"{directory}: exists already")
    inspected = inspect_checkpoint(checkpoint)
    if inspected.model_spec.composed:
        raise InputError(f"{checkpoint}: {inspected.model_class}: only a BART or mBART can be quantised here")
    weights = read_weights(checkpoint, read_config(checkpoint), model_class=inspected.model_class)
    chosen = selects or (lambda name: tables or not name.endswith(TABLES))
    found: dict[str, np.ndarray] = {}
    changes: dict[str, float] = {}
    for name, array in _arrays(weights):
        found[name] = array
        is_matrix = array.ndim == 2 and name != LOGITS_BIAS
        if (is_matrix and chosen(name)) or (vectors and not is_matrix):
            found[name] = rounded(array.reshape(-1, array.shape[-1]), SCHEMES[scheme]).reshape(array.shape)
            size = float(np.abs(array).max()) or 1.0
            changes[name] = float(np.abs(found[name] - array).max()) / size
    if not changes:
        raise InputError(f"{checkpoint}: no matrix is selected")
    record = {"parity": __version__, "scheme": asdict(SCHEMES[scheme]), "tables": tables, "source": inspected.digest}
    record |= {"vectors": True} if vectors else {}
    _write(checkpoint, directory, inspected.files, found, {**record, "largest_change": changes})
    where = max(changes, key=lambda name: changes[name])
    return Rounded(directory, len(changes), changes[where], where)


def _arrays(weights: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    for name in weights:
        array = weights[name]
        yield name, np.ascontiguousarray(array.astype(np.float32) if array.dtype != np.float32 else array)


def _write(
    checkpoint: Path, directory: Path, names: tuple[str, ...], weights: dict[str, np.ndarray], record: dict
) -> None:
    """Writes a directory beside, then renames it."""
    part = directory.with_name(f"{directory.name}.part")
    try:
        part.mkdir(parents=True)
        for name in names:
            if name.endswith((".json", ".txt")) and not name.endswith(".index.json"):
                shutil.copyfile(checkpoint / name, part / name)
        save_file(weights, part / WEIGHTS, metadata={"format": "pt"})
        (part / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        part.rename(directory)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise OutputError(f"{directory}: cannot be written: {error.strerror}") from error
