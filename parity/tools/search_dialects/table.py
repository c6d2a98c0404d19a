"""Generates ``DIALECTS.md`` from ``dialects.toml``: ``python -m parity.tools.search_dialects.table``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from reference.generation.dialect import DOCUMENTED, Dialect

MEASURED = Path(__file__).with_name("dialects.toml")
OUT = Path(__file__).parents[3] / "DIALECTS.md"
FRAMEWORKS = {"torch": "PyTorch", "tf": "TensorFlow", "flax": "Flax", "ctranslate2": "CTranslate2"}
DESCRIPTIONS = {
    "penalised_length": "the tokens that `length_penalty` counts",
    "end_rank": "the rank that a candidate with EOS needs to count as finished",
    "end_after_forced": "the effect of EOS as a candidate for the token after `forced_bos_token_id`",
    "end_token": "the last token of a text where `eos_token_id` has several",
    "stopping": "the effect of `early_stopping`",
    "bound": "the hypothesis whose score bounds the attainable score in the heuristic stopping rule",
    "stop": "whether other rows of the batch can prolong the search of a row",
    "unfinished": "the treatment of beams that have not ended at `max_length`",
    "unfinished_score": "the score of an unfinished result if no hypothesis has finished",
    "padding": "the token that fills a row after EOS in beam search",
    "default_max_length": "the meaning of `max_length=20`, the documented default",
    "min_length": "the length at which `min_length` allows EOS",
    "min_new_tokens": "the effect of `min_new_tokens`",
    "no_repeat_ngram": "the effect of `no_repeat_ngram_size`",
    "renormalisation": "whether log-probabilities are normalised again after tokens were forbidden",
    "repetition_penalty": "the effect of `repetition_penalty`",
    "encoder_repetition_penalty": "the rows that `encoder_repetition_penalty` changes",
    "encoder_no_repeat_ngram": "the effect of `encoder_no_repeat_ngram_size`",
    "bad_words": "the effect of `bad_words_ids`",
    "sequence_bias": "the effect of `sequence_bias`",
    "exponential_decay": "the effect of `exponential_decay_length_penalty`",
}
"""The fields of a dialect, described."""
HEAD = """# Dialects of search

Implementations of greedy and beam search differ in choices that their documentation leaves open or that contradict
it. Each choice is a field of `Dialect` in `reference/generation/dialect.py`, which explains `DOCUMENTED`, the oracle's
dialect. A cell is the only value with which the reference search reproduces the library's texts and scores, with the
number of calls that distinguish the values. `=` is the documented value. The last row counts the calls that the
library's dialect reproduces completely.

Measured {date}, {cases} calls with three sources for each library; the largest relative difference of equal scores was
{largest_distance_of_equal_scores:.1e}, the smallest of different ones {smallest_distance_of_different_scores:.2g}.
CTranslate2, measured 2026-11-30, has no `generate`: lengths and padding are those of the backend
([engines](docs/engines.md)).
Written by `python -m parity.tools.search_dialects.table` from `parity/tools/search_dialects/dialects.toml`,
which `python -m parity.tools.search_dialects.measure` measures.
"""


def as_markdown() -> str:
    """The page: the deviations of each library from the documented search, with the numbers of calls."""
    measured = tomllib.loads(MEASURED.read_text(encoding="utf-8"))
    lines = measured["lines"]
    heads = [f"{FRAMEWORKS[name.partition('/')[2]]} {line['version']}" for name, line in lines.items()]
    columns = ["choice", "documented", *heads]
    rows = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    rows += [_row(choice.name, lines) for choice in fields(Dialect)]
    whole = [f"{line['equal']} of {line['of']}" for line in lines.values()]
    rows.append("| " + " | ".join(["**whole dialect**", "", *whole]) + " |")
    return "\n".join([HEAD.format(**measured), *rows, "", *_values()]) + "\n"


def _row(choice: str, lines: dict[str, Any]) -> str:
    documented = getattr(DOCUMENTED, choice).name
    cells = []
    for line in lines.values():
        entry = line[choice]
        value = "=" if entry["value"] == documented else entry["value"]
        cells.append(value if not entry["cases"] else f"{value} ({entry['cases']})")
    return "| " + " | ".join([f"`{choice}`", documented, *cells]) + " |"


def _values() -> Iterator[str]:
    """The descriptions of the choices and their values."""
    for choice in fields(Dialect):
        documented = getattr(DOCUMENTED, choice.name)
        values: type[Enum] = type(documented)
        yield f"- `{choice.name}`: {DESCRIPTIONS[choice.name]}."
        yield from (f"  - `{value.name}`: {value.value}." for value in values)
    yield "- `moot`: no call of this library distinguishes the values, because another choice makes them irrelevant."


def main() -> None:
    OUT.write_text(as_markdown(), encoding="utf-8")
    print(OUT)


if __name__ == "__main__":
    main()
