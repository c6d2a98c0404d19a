"""Which of several weight files each implementation reads, determined by names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from parity.core.backends import BACKENDS

_SAFE, _BIN, _H5, _MSGPACK = "model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"
_OF_PT = (_BIN, f"{_BIN}.index.json")

Order = tuple[str, ...]


def _with_index(*names: str) -> Order:
    return tuple(each for name in names for each in (name, f"{name}.index.json"))


def order_of(backend: str, version: Sequence[int], from_pt: bool = False) -> Order | None:
    """Names of weight files in order of precedence.

    Sources: transformers 4.37.2 and 4.57.6, ``modeling_utils.py``, ``modeling_tf_utils.py`` and
    ``modeling_flax_utils.py``, and 5.23.0, ``modeling_utils.py``, each where a local directory is looked through;
    ``reference.weights.FORMATS`` for our own.

    Args:
        version: major, minor and patch of the installed transformers; ignored for a reference.
        from_pt: whether that flag is passed (to TensorFlow's and Flax's classes).

    Returns:
        None for an unknown backend.
    """
    entry = BACKENDS.get(backend)
    if entry is None:
        return None
    if entry.reference:
        return _with_index(_SAFE, _BIN, _H5, _MSGPACK)
    match entry.weights.own if entry.weights else "":
        case "pt":
            return _with_index(_SAFE, _BIN)
        case "flax":
            return (*_with_index(_MSGPACK), _SAFE, *(_OF_PT if from_pt else ()))
        case "tf":
            # 4.37 looks for its own format before safetensors shards, which it cannot read.
            sharded = (_SAFE, *_with_index(_H5)) if tuple(version) < (4, 38) else _with_index(_SAFE, _H5)
            return (*(_OF_PT if from_pt else ()), *sharded)
    return None


def file_read(backend: str, version: Sequence[int], there: Collection[str], from_pt: bool = False) -> str | None:
    """The first of a backend's names that exists in a directory; None if there is none, or the backend is unknown.

    Args:
        there: names of the directory's files.
        version, from_pt: as for ``order_of``.
    """
    return next((name for name in order_of(backend, version, from_pt) or () if name in there), None)
