"""Fields of a ``config.json`` that ask for another model than the one that is computed, because nothing reads them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from parity.core.resources import data

HALVES = ("encoder", "decoder")
SEARCHED = "4.37.2 to 5.23.0"
"""The releases of transformers in whose sources no reader of these fields was found."""


@dataclass(frozen=True)
class UnreadField:
    """One such field of a config, or of one of its halves."""

    name: str
    """As it stands in the file, ``encoder.activation`` for a half's."""
    value: Any
    computed: Any
    """What is computed with instead, in the field's own words."""
    why: str
    """What it asks for, or which field is read in its place, as a clause."""
    harmless: bool
    """Whether the model that it asks for is the one that is computed."""


@cache
def tables() -> dict[str, list[dict[str, Any]]]:
    """``parity/checkpoint/data/unread_fields.toml``: ``switch`` and ``name`` tables."""
    return tomllib.loads(data("checkpoint/data/unread_fields.toml").read_text(encoding="utf-8"))


def unread_fields(raw: Mapping[str, Any], filled: Mapping[str, Any]) -> Iterator[UnreadField]:
    """The fields of a config that stand in the table, those of its halves too.

    Args:
        raw: what ``config.json`` holds.
        filled: the same with every documented default (``parity.checkpoint.inspection.Checkpoint.config``).
    """
    yield from _of_one(raw, filled, "")
    for half in HALVES:
        if isinstance(raw.get(half), Mapping):
            yield from _of_one(raw[half], filled.get(half) or {}, f"{half}.")


def _of_one(raw: Mapping[str, Any], filled: Mapping[str, Any], prefix: str) -> Iterator[UnreadField]:
    kind = raw.get("model_type")
    for row in tables()["switch"]:
        field, computes = row["field"], row["computes"]
        if kind in computes and raw.get(field) is not None:
            value, computed = raw[field], computes[kind]
            yield UnreadField(prefix + field, value, computed, f"says {row['means']}", value == computed)
    for row in tables()["name"]:
        field, reads = row["field"], row["read"]
        if kind not in reads or raw.get(field) is None:
            continue
        value, read = raw[field], reads[kind]
        computed = filled.get(read)
        meant = not value if row.get("negated") else _meant(row, value)
        why = f"is not what {kind} reads, which is {read}"
        yield UnreadField(prefix + field, value, computed, why, meant == computed)


def _meant(row: Mapping[str, Any], value: Any) -> Any:
    return row.get("same", {}).get(value, value) if isinstance(value, str) else value
