"""``DIALECTS.md`` from ``dialects.toml``: ``python -m parity.tools.search_dialects.table`` writes it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from reference.generation.dialect import DOCUMENTED, Dialect

MEASURED = Path(__file__).with_name("dialects.toml")
PLACE = Path(__file__).parents[3] / "DIALECTS.md"
FRAMEWORKS = {"torch": "PyTorch", "tf": "TensorFlow", "flax": "Flax"}
ASKS = {
    "penalised_length": "which tokens `length_penalty` counts",
    "end_rank": "how good an end must be to count as finished",
    "bound": "whose score says what can still be attained, where a heuristic stops the search",
    "stop": "whether other sources of the batch can prolong a source's search",
    "unfinished": "what becomes of beams that have not ended at `max_length`",
    "unfinished_score": "the score of a result that has not ended and that nothing finished competes with",
    "padding": "what fills a row after its end, with beams",
    "twenty": "what `max_length` 20, the documented default, means",
    "min_length": "when `min_length` allows the end",
    "min_new_tokens": "what `min_new_tokens` does",
    "no_repeat_ngram": "what `no_repeat_ngram_size` does",
}
"""The choices, as questions."""
HEAD = """# Dialects of search

Implementations of greedy and beam search agree on the idea and differ in choices that their documentation leaves open,
or contradict it. Each choice has a name in `reference/generation/dialect.py`, where `DOCUMENTED` is argued; the oracle
speaks that. A cell is what the library itself answered: its value is the only one under which our search gives the
library's texts and scores, over the calls (their number stands behind it) in which the values lead to different
answers. `=` is the documented value. The last row counts the calls of which the library's whole answer is ours under
its dialect.

Measured {date}, {cases} calls of three sources for each library; equal scores were at most
{largest_distance_of_equal_scores:.1e} apart, different ones at least {smallest_distance_of_different_scores:.2f}, both
relative. Written by `python -m parity.tools.search_dialects.table` from `parity/tools/search_dialects/dialects.toml`,
which `python -m parity.tools.search_dialects.measure` measures.
"""


def as_markdown() -> str:
    """The whole page: where each library departs from the documented search, and the runs each cell rests on."""
    measured = tomllib.loads(MEASURED.read_text(encoding="utf-8"))
    lines = measured["lines"]
    heads = [f"{FRAMEWORKS[name.partition('/')[2]]} {line['transformers']}" for name, line in lines.items()]
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
        told = line[choice]
        value = "=" if told["value"] == documented else told["value"]
        cells.append(value if not told["cases"] else f"{value} ({told['cases']})")
    return "| " + " | ".join([f"`{choice}`", documented, *cells]) + " |"


def _values() -> Iterator[str]:
    """What the choices ask and what their values mean."""
    for choice in fields(Dialect):
        documented = getattr(DOCUMENTED, choice.name)
        values: type[Enum] = type(documented)
        yield f"- `{choice.name}`: {ASKS[choice.name]}."
        yield from (f"  - `{value.name}`: {value.value}." for value in values)
    yield "- `moot`: no call of this library can tell the values apart, because another choice decides first."


def main() -> None:
    PLACE.write_text(as_markdown(), encoding="utf-8")
    print(PLACE)


if __name__ == "__main__":
    main()
