"""The search: many random examples of every family, resumable, and what became of them."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from parity.calibration.about import about
from tests.families.agreement import REFERENCES, differences, example
from tests.families.draw import FAMILIES

COMMAND = "python -m tests.families"


def search(asked: argparse.Namespace, console: Console) -> None:
    """One line of JSON for each example that is not in ``asked.parts`` yet."""
    known = {tuple(row["example"]) for row in rows(asked.parts)}
    todo = [(family, reference, number) for family in asked.family or FAMILIES for reference in asked.reference
            for number in range(asked.examples) if (family, reference, number) not in known]  # fmt: skip
    with asked.parts.open("a", encoding="utf-8") as file:
        for place, (family, reference, number) in enumerate(todo, start=1):
            shape, draw = number % asked.shapes, number // asked.shapes
            file.write(
                json.dumps({"example": [family, reference, number], **one(family, reference, shape, draw)}) + "\n"
            )
            file.flush()
            if place % 20 == 0:
                console.print(f"{place} of {len(todo)}: {family} in {reference}")


def one(family: str, reference: str, shape: int, draw: int) -> dict[str, Any]:
    """How many tensors were compared, the one nearest to (or farthest past) its bound, and what failed."""
    start = time.perf_counter()
    found = list(differences(example(family, shape, draw), reference))
    failed = [[name, error, allowed] for name, error, allowed in found if not error <= allowed]
    worst = max((error / allowed for _, error, allowed in found if allowed), default=0.0)
    seconds = time.perf_counter() - start
    return {"shape": shape, "draw": draw, "compared": len(found), "worst": worst, "failed": failed, "seconds": seconds}


def rows(parts: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in parts.read_text(encoding="utf-8").splitlines()] if parts.exists() else []


def together(parts: Path) -> dict[str, Any]:
    """By reference and family: examples, shapes, comparisons, seconds, the worst, and every failure."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in rows(parts):
        family, reference, number = row["example"]
        new = {"examples": 0, "shapes": 0, "compared": 0, "seconds": 0.0, "worst": 0.0, "failures": []}
        entry = found[reference].setdefault(family, new)
        entry["examples"] += 1
        entry["shapes"] = max(entry["shapes"], row["shape"] + 1)
        entry["compared"] += row["compared"]
        entry["seconds"] = round(entry["seconds"] + row["seconds"], 1)
        entry["worst"] = max(entry["worst"], row["worst"])
        entry["failures"] += [[number, *failure] for failure in row["failed"]]
    return dict(found)


def show(found: dict[str, Any], console: Console) -> None:
    table = Table("reference", "family", "examples", "shapes", "compared", "seconds", "worst / bound", "failures")
    for reference, families in found.items():
        for family, entry in families.items():
            numbers = (entry["examples"], entry["shapes"], entry["compared"], entry["seconds"])
            table.add_row(reference, family, *map(str, numbers), f"{entry['worst']:.2g}", str(len(entry["failures"])))
    console.print(table, width=150)


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="of each family")
    parser.add_argument("--shapes", type=int, default=100, help="sizes that the examples share; each is compiled once")
    parser.add_argument("--family", action="append", choices=FAMILIES, help="all where not given")
    parser.add_argument("--reference", action="append", choices=REFERENCES, help="torch where not given")
    parser.add_argument("--parts", type=Path, required=True, help="where each example is kept, to go on from")
    parser.add_argument("--out", type=Path, default=Path("reports/families.json"))
    asked = parser.parse_args()
    asked.reference = asked.reference or ["torch"]
    console = Console()
    search(asked, console)
    found = together(asked.parts)
    show(found, console)
    asked.out.write_text(json.dumps({**about(COMMAND), "found": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
