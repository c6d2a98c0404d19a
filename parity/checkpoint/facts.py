"""What the files of a checkpoint hold, as far as the conditions of a known issue name it: from headers and JSON."""

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
"""By the layout of a file's names, the framework that wrote it."""


def file_facts(directory: Path, model_class: str, files: Iterable[str], generation: Mapping[str, Any]) -> FileFacts:
    """The facts of one checkpoint that has been found readable.

    Args:
        model_class: the documented class that it is loaded as.
        files: names of the files that count (``parity.checkpoint.inspection.Checkpoint.files``).
        generation: the settings of generation in force (``Checkpoint.generation``).

    Raises:
        CheckpointError: ``config.json`` cannot be read. A weight file that cannot be
            read is no fact: nothing is known of it.
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
    """The facts of the weight file, or of the shards, of one format; None where there is none that can be read."""
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
    """The name of the class that a file's name spells: a duplicate of a tied table keeps a name of its own."""
    spelled = SPELLINGS[opened.layout](raw)
    known = table.spelled(spelled[0]) if spelled else ()
    return [name for name in known if name in table.tied or name in table.shapes][:1]


def _dtype(raw: Mapping[str, Any], weights: list[WeightFacts]) -> str | None:
    """As transformers 5 settles it without arguments (5.23.0, modeling_utils.py, ``_get_dtype``)."""
    stated = raw.get("dtype", raw.get("torch_dtype"))
    if isinstance(stated, str):
        return stated.removeprefix("torch.")
    stored = [dtype for dtype in (weights[0].dtypes if weights else ()) if "float" in dtype]
    return stored[0] if len(stored) == 1 else None


def _fields(raw: Mapping[str, Any]) -> Iterable[str]:
    """The fields that ``config.json`` itself names; those of a half behind its name and a point."""
    for name, value in raw.items():
        yield name
        if name in ("encoder", "decoder") and isinstance(value, dict):
            yield from (f"{name}.{each}" for each in value)
