"""Traces of saving and of loading saved files: the files themselves, and the parameters in memory. No framework.

A saved ``pytorch_model.bin`` is a pickle, and it is loaded only if this run wrote it, by the library's own
``from_pretrained``; our reader runs no code (``reference.weights.unpickle``).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from parity.backends.protocol import FileReader, Model
from parity.capture.worker.session import Session
from parity.core.trace import FILE, FileArrays, Trace

LARGE = 1 << 24
"""Size in bytes from which a saved file is not stored beyond the run."""
Describe = Callable[[np.ndarray], tuple[dict[str, Any], np.ndarray]]


def save(session: Session, format: str, describe: Describe) -> Trace:
    """Saves the model as a user would, and reads the files without the library."""
    model = session.current()
    held = {name: describe(array)[0] for name, array in model.parameters()}
    with tempfile.TemporaryDirectory(prefix="parity-saved-") as folder:
        with session.clock.backend():
            model.save(Path(folder), format)
        session.paths.in_files(Path(folder))
        # Mapped, not read: the files may be as large as the model. They exist until the last array is freed.
        arrays = {f"{FILE}{name}": _mapped(path) for name, path in _files(Path(folder))}
        stored = _read(Path(folder), session.model_class, describe, held)
    files = {name.removeprefix(FILE): _facts(array) for name, array in arrays.items()}
    return Trace(arrays, {"files": files, "parameters": held, "tied": model.report.tied, "stored": stored})


def load_saved(session: Session, saved: Trace, route: str, generates: bool, describe: Describe) -> Trace:
    """The parameters in memory after loading a save trace's files by this route; and the generation settings in force,
    if the class generates text."""
    with tempfile.TemporaryDirectory(prefix="parity-saved-") as folder:
        unpack(saved.arrays, Path(folder))
        model = session.load_other(checkpoint=Path(folder), route=route)
        trace = in_memory(model, describe)
    settings = {"settings": dict(model.generation_settings())} if generates else {}
    return replace(trace, facts={**trace.facts, **settings})


def save_files(session: Session) -> Trace:
    """Saves a config or a tokenizer as a user would."""
    with tempfile.TemporaryDirectory(prefix="parity-saved-") as folder:
        with session.clock.backend():
            cast("FileReader", session.current()).save(Path(folder))
        arrays = {f"{FILE}{name}": _mapped(path) for name, path in _files(Path(folder))}
    return Trace(arrays, {"files": {name.removeprefix(FILE): _facts(array) for name, array in arrays.items()}})


def load_files(session: Session, saved: Trace, settings: Mapping[str, Any]) -> Trace:
    """What a reader reads in the files of a save trace, and in the checkpoint's own."""
    with tempfile.TemporaryDirectory(prefix="parity-saved-") as folder:
        unpack(saved.arrays, Path(folder))
        with session.clock.backend():
            return Trace(facts=cast("FileReader", session.current()).read_saved(Path(folder), **settings))


def in_memory(model: Model, describe: Describe) -> Trace:
    """Every parameter of a model, and the library's load report."""
    parameters, rows = {}, {}
    for name, array in model.parameters():
        parameters[name], rows[f"rows.{name}"] = describe(array)
    return Trace(rows, {"report": asdict(model.report), "parameters": parameters})


def unpack(arrays: Mapping[str, np.ndarray], folder: Path) -> None:
    """Writes the files of a save trace under their own names."""
    for name in arrays:
        if name.startswith(FILE):
            # A name must be a plain file name: a foreign trace must not write outside of the folder.
            path = folder / Path(name.removeprefix(FILE)).name
            if isinstance(arrays, FileArrays):
                arrays.copy(name, path)
            else:
                arrays[name].tofile(path)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    return ((path.name, path) for path in sorted(folder.iterdir()) if path.is_file())


def _facts(array: np.ndarray) -> dict[str, Any]:
    return {"bytes": int(array.size), "sha256": hashlib.sha256(array.data).hexdigest()}


def _mapped(path: Path) -> np.ndarray:
    return np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.zeros(0, np.uint8)


def without_large_files(trace: Trace) -> Trace | None:
    """A save trace without the large files, which its fact ``let_go`` lists; None if it has none.

    Each file's size and digest remain among the facts.
    """
    large = [name for name, said in trace.facts.get("files", {}).items() if said["bytes"] > LARGE]
    if not large:
        return None
    small = {name: trace.arrays[name] for name in trace.arrays if name.removeprefix(FILE) not in large}
    return replace(trace, arrays=small, facts={**trace.facts, "let_go": large}, digest="")


def _read(folder: Path, model_class: str, describe: Describe, held: Mapping[str, Any]) -> dict[str, Any]:
    """The content according to our own readers: parameters, missing and surplus ones; or why they cannot read the
    files.

    A shape that differs only by axes of size 1 (TF's GPT-2 biases) counts as the parameter's, as in ``held``.
    """
    from reference.config import read_config
    from reference.errors import CheckpointError
    from reference.weights import read_weights

    try:
        weights = read_weights(folder, read_config(folder), model_class=model_class)
        parameters = {name: describe(_as_held(weights[name], held.get(name)))[0] for name in weights}
        return {"parameters": parameters, "missing": weights.missing, "surplus": weights.surplus}
    except CheckpointError as error:
        return {"unreadable": str(error).replace(str(folder), "saved")}


def _as_held(array: np.ndarray, held: Mapping[str, Any] | None) -> np.ndarray:
    wanted = list(array.shape) if held is None else held["shape"]
    same = [length for length in array.shape if length != 1] == [length for length in wanted if length != 1]
    return array.reshape(wanted) if same else array
