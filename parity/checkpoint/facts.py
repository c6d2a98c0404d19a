"""Facts about a checkpoint's files that conditions of known issues refer to, from headers and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from parity.core.records import FileFacts, WeightFacts
from reference.config import CONFIG_FILE, read_config, read_json
from reference.errors import CheckpointError
from reference.names import Table, table_of
from reference.names.layouts import SPELLINGS
from reference.weights import FORMATS, find_weights, open_weights
from reference.weights.stored import Opened

FRAMEWORKS = {"torch": "pt", "tf": "tf", "flax": "flax"}
"""The framework that wrote a file, by its name layout."""


def file_facts(directory: Path, model_class: str, files: Iterable[str], generation: Mapping[str, Any]) -> FileFacts:
    """The facts of one readable checkpoint.

    Args:
        model_class: the documented class to load it as. files: names of the relevant files
            (``parity.checkpoint.inspection.Checkpoint.files``).
        generation: the settings of generation in force (``Checkpoint.generation``).

    Raises:
        CheckpointError: ``config.json`` cannot be read. An unreadable weight file has no facts.
    """
    config = read_config(directory)
    table = table_of(config, model_class)
    raw = read_json(directory, CONFIG_FILE)
    weights = [facts for known in FORMATS if (facts := _weights(directory, known.name, table)) is not None]
    return FileFacts(
        files=sorted(files),
        weights=weights,
        dtype=_dtype(raw, weights),
        config_fields=sorted(_fields(raw)),
        generation=dict(generation),
    )


def _weights(directory: Path, format: str, table: Table) -> WeightFacts | None:
    """The facts of the weight file, or of the shards, of one format; None if there is no readable one."""
    try:
        known, files = find_weights(directory, format)
        opened = open_weights(known, files)
    except CheckpointError:
        return None
    held = {name for raw in opened.tensors for name in _names_of(raw, opened, table)}
    names = [*table.shapes, *table.tied]
    return WeightFacts(
        format=format,
        framework=FRAMEWORKS[opened.layout],
        shards=sum(path.name != known.index for path in files),
        dtypes=sorted({stored.dtype for stored in opened.tensors.values()}),
        holds=[name for name in names if name in held],
        lacks=[name for name in names if name not in held],
    )


def _names_of(raw: str, opened: Opened, table: Table) -> list[str]:
    """The class's name of a tensor in a file; a duplicate of a tied table keeps its own name."""
    spelled = SPELLINGS[opened.layout](raw)
    known = table.spelled(spelled[0]) if spelled else ()
    return [name for name in known if name in table.tied or name in table.shapes][:1]


def _dtype(raw: Mapping[str, Any], weights: list[WeightFacts]) -> str | None:
    """The dtype that transformers 5 uses without arguments (5.23.0, modeling_utils.py, ``_get_dtype``)."""
    stated = raw.get("dtype", raw.get("torch_dtype"))
    if isinstance(stated, str):
        return stated.removeprefix("torch.")
    stored = [dtype for dtype in (weights[0].dtypes if weights else ()) if "float" in dtype]
    return stored[0] if len(stored) == 1 else None


def _fields(raw: Mapping[str, Any]) -> Iterable[str]:
    """The fields that ``config.json`` sets; those of a half are prefixed by its name and a dot."""
    for name, value in raw.items():
        yield name
        if name in ("encoder", "decoder") and isinstance(value, dict):
            yield from (f"{name}.{each}" for each in value)
