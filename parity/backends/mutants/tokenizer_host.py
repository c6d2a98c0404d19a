"""Our tokenizer with the interface of a library's, with one mutant applied (``parity.backends.mutants.tokenizer``).

It is compared with the same tokenizer in the process that reads the files (role ``file``), where no mutant is applied.
Truncation, padding and saving, which libraries offer beyond encoding and decoding, are implemented here.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from parity.backends.mutants import applied
from parity.backends.reference import files
from parity.core.subject import Variant
from reference.tokenizer import DOCUMENTED, ByteLevelTokenizer
from reference.tokenizer.added import CONFIG_FILE, AddedToken, read_added, read_settings
from reference.tokenizer.vocabulary import MERGES_FILE, VOCABULARY_FILE, read_merges, read_vocabulary

SIDES = ("right", "left")


class MutantTokenizer:
    """``ByteLevelTokenizer`` with a mutant applied."""

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        """Does nothing: no setup is needed."""

    def load(
        self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str
    ) -> MutantTokenizerFiles:
        return MutantTokenizerFiles(checkpoint, variant.mutant)


class MutantTokenizerFiles:
    """A checkpoint's tokenizer, read again for each request, because a mutant may affect reading."""

    def __init__(self, checkpoint: Path, mutant: str) -> None:
        self._checkpoint, self._mutant = checkpoint, mutant

    def tokenize(self, texts: Sequence[str], pairs: Sequence[Sequence[str]], short: int) -> dict[str, Any]:
        """The encodings of all texts, as in ``hf_tokenizer``; raises KeyError if there is no mutant of that name."""
        with applied(self._mutant):
            plain = ByteLevelTokenizer.read(self._checkpoint, False)
            with tempfile.TemporaryDirectory() as folder:
                save(self._checkpoint, Path(folder))
                again = ByteLevelTokenizer.read(folder)
            sides = product(SIDES, SIDES)
            return {
                "class": type(plain).__name__,
                "roles": role_ids(plain),
                "size": size(plain),
                **files.in_dialect(self._checkpoint, DOCUMENTED, texts, pairs),
                "saved": [list(again.encode(text).ids) for text in texts],
                "short": {f"{cut} {side}": [fitted(plain, t, short, cut, side) for t in texts] for cut, side in sides},
            }


def role_ids(tokenizer: ByteLevelTokenizer) -> dict[str, int | None]:
    """The id of each role's token."""
    return {role: None if token is None else tokenizer.ids.get(token) for role, token in tokenizer.roles.items()}


def size(tokenizer: ByteLevelTokenizer) -> int:
    """The number of tokens."""
    return len(tokenizer.ids)


def fitted(
    tokenizer: ByteLevelTokenizer, text: str, short: int, cut: str, side: str
) -> dict[str, Sequence[int | None]]:
    """A row of exactly ``short`` tokens including special ones, truncated and padded on the given sides."""
    start, end, pad = (role_ids(tokenizer)[role] for role in ("cls_token", "sep_token", "pad_token"))
    bare = tokenizer.encode(text, add_special_tokens=False).ids
    ids = [start, *shortened(bare, short - 2, cut), end]
    padding, seen = [pad] * (short - len(ids)), [1] * len(ids)
    unseen = [0] * len(padding)
    if side == "right":
        return {"ids": ids + padding, "attention_mask": seen + unseen}
    return {"ids": padding + ids, "attention_mask": unseen + seen}


def shortened(bare: Sequence[int], room: int, cut: str) -> Sequence[int]:
    """The tokens of a text, truncated to ``room``."""
    return bare[:room] if cut == "right" else bare[max(0, len(bare) - room) :]


def save(checkpoint: Path, folder: Path) -> None:
    """Writes the tokenizer's files from their parsed content."""
    settings, vocabulary = read_settings(checkpoint), read_vocabulary(checkpoint)
    added = read_added(checkpoint, settings)
    ids = {**vocabulary, **added.ids}
    merges = [" ".join(pair) for pair in read_merges(checkpoint, vocabulary)]
    known = {ids[token.text]: as_json(token) for token in added.tokens}
    _write(folder / VOCABULARY_FILE, json.dumps(ids))
    _write(folder / MERGES_FILE, "\n".join(["#version: 0.2", *merges, ""]))
    _write(folder / CONFIG_FILE, json.dumps({**settings, **added.roles, "added_tokens_decoder": known}))


def as_json(token: AddedToken) -> dict[str, Any]:
    """An added token in the format of a file."""
    return {"content": token.text, "special": token.special, "lstrip": token.lstrip, "rstrip": token.rstrip}


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
