"""The search: many random examples of every family, resumable, and what became of them.

Examples are numbered: sizes, weights and inputs follow from the number alone, so that a search goes on where it
stopped and any one of its examples can be asked again. (In pytest hypothesis draws them instead, and finds the smallest
that fails.) Flax compiles for every new shape, so that many draws share a few.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from parity.report.console import console as printer
from parity.tools.calibrate.provenance import provenance
from parity.tools.fuzz.architectures import ARCHITECTURES
from tests.architectures.agreement import compared
from tests.architectures.answers import REFERENCES
from tests.architectures.compiling import forget_compiled, on_one_thread
from tests.architectures.example import example

COMMAND = "python -m tests.architectures"
SHAPES = {"torch": 100, "flax": 4}


def search(asked: argparse.Namespace, console: Console) -> None:
    """One line of JSON for each example that is not in ``asked.parts`` yet."""
    known = {tuple(row["example"]) for row in rows(asked.parts)}
    todo = [
        (family, reference, number)
        for reference in asked.reference
        for family in asked.family or ARCHITECTURES
        for number in range(asked.examples)
        if (family, reference, number) not in known
    ]
    with asked.parts.open("a", encoding="utf-8") as file:
        for place, (family, reference, number) in enumerate(todo, start=1):
            shapes = asked.shapes or SHAPES[reference]
            if reference == "flax" and number == 0:
                forget_compiled()
            found = one(family, reference, number % shapes, number // shapes)
            file.write(json.dumps({"example": [family, reference, number], **found}) + "\n")
            file.flush()
            if place % 20 == 0:
                console.print(f"{place} of {len(todo)}: {family} in {reference}")


def one(family: str, reference: str, shape: int, draw: int) -> dict[str, Any]:
    """By what was judged: how much was compared and what came nearest to its tolerance; what failed; processor
    seconds."""
    start, judged, failed, ties = time.process_time(), {}, [], 0
    for what, each in compared(example(family, shape, draw), reference):
        entry = judged.setdefault(what, {"compared": 0, "worst": 0.0, "where": ""})
        entry["compared"] += 1
        if each.failed:
            failed.append([what, each.what, each.ratio, each.note])
        elif each.ratio > entry["worst"]:
            entry.update(worst=each.ratio, where=each.what)
        ties += each.what.startswith("tie ")
    seconds = time.process_time() - start
    return {"shape": shape, "draw": draw, "judged": judged, "failed": failed, "ties": ties, "seconds": seconds}


def rows(parts: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in parts.read_text(encoding="utf-8").splitlines()] if parts.exists() else []


def together(parts: list[Path]) -> dict[str, Any]:
    """By reference and family: examples, shapes, comparisons, processor seconds, the worst, and every failure."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in (row for path in parts for row in rows(path)):
        family, reference, number = row["example"]
        new = {"examples": 0, "shapes": 0, "compared": 0, "seconds": 0.0, "ties": 0, "worst": {}, "failures": []}
        entry = found[reference].setdefault(family, new)
        entry["examples"] += 1
        entry["shapes"] = max(entry["shapes"], row["shape"] + 1)
        entry["compared"] += sum(part["compared"] for part in row["judged"].values())
        entry["seconds"] = round(entry["seconds"] + row["seconds"], 1)
        entry["ties"] += row["ties"]
        for what, part in row["judged"].items():
            entry["worst"][what] = max(entry["worst"].get(what, 0.0), round(part["worst"], 3))
        entry["failures"] += [[number, *failure] for failure in row["failed"]]
    return dict(found)


def lines(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for reference, families in found.items():
        for family, entry in families.items():
            numbers = [entry[name] for name in ("examples", "shapes", "compared", "seconds")]
            worst = ", ".join(f"{what} {ratio:.2f}" for what, ratio in entry["worst"].items() if ratio)
            yield reference, family, *map(str, numbers), worst, str(entry["ties"]), str(len(entry["failures"]))


def show(found: dict[str, Any], console: Console) -> None:
    heads = (
        "reference",
        "family",
        "examples",
        "shapes",
        "compared",
        "cpu seconds",
        "worst error as a multiple of tolerance",
    )
    table = Table(*heads, "ties", "failures")
    for line in lines(found):
        table.add_row(*line)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="of each family")
    parser.add_argument("--shapes", type=int, help="sizes that the examples share; torch 100, flax 4")
    parser.add_argument("--family", action="append", choices=ARCHITECTURES, help="all where not given")
    parser.add_argument("--reference", action="append", choices=REFERENCES, help="both where not given")
    parser.add_argument("--parts", type=Path, required=True, help="where each example is kept, to go on from")
    parser.add_argument("--with", type=Path, action="append", default=[], dest="others", help="parts of other searches")
    parser.add_argument("--out", type=Path, default=Path("reports/families.json"))
    asked = parser.parse_args()
    asked.reference = asked.reference or list(REFERENCES)
    on_one_thread()
    console = printer()
    search(asked, console)
    found = together([asked.parts, *asked.others])
    show(found, console)
    asked.out.write_text(json.dumps({**provenance(COMMAND), "found": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
