"""``tokenizer.json``: the same tokenizer once more, in the form that the library's fast class reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reference.config import read_json
from reference.errors import CheckpointError
from reference.tokenizer.vocabulary import check_id

SERIALISED_FILE = "tokenizer.json"


@dataclass(frozen=True)
class Serialised:
    """What it says of tokens and merges (tokenizers 0.22.2, ``Tokenizer.to_str`` of a byte-level BPE)."""

    ids: dict[str, int]
    """Those of the vocabulary and of the added tokens."""
    merges: tuple[str, ...]
    """Pairs as ``merges.txt`` writes them, in its order."""


def read_serialised(directory: Path | str) -> Serialised | None:
    """Reads the file; None where there is none.

    Raises:
        CheckpointError: it is not JSON, or holds no vocabulary with merges, as every tokenizer of another kind.
    """
    place = Path(directory) / SERIALISED_FILE
    if not place.exists():
        return None
    data = read_json(directory, SERIALISED_FILE)
    try:
        model = data["model"]
        ids = {**model["vocab"], **{token["content"]: token["id"] for token in data.get("added_tokens") or ()}}
        # Older releases of the library write a pair as one text, later ones as a list of two.
        merges = tuple(pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(place, "holds no vocabulary with merges") from error
    for token, number in ids.items():
        check_id(token, number, place)
    return Serialised(ids, merges)
