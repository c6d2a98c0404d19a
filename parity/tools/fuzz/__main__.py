"""Random examples of every family, run on conforming backends, where nothing may fail: ``python -m parity.tools.fuzz``.

Examples are numbered by family, shape and draw, and are determined by these numbers: an interrupted run can continue,
and any example can be run again. XLA compiles for each new shape, so many draws share a few shapes; draws differ in
weights, tokens, masks, ignored labels, padding and generation settings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parity.core.records import Verdict
from parity.core.subject import REFERENCES
from parity.report.console import console
from parity.tools.calibrate.provenance import provenance
from parity.tools.fuzz.command import plan_of, process_of
from parity.tools.fuzz.coverage import Coverage
from parity.tools.fuzz.example import AUDITED, Example, drawn
from parity.tools.fuzz.executor import Plan, Process, is_alarm
from parity.tools.fuzz.search import judge_example

COMMAND = "python -m parity.tools.fuzz"
SEED = 20261126
PAIR = REFERENCES
"""Both references: each is judged against the float64 oracle, with tolerances from its peer reference's errors."""
Number = tuple[str, int, int]
"""Family, shape and draw."""


def numbered(number: Number) -> Example:
    """The example of a number."""
    architecture, shape, draw = number
    seed = [SEED, AUDITED.index(architecture), shape]
    return drawn(np.random.default_rng(seed), np.random.default_rng([*seed, draw]), architecture)


def numbers(architectures: Sequence[str], shapes: int, draws: int) -> Iterator[Number]:
    """All examples, those of one shape together; one shape of every family before the next shape of any."""
    return (
        (architecture, shape, draw)
        for shape in range(shapes)
        for architecture in architectures
        for draw in range(draws)
    )


def search(todo: Sequence[Number], process: Process, plan: Plan, parts: Path) -> None:
    """Writes one line of JSON for each example, as soon as it is judged."""
    parts.parent.mkdir(parents=True, exist_ok=True)
    out, before = console(stderr=True), None
    with parts.open("a", encoding="utf-8") as file:
        for position, number in enumerate(todo, start=1):
            if plan.flax and before not in (None, number[:2]):
                _forget_compiled()
            before, began = number[:2], time.process_time()
            _, verdicts = judge_example(process, plan, numbered(number))
            row = {"number": number, **summary(verdicts), "seconds": round(time.process_time() - began, 2)}
            file.write(json.dumps(row) + "\n")
            file.flush()
            if position % 20 == 0 or row["alarms"]:
                out.print(f"{position} of {len(todo)}: {number}, {len(row['alarms'])} alarms", markup=False)


def _forget_compiled() -> None:
    """Clears the programs compiled for a shape that no later example has."""
    import jax

    jax.clear_caches()


def summary(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Totals, the number of matches of each known issue, the largest error that passed as a multiple of tolerance, and
    every alarm."""
    nearest = max((v.ratio for v in verdicts if v.status == "pass" and v.ratio), default=0.0)
    known = Counter(v.evidence["known_issue"] for v in verdicts if v.status == "known")
    alarms = [
        {
            "check": v.check,
            "case": v.case,
            "backend": v.backend,
            "variant": v.variant,
            "status": v.status,
            "reason": v.reason,
        }
        for v in verdicts
        if is_alarm(v)
    ]
    totals = Counter("known" if "known_issue" in v.evidence else v.status for v in verdicts)
    return {"totals": totals, "known": known, "nearest": round(nearest, 3), "alarms": alarms}


def rows(parts: Path) -> list[dict[str, Any]]:
    """The lines written so far."""
    return [json.loads(line) for line in parts.read_text(encoding="utf-8").splitlines()] if parts.exists() else []


def together(parts: Path) -> dict[str, Any]:
    """All examples, merged: totals, coverage, the largest passing error of each family, and every alarm with its
    number."""
    found, coverage, seen = rows(parts), Coverage(), set()
    architectures: dict[str, dict[str, Any]] = {}
    for row in found:
        example = numbered(tuple(row["number"]))
        coverage.add(example)
        seen.add(hashlib.sha256(example.to_json().encode()).hexdigest())
        entry = architectures.setdefault(row["number"][0], {"examples": 0, "nearest": 0.0, "alarms": 0})
        entry["examples"] += 1
        entry["nearest"] = max(entry["nearest"], row["nearest"])
        entry["alarms"] += len(row["alarms"])
    return {
        "examples": len(found),
        "distinct": len(seen),
        "shapes": len({tuple(row["number"][:2]) for row in found}),
        "totals": dict(sum((Counter(row["totals"]) for row in found), Counter())),
        "known": dict(sum((Counter(row["known"]) for row in found), Counter())),
        "cpu_seconds": round(sum(row["seconds"] for row in found)),
        "families": architectures,
        "coverage": {
            axis: {str(value): count for value, count in sorted(counts.items(), key=str)}
            for axis, counts in coverage.counts.items()
        },
        "not_covered": {axis: list(map(str, values)) for axis, values in coverage.missing().items()},
        "alarms": [{"number": row["number"], **alarm} for row in found for alarm in row["alarms"]],
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The printed lines."""
    totals = ", ".join(f"{count} {name}" for name, count in found["totals"].items())
    yield f"{found['examples']} examples ({found['distinct']} distinct) of {found['shapes']} shapes: {totals}"
    for architecture, entry in found["families"].items():
        yield (
            f"{architecture}: {entry['examples']} examples, {entry['alarms']} alarms, up to {entry['nearest']:.2f} "
            f"× tolerance"
        )
    for alarm in found["alarms"]:
        yield " ".join(map(str, alarm.values()))


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--backend", action="append", help="who is judged; the two references by default")
    parser.add_argument("--family", action="append", choices=AUDITED, help="all where not given")
    parser.add_argument("--shapes", type=int, default=2, help="of each family")
    parser.add_argument("--draws", type=int, default=32, help="of each shape")
    parser.add_argument("--parts", type=Path, required=True, help="FILE.jsonl, to go on from; the sums are FILE.json")
    arguments = parser.parse_args()
    plan = plan_of(arguments.backend or PAIR)
    done = {tuple(row["number"]) for row in rows(arguments.parts)}
    wanted = numbers(arguments.architecture or AUDITED, arguments.shapes, arguments.draws)
    search([number for number in wanted if number not in done], process_of(plan), plan, arguments.parts)
    found = together(arguments.parts)
    print(*lines(found), sep="\n")
    text = json.dumps({**provenance(COMMAND), "seed": SEED, **found}, indent=1)
    arguments.parts.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
