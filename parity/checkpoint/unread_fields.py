"""Fields of a ``config.json`` that specify another model than is computed, because no implementation reads them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from parity.core.resources import data

HALVES = ("encoder", "decoder")
SEARCHED = "4.37.2 to 5.23.0"
"""The releases of transformers whose sources do not read these fields."""


@dataclass(frozen=True)
class UnreadField:
    """One such field of a config, or of one of its halves."""

    name: str
    """The field's name in the file, ``encoder.activation`` for a half's."""
    value: Any
    computed: Any
    """The value that is used instead."""
    why: str
    """Its meaning, or which field is read in its place, as a clause."""
    harmless: bool
    """Whether the specified model equals the computed one."""


@cache
def tables() -> dict[str, list[dict[str, Any]]]:
    """``parity/checkpoint/data/unread_fields.toml``: ``switch`` and ``name`` tables."""
    return tomllib.loads(data("checkpoint/data/unread_fields.toml").read_text(encoding="utf-8"))


def unread_fields(raw: Mapping[str, Any], filled: Mapping[str, Any]) -> Iterator[UnreadField]:
    """The fields of a config that are in the table, including those of its halves.

    Args:
        raw: the content of ``config.json``.
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
