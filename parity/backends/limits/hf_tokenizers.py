"""What the tokenizers of transformers do not support."""

from __future__ import annotations

import re

from parity.backends.limits import Question


def slow(question: Question) -> dict[str, str]:
    """By capability, why ``BartTokenizer`` lacks it."""
    if question.version >= (5, 0):
        return {}
    named = f"BartTokenizer of {question.library}"
    return {
        "offsets": f"{named} returns no offsets",
        "serialised_tokenizer": f"{named} reads vocab.json and merges.txt, not tokenizer.json",
    }


def fast(question: Question) -> dict[str, str]:
    """By capability, why ``BartTokenizerFast`` lacks it."""
    reader = question.versions.get("tokenizers", "")
    if not reader or [int(part) for part in re.findall(r"\d+", reader)[:2]] >= [0, 20]:
        return {}
    # tokenizers 0.20.0, models/bpe: merges that hold spaces are written as pairs.
    return {"paired_merges": f"tokenizers {reader} reads merges as strings, but tokenizer.json has pairs"}
