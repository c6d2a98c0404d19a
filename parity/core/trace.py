"""A trace: everything one subject produced for one case, in one safetensors file.

Arrays carry canonical names (``parity.core.tensors``) in data-flow order. Everything else (exceptions, returned fields,
loaded parameters) is JSON in the file's metadata, beside the provenance. Half-precision arrays are stored widened to
float32, which is exact; ``dtypes`` holds the types that the backend returned. The metadata also holds the file's own
sha256, computed with zeros in its place: a file with any changed bit, in an array, the facts or the header, is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from io import BufferedIOBase
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from parity.core.errors import InputError
from reference.errors import CheckpointError, brief
from reference.files import open_file

FORMAT = 2
PROJECT_ABOVE = 1 << 18
PROJECTION_WIDTH = 16
_PROJECTION_ROWS = 64
_NO_DIGEST = "0" * 64
_DIGEST = b'"digest":"'
"""The beginning of the digest's field in the header. Elsewhere in the header every quotation mark within a text is
escaped."""
_PIECE = 1 << 20
LARGE = 1 << 24
"""Size in bytes from which a file's content is hashed once per process, as long as device, inode, size and times stay
the same."""
_CODES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
"""The safetensors name of a numpy dtype."""
_known: dict[tuple[int, ...], str] = {}
"""Content digests of large files that this process wrote or verified, by device, inode, size and time."""


class TraceError(InputError):
    """A trace file cannot be read; the message names the file and the cause."""


FILE = "file."
"""Prefix of a saved file's name among the arrays of a save trace."""


@dataclass(frozen=True)
class Raised:
    """The exception that a backend raised."""

    type: str
    message: str
    frame: str
    """The deepest frame, ``file:line in function``, the file relative to its site-packages."""
    phase: str = "call"
    """``load`` or ``call``."""


if TYPE_CHECKING:
    from typing import TypedDict

    # Keys that are Python keywords.
    _Words = TypedDict("_Words", {"class": str, "json": Any, "dict": list[Any], "tuple": list[Any]}, total=False)

    class Facts(_Words, total=False):
        """The metadata of a result, by operation. Where two operations share a key, each has its own type.

        ``class``: the name of the library's class. ``json``: a config's values after a round trip through JSON.
        ``dict`` and ``tuple``: summaries of an output's leaves in either form.
        """

        # load, load_as, load_saved, compose
        report: dict[str, Any]
        """``LoadReport`` as JSON."""
        parameters: dict[str, dict[str, Any]]
        """By canonical name: shape, dtype, digest, number of non-finite values; for a saver, of the parameters in
        memory."""
        second: dict[str, str]
        """Digests after a second load, or of a second call."""
        flags: dict[str, Any]
        """Settings of a joined model."""
        training: bool | None
        """Whether a loaded model is in training."""
        route: str | None
        """The route by which a model was loaded."""

        # training
        equals_first: list[bool]
        """Of each further call, whether its outputs are those of the first."""

        # forward, encode_decode, layerwise, repeat, tuple
        fields: list[dict[str, Any]]
        """Each output in the library's own order, with its form."""
        first: dict[str, str]
        """Digests of a first call."""
        names: list[str]
        """Names of the dict's leaves, in its order."""

        # gradients, frozen_gradients
        projected: list[str]
        """Gradients that are stored as a random projection."""
        minuends: dict[str, float]
        """The minuend of softmax cancellation, by tensor (``parity.backends.reference.softmax_cancellation``)."""
        minuend_terms: dict[str, float]
        """The root mean square of its terms."""
        moved: list[str]
        """Parameters with a non-zero gradient."""

        # decode_steps, generation_settings, reachable
        steps: list[dict[str, Any]]
        """Of each call: tokens, the cache's layout and shapes."""
        settings: dict[str, Any]
        """The settings ``generate`` would use; of ``load_saved``, after loading."""
        draws: list[list[int]]
        """The tokens that each of several calls with sampling drew."""
        exhausted: bool
        """The search for reachable texts was incomplete."""

        # save
        files: dict[str, dict[str, Any]]
        """Size and digest of each saved file."""
        tied: list[Any]
        """Groups of parameters that share storage."""
        stored: dict[str, Any]
        """The content of the files, read without the library."""
        let_go: list[str]
        """Large files that were removed from the trace."""

        # signature, plain_load
        signatures: dict[str, Any]
        """Of each method: names, defaults and kinds of arguments."""
        devices: dict[str, int]
        """Parameters on each device."""
        attention: str | None
        """The attention of a model loaded without arguments."""
        dtypes: Any
        """``plain_load``: number of parameters of each dtype; ``weight_files``: the dtypes in each of two files."""

        # config
        raw: dict[str, Any]
        """``config.json`` unchanged."""
        read: Any
        """``config``: values by half; ``weight_files``: the file that is read."""
        arguments: list[list[Any]]
        """Parameters of the constructor: name, default, whether positional."""
        without_arguments: dict[str, Any]
        """Attributes after construction without arguments."""
        joined: dict[str, Any]
        """The result of ``from_encoder_decoder_configs`` on two configs."""
        saved: Any
        """``config``: values after saving; ``tokenize``: ids after saving."""

        # load_config, load_tokenizer
        before: Any
        """What the reader reads in the checkpoint: values by half and part, or the ids of each text."""
        after: Any
        """The same of files that another saved."""

        # tokenize, tokenizer_files
        kind: str
        """The tokenizer type."""
        roles: dict[str, int | None]
        """Ids of the special tokens."""
        size: int
        """Vocabulary size."""
        largest_id: int
        """The largest id."""
        largest_token: str
        """The token with this id."""
        model_max_length: Any
        """The value in ``tokenizer_config.json``."""
        problems: list[str]
        """Contradictions between the files."""
        serialised: dict[str, Any] | None
        """Differences between ``tokenizer.json`` and the files it was made from."""
        texts: dict[str, list[Any]]
        """The ids of each text, without and with a prefix space."""
        pairs: list[Any]
        """The ids of each pair."""
        decoded: list[Any]
        """The decoded texts."""
        documented: dict[str, Any]
        """All valid results in the documented dialect, where a text has several."""
        fast: dict[str, Any]
        """All valid results in the dialect of the library's fast class."""
        short: dict[str, list[Any]]
        """Truncated and padded rows, by the sides of both."""

        # weight_files
        file: str
        """The other file, or the location of a vocabulary."""
        compared: int
        """Number of parameters in both."""
        missing: list[str]
        """Parameters missing from the other file."""
        added: list[str]
        """Parameters only in the other file."""
        differing: int
        """Parameters with different values."""
        differs: list[dict[str, Any]]
        """The first of these, with position and difference."""
        unequal_duplicates: Any
        """Parameters that the file contains twice, with different values."""
        stored_for: list[str]
        """Frameworks with a weight file of their own."""
        unreadable: str
        """Why the other file cannot be read."""

else:
    # A dict at runtime, as ``parity.core.case.Notes`` is.
    Facts = dict[str, Any]


@dataclass
class Trace:
    """Named arrays, facts and provenance; ``arrays`` may be read lazily from a file."""

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Facts = field(default_factory=lambda: Facts())
    raised: Raised | None = None
    dtypes: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    """sha256 of the file it was read from, or written to last."""

    def write(self, path: Path, *, replaces: bool = True) -> None:
        """Writes the trace atomically: to a temporary file beside ``path``, then renamed.

        Args:
            replaces: if false, an intact trace of the same key stays. Another run that shares the cache may have
                recorded its digest, which depends on the time that it took.

        Raises:
            OSError: the directory cannot be written or the disk is full; nothing is left behind.
        """
        head = {"format": FORMAT, "facts": self.facts, "dtypes": self.dtypes, "provenance": self.provenance}
        head["raised"] = asdict(self.raised) if self.raised else None
        # safetensors sorts tensors by size, so the data-flow order is stored here.
        head["order"] = list(self.arrays)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".part-", dir=path.parent)
        os.close(handle)
        try:
            with Path(temporary).open("wb") as file:
                self.digest = _write(file, self.arrays, json.dumps(head))
            _remember(Path(temporary).stat(), self.digest)
            if replaces or not self._linked(temporary, path):
                os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)

    def _linked(self, temporary: str, path: Path) -> bool:
        """Gives a temporary file its name, unless an intact trace of the same key has it; false if it has to replace
        what is there, or links are not possible."""
        try:
            os.link(temporary, path)
        except FileExistsError:
            try:
                return Trace.read(path).provenance.get("key") == self.provenance.get("key")
            except TraceError:
                return False
        except OSError:
            return False
        return True

    @classmethod
    def read(cls, path: Path, digest: str = "") -> Trace:
        """Opens a trace and verifies its digest; arrays are read from the file on access.

        Args:
            digest: the digest that the run recorded; an intact trace with another digest is refused too.

        Raises:
            TraceError: the file is missing, truncated, changed since it was written, or not a trace of this format.
        """
        try:
            with open_file(path) as file:
                status = os.fstat(file.fileno())
                stored, found = _digests(file, _known.get(_identity(status)))
            _remember(status, found)
            if stored != found:
                raise TraceError(f"{path}: changed since it was written: its digest does not match")
            if digest and digest != found:
                raise TraceError(f"{path}: not the trace that the run recorded")
            with safe_open(path, framework="numpy") as file:
                head, names = json.loads((file.metadata() or {})["parity"]), file.keys()
            if head["format"] != FORMAT:
                raise TraceError(f"{path}: trace format {brief(head['format'])}, this version reads {FORMAT}")
            if sorted(head["order"]) != sorted(names):
                raise ValueError("the recorded order does not match its arrays")
            raised = Raised(**head["raised"]) if head["raised"] else None
            arrays = FileArrays(path, status, head["order"], found)
            return cls(arrays, head["facts"], raised, head["dtypes"], head["provenance"], found)
        except TraceError:
            raise
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
            cause = error.cause if isinstance(error, CheckpointError) else brief(str(error), 300)[1:-1]
            raise TraceError(f"{path}: not a readable trace: {cause}") from error


def _write(file: BufferedIOBase, arrays: Mapping[str, np.ndarray], head: str) -> str:
    """Writes a safetensors file with the digest of its content, and returns the digest.

    Arrays are written and hashed in place, without a copy: a file in a save trace is as large as a model.
    """
    given = {name: np.asarray(array) for name, array in arrays.items()}
    # The widest types first, so that every array is aligned.
    order = sorted(given, key=lambda name: (-given[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": {"digest": _NO_DIGEST, "parity": head}}
    end = 0
    for name in order:
        start, end = end, end + given[name].nbytes
        code = _CODES[given[name].dtype.name]
        header[name] = {"dtype": code, "shape": list(given[name].shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    parts = (_bytes_of(given[name]) for name in order)
    beginning = memoryview(len(text).to_bytes(8, "little") + text)
    for piece in chain([beginning], parts):
        for offset in range(0, len(piece), _PIECE):
            part = piece[offset : offset + _PIECE]
            digest.update(part)
            file.write(part)
    file.seek(8 + text.index(_DIGEST) + len(_DIGEST))
    file.write(digest.hexdigest().encode())
    return digest.hexdigest()


def _bytes_of(array: np.ndarray) -> memoryview:
    """An array's bytes in order, little-endian; a view where the memory is already so."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return array.reshape(-1).view(np.uint8).data


def _digests(file: BufferedIOBase, known: str | None = None) -> tuple[str, str]:
    """The digest stored in a trace file, and that of its content: ``known``, or else computed now.

    Raises:
        ValueError: the file stores none.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(8)
    length = int.from_bytes(start, "little")
    header = file.read(length) if length <= size else b""
    offset = header.find(_DIGEST) + len(_DIGEST)
    end = offset + len(_NO_DIGEST)
    if offset < len(_DIGEST) or header[end : end + 1] != b'"':
        raise ValueError("it stores no digest")
    stored = header[offset:end].decode("ascii", errors="replace")
    if known is not None:
        return stored, known
    digest = hashlib.sha256(start + header[:offset] + _NO_DIGEST.encode() + header[end:])
    while piece := file.read(_PIECE):
        digest.update(piece)
    return stored, digest.hexdigest()


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """A file's identity, which stays the same as long as nobody writes to it."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _remember(status: os.stat_result, digest: str) -> None:
    if status.st_size >= LARGE:
        _known[_identity(status)] = digest


class FileArrays(Mapping[str, np.ndarray]):
    """The arrays of one trace file, each read on access."""

    def __init__(self, path: Path, status: os.stat_result, names: list[str], digest: str) -> None:
        """``status``: file status when its digest was verified."""
        self._path, self._status, self._names, self._known = path, status, names, frozenset(names)
        self._digest = digest
        self._file: Any = None

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._known:
            raise KeyError(name)
        if self._file is None:
            self._file = safe_open(self._path, framework="numpy")
            if _identity(self._path.stat()) != _identity(self._status) and not self._is_unchanged():
                raise TraceError(f"{self._path}: changed while it was being judged")
        return self._file.get_tensor(name)

    def _is_unchanged(self) -> bool:
        """Whether the file still has its content: another run marks traces of a shared cache as used, by their time."""
        try:
            with open_file(self._path) as file:
                return _digests(file)[1] == self._digest
        except (OSError, ValueError, CheckpointError):
            return False

    def copy(self, name: str, path: Path) -> None:
        """Writes the bytes of one array to a file in chunks."""
        with open_file(self._path) as file, path.open("wb") as other:
            length = int.from_bytes(file.read(8), "little")
            start, end = json.loads(file.read(length))[name]["data_offsets"]
            file.seek(8 + length + start)
            for left in range(end - start, 0, -_PIECE):
                other.write(file.read(min(left, _PIECE)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def random_projection(array: np.ndarray) -> np.ndarray:
    """The last axis of a large array projected on 16 fixed random sign vectors, in float64.

    The projection is linear, so the random projection of a difference is the difference of the random projections, and
    the root mean square over the 16 numbers estimates that over the axis it replaces (relative standard error 1/√32,
    Johnson and Lindenstrauss 1984). Only gradients larger than ``PROJECT_ABOVE`` elements are stored this way; their
    tolerances are measured on random projections too.

    Args:
        array: ``[..., width]``, any float dtype.

    Returns:
        float64 ``[..., 16]``, scaled so that its root mean square estimates that of ``array``.
    """
    width = array.shape[-1]
    signs = np.random.default_rng(width).integers(0, 2, (width, PROJECTION_WIDTH)) * 2.0 - 1.0
    rows = array.reshape(-1, width)
    projected = np.empty((len(rows), PROJECTION_WIDTH))
    # In chunks that fit in the processor's cache: widening a whole embedding table costs more than the product.
    for start in range(0, len(rows), _PROJECTION_ROWS):
        piece = slice(start, start + _PROJECTION_ROWS)
        np.matmul(rows[piece].astype(np.float64), signs, out=projected[piece])
    return (projected / np.sqrt(width)).reshape(*array.shape[:-1], PROJECTION_WIDTH)


def digest_array(array: np.ndarray, about: str = "") -> str:
    """sha256 of the array's shape, dtype and little-endian bytes (and of ``about``), first 32 hex digits."""
    array = np.asarray(array, order="C")
    digest = hashlib.sha256(f"{about}{array.dtype.str}{array.shape}".encode())
    digest.update(array.data if array.size else b"")
    return digest.hexdigest()[:32]
