"""From seconds and tokens to medians, ratios, and whether the same was done."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from tests.bench.sides import PAIRS
from tests.bench.task import BATCH, BEAMS

FASTER, COMPILES = 1.5, 2.0
"""What is asked for: at least so many times as fast, and compiled in at most half the time."""


def summarised(run: dict[str, Any]) -> dict[str, Any]:
    """A run with a row for each framework and way of searching in place of what the processes printed."""
    rows = [row(run, framework, search) for framework in run["by"] for search in BEAMS]
    kept = {name: value for name, value in run.items() if name not in ("by", "fresh")}
    threads = {name: number for by in run["by"].values() for name, number in by["threads"].items()}
    return {**kept, "threads": threads, "rows": rows}


def row(run: dict[str, Any], framework: str, search: str) -> dict[str, Any]:
    """Two sides: seconds, how many times as fast ours is, what compiling took, and whether the texts are the same."""
    sides = run["by"][framework]["sides"]
    found = {side: sides[side]["asked"][search] for side in PAIRS[framework]}
    times = {side: spread(found[side]["seconds"]) for side in found}
    library, ours = (times[side]["median"] for side in PAIRS[framework])
    by_turns = [a / b for a, b in zip(*(found[side]["seconds"] for side in PAIRS[framework]), strict=True)]
    answer = {"framework": framework, "asked": search, "seconds": times, "ratio": library / ours,
              "ratio_by_turns": spread(by_turns), "load": {side: sides[side]["load"] for side in found},
              "shape": {side: list(np.shape(found[side]["tokens"])) for side in found},
              "texts": apart(*(found[side]["tokens"] for side in PAIRS[framework]))}  # fmt: skip
    return {**answer, "compile": compiling(run["fresh"], search)} if framework == "flax" else answer


def spread(values: list[float]) -> dict[str, Any]:
    return {"median": median(values), "min": min(values), "max": max(values), "all": values}


def compiling(fresh: list[dict[str, Any]], search: str) -> dict[str, Any] | None:
    """Of each side, in fresh processes: the first call less the median of the later ones; and the ratio of medians."""
    took: dict[str, list[float]] = {}
    for one in fresh:
        if one["asked"] == search:
            took.setdefault(one["side"], []).append(one["first"] - median(one["seconds"]))
    if not took:
        return None
    found = {side: spread(values) for side, values in took.items()}
    library, ours = (found[side]["median"] for side in PAIRS["flax"])
    return {"seconds": found, "ratio": library / ours}


def apart(theirs: list[list[int]], ours: list[list[int]]) -> str:
    """``equal``, or the first step at which each text parts from the other's."""
    one, other = np.array(theirs), np.array(ours)
    if one.shape != other.shape:
        return f"of different shape: {list(one.shape)} and {list(other.shape)}"
    steps = {r: int(np.flatnonzero(one[r] != other[r])[0]) for r in range(len(one)) if (one[r] != other[r]).any()}
    return ", ".join(f"row {r} parts at token {step}" for r, step in steps.items()) or "equal"


def broken(run: dict[str, Any]) -> Iterator[str]:
    """Sides that did not make all the tokens asked for: then their times say nothing."""
    wanted = [BATCH, run["size"]["tokens"] + 1]
    for each in run["rows"]:
        for side, shape in each["shape"].items():
            if shape != wanted:
                yield f"{side}, {each['asked']}: made {shape}, wanted {wanted}; its time says nothing"


def tables(record: dict[str, Any]) -> Iterator[Table]:
    """One table for each size, device and dtype."""
    for run in record["runs"]:
        size = run["size"]
        asked = f"{size['tokens']} tokens, batch {size['batch']}, source {size['source']}"
        layers = f"{size['layers']}+{size['layers']} layers"
        where = f"{run['dtype']}, {run['device']}, threads {run['threads']}"
        title = f"{asked}: d_model {size['d_model']}, {layers}, {where}"
        table = Table(
            title=title, caption="seconds: median (min–max)" + "".join(f"; {x}" for x in run.get("left_out", ()))
        )
        for head in ("", "Transformers", "reference", "times as fast", "wanted", "texts"):
            table.add_column(head)
        for each in run["rows"]:
            texts = each["texts"]
            table.add_row(f"{each['framework']}, {each['asked']}", *cells(each, FASTER), texts)
            if each.get("compile"):
                table.add_row(f"{each['framework']}, {each['asked']}: compiling", *cells(each["compile"], COMPILES), "")
        yield table


def cells(found: dict[str, Any], wanted: float) -> Iterator[str]:
    for side in found["seconds"].values():
        yield f"{side['median']:.2f} ({side['min']:.2f}–{side['max']:.2f})"
    colour = "green" if found["ratio"] >= wanted else "red"
    yield f"[{colour}]{found['ratio']:.2f}[/{colour}]"
    yield f"{wanted:.1f}"
