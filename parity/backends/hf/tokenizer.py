"""The library's two tokenizers of BART, slow and fast."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from parity.backends.hf import common
from parity.backends.protocol import UnexpectedReturn
from parity.core.subject import Variant

ROLES = ("bos_token", "eos_token", "sep_token", "cls_token", "unk_token", "pad_token", "mask_token")
SIDES = ("right", "left")


class HfTokenizer:
    """``BartTokenizer`` of the installed transformers."""

    name: ClassVar[str] = "BartTokenizer"

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        """Disables network access; the library is imported on first use."""
        common.quiet_offline_environment()

    def load(
        self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str
    ) -> HfTokenizerFiles:
        import transformers

        return HfTokenizerFiles(getattr(transformers, self.name), checkpoint)


class HfTokenizerFast(HfTokenizer):
    """``BartTokenizerFast``."""

    name: ClassVar[str] = "BartTokenizerFast"


class HfTokenizerFiles:
    """A checkpoint's tokenizer, loaded with and without ``add_prefix_space``."""

    def __init__(self, kind: Any, checkpoint: Path) -> None:
        self._kinds = {prefix: _read(kind, checkpoint, add_prefix_space=prefix) for prefix in (False, True)}
        self._kind = kind
        self.class_name = type(self._kinds[False]).__name__

    def tokenize(self, texts: Sequence[str], pairs: Sequence[Sequence[str]], short: int) -> dict[str, Any]:
        """The encodings of all texts.

        Args:
            short: the number of tokens that rows are truncated and padded to.
        """
        plain = self._kinds[False]
        with tempfile.TemporaryDirectory() as folder:
            plain.save_pretrained(folder)
            saved = _read(self._kind, Path(folder))
        return {
            "class": self.class_name,
            "roles": {role: getattr(plain, f"{role}_id") for role in ROLES},
            "size": len(plain),
            "texts": {str(prefix): [_encoded(kind, text) for text in texts] for prefix, kind in self._kinds.items()},
            "pairs": [_encoded(plain, *pair) for pair in pairs],
            "decoded": [_decoded(plain, plain(text)["input_ids"]) for text in texts],
            "saved": [saved(text)["input_ids"] for text in texts],
            "short": {f"{cut} {side}": _short(plain, texts, short, cut, side) for cut, side in product(SIDES, SIDES)},
        }

    def save(self, folder: Path) -> None:
        """Writes every file that the class writes."""
        self._kinds[False].save_pretrained(folder)

    def read_saved(self, folder: Path, texts: Sequence[str]) -> dict[str, Any]:
        """The tokens that this version gives with the checkpoint's files (``before``), and with saved ones
        (``after``)."""
        both = {"before": self._kinds[False], "after": _read(self._kind, folder)}
        return {when: [kind(text)["input_ids"] for text in texts] for when, kind in both.items()}


def _read(kind: Any, directory: Path, **arguments: Any) -> Any:
    """A tokenizer; 4.57.6 returns False if a RuntimeError was raised (tokenization_utils_base.py:2372)."""
    found = kind.from_pretrained(directory, **arguments)
    if not callable(found):
        raise UnexpectedReturn(f"{kind.__name__}.from_pretrained returned {found} instead of a tokenizer")
    return found


def _encoded(kind: Any, text: str, pair: str | None = None) -> dict[str, Any]:
    encoding = kind(text, pair, return_special_tokens_mask=True, return_offsets_mapping=kind.is_fast)
    bare = kind(text, pair, add_special_tokens=False)
    return {
        "ids": encoding["input_ids"],
        "special_tokens_mask": encoding["special_tokens_mask"],
        "attention_mask": encoding["attention_mask"],
        "ids_without_special_tokens": bare["input_ids"],
        **({"offsets": [list(span) for span in encoding["offset_mapping"]]} if kind.is_fast else {}),
    }


def _decoded(kind: Any, ids: list[int]) -> dict[str, str]:
    return {
        "decoded": kind.decode(ids, clean_up_tokenization_spaces=False),
        "decoded_without_special_tokens": kind.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        ),
        "decoded_with_clean_up": kind.decode(ids, clean_up_tokenization_spaces=True),
    }


def _short(kind: Any, texts: Sequence[str], short: int, cut: str, side: str) -> list[dict[str, Any]]:
    """Rows truncated and padded to ``short`` tokens, each on the given side."""
    kind.truncation_side, kind.padding_side = cut, side
    encoding = kind(list(texts), truncation=True, padding="max_length", max_length=short)
    return [
        {"ids": ids, "attention_mask": mask}
        for ids, mask in zip(encoding["input_ids"], encoding["attention_mask"], strict=True)
    ]
