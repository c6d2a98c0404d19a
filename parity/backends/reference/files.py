"""Our own readers of configs and tokenizers, which use only the standard library."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from reference.config import CONFIG_FILE, read_json
from reference.errors import CheckpointError
from reference.tokenizer import DOCUMENTED, FAST, ByteLevelTokenizer, Dialect
from reference.tokenizer.added import read_settings
from reference.tokenizer.inventory import frame_problems, read_inventory
from reference.tokenizer.serialised import is_alone, read_serialised
from reference.tokenizer.vocabulary import read_merges, read_vocabulary

DIALECTS = {"documented": DOCUMENTED, "fast": FAST}
"""The documented dialect, and the one measured for the library's fast class."""
LONGEST = 100
"""Length limit of a token in messages."""
SHOWN = 50
"""Maximum number of listed contradictions between a tokenizer's files."""


def configuration(checkpoint: Path) -> dict[str, Any]:
    """The content of ``config.json``, unchanged.

    Raises:
        CheckpointError: it cannot be read.
    """
    return {"raw": read_json(checkpoint, CONFIG_FILE)}


def tokenize(checkpoint: Path, texts: Sequence[str], pairs: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The tokens of every text, in each dialect.

    Raises:
        CheckpointError: a tokenizer's file is missing, malformed, or contradicts another.
    """
    plain = ByteLevelTokenizer.read(checkpoint, False)
    return {
        "model_max_length": read_settings(checkpoint).get("model_max_length"),
        "roles": {role: None if token is None else plain.ids.get(token) for role, token in plain.roles.items()},
        "size": len(plain.ids),
        "largest_id": max(plain.tokens),
        "largest_token": plain.tokens[max(plain.tokens)][:LONGEST],
        "serialised": _serialised(checkpoint, plain),
        "problems": _frame_problems(checkpoint),
        **{name: in_dialect(checkpoint, dialect, texts, pairs) for name, dialect in DIALECTS.items()},
    }


def tokenizer_files(checkpoint: Path) -> dict[str, Any]:
    """The tokens in the files of a tokenizer of any kind (``reference.tokenizer.inventory``).

    Raises:
        CheckpointError: a tokenizer's file is missing or malformed.
    """
    found = read_inventory(checkpoint)
    if found is None:
        raise CheckpointError(checkpoint, "has no readable vocabulary")
    return {
        "kind": found.kind,
        "file": found.file,
        "model_max_length": read_settings(checkpoint).get("model_max_length"),
        "roles": {role: found.ids.get(token) for role, token in found.roles.items()},
        "size": len(found.ids),
        "largest_id": max(found.ids.values(), default=-1),
        "largest_token": max(found.ids, key=found.ids.__getitem__, default="")[:LONGEST],
        "problems": list(found.problems[:SHOWN]),
        "serialised": None if found.parting is None else {"tokens": [*map(list, found.parting[:SHOWN])], "merge": None},
    }


def _frame_problems(checkpoint: Path) -> list[str]:
    serialised = read_serialised(checkpoint)
    return [] if serialised is None else list(frame_problems(serialised))[:SHOWN]


def _serialised(checkpoint: Path, plain: ByteLevelTokenizer) -> dict[str, Any] | None:
    """Differences between ``tokenizer.json`` and the files it was made from; None without a ``tokenizer.json``.

    ``tokens``: each with its id in ``tokenizer.json`` and in the other files, None if absent. ``merge``: the first rank
    with different pairs, and both pairs; None if all are equal.
    """
    other = read_serialised(checkpoint)
    if other is None or is_alone(checkpoint):
        return None
    tokens = [token for token in {**other.ids, **plain.ids} if other.ids.get(token) != plain.ids.get(token)]
    ours = [" ".join(pair) for pair in read_merges(checkpoint, read_vocabulary(checkpoint))]
    pairs = enumerate(zip_longest(other.merges, ours))
    return {
        "tokens": [[token, other.ids.get(token), plain.ids.get(token)] for token in tokens],
        "merge": next(([rank, there, here] for rank, (there, here) in pairs if there != here), None),
    }


def in_dialect(
    checkpoint: Path, dialect: Dialect, texts: Sequence[str], pairs: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """The encodings of all texts in one dialect, and their decoded texts; raises as ``tokenize``."""
    read = {prefix: ByteLevelTokenizer.read(checkpoint, prefix, dialect) for prefix in (False, True)}
    return {
        "texts": {str(prefix): [_encoded(kind, text) for text in texts] for prefix, kind in read.items()},
        "pairs": [_encoded(read[False], *pair) for pair in pairs],
        "decoded": [_decoded(read[False], text) for text in texts],
    }


def _encoded(kind: ByteLevelTokenizer, text: str, pair: str | None = None) -> dict[str, Any]:
    found = kind.encode(text, pair)
    return {
        "ids": list(found.ids),
        "special_tokens_mask": list(found.special_tokens_mask),
        "attention_mask": [1] * len(found.ids),
        "ids_without_special_tokens": list(kind.encode(text, pair, add_special_tokens=False).ids),
        "offsets": [list(span) for span in found.offsets],
    }


def _decoded(kind: ByteLevelTokenizer, text: str) -> dict[str, str]:
    ids = kind.encode(text).ids
    return {
        "decoded": kind.decode(ids, clean_up=False),
        "decoded_without_special_tokens": kind.decode(ids, skip_special_tokens=True, clean_up=False),
        "decoded_with_clean_up": kind.decode(ids, clean_up=True),
    }
