"""Output of a selftest: on the terminal, and as the table in ``reports/``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.table import Table

from parity.backends.mutants import MUTANTS
from parity.report.console import console, duration, plural
from parity.report.export.writing import write
from parity.tools.selftest.outcome import TOLERANCES, Outcome
from parity.tools.selftest.selftest import Selftest, select
from parity.tools.selftest.thresholds import thresholds

SHOWN_CHECKS = 6
"""The number of checks listed in a row; the others are counted."""
COLUMNS = (
    "mutant",
    "fixture",
    "caught by",
    "error as a multiple of tolerance",
    "first divergence",
    *(f"± {name}" for name in TOLERANCES),
)


def show_selftest(found: Selftest) -> None:
    """Prints the matrix, the score, and everything below the thresholds."""
    out = console()
    table = Table(*COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
    for each in found.outcomes:
        table.add_row(*_row(each))
    out.print(table)
    for line in score(found):
        out.print(line, markup=False)
    covered = ", ".join(f"{name} {count}" for name, count in found.covers.items())
    out.print(f"checks that caught a mutant, by backend of the same component: {covered}", markup=False)


def show_mutants() -> None:
    """Prints every mutant: its family, its name and its fault."""
    for mutant in select(None):
        console().print(f"{mutant.group:<12} {mutant.name}: {mutant.what}", markup=False)


def score(found: Selftest) -> Iterator[str]:
    """The figures, a line each."""
    outcomes = found.outcomes
    caught = [each for each in outcomes if each.caught_by]
    right = [each for each in outcomes if each.localised]
    yield f"{len(caught)} of {plural(len(outcomes), 'mutant')} caught, {len(right)} with the expected first divergence"
    numbers = [(each.largest, each.name) for each in caught if each.largest is not None]
    if numbers:
        least, name = min(numbers, key=lambda found: found[0])
        yield f"smallest error of a caught mutant, in its worst cell: {least:.3g} × tolerance ({name})"
    for name in TOLERANCES if found.original else ():
        missed = sum(name in each.missed_by for each in outcomes)
        yield f"missed by an absolute tolerance of {name} on every output: {missed}"
    if found.original:
        original = max(found.original, key=found.original.__getitem__)
        yield (
            f"outputs of the unmodified model differ from the oracle's by up to "
            f"{found.original[original]:.2g} ({original})"
        )
    idle = [check for check, count in found.catches.items() if not count]
    yield f"checks that caught no mutant: {', '.join(idle) or 'none'}"
    yield f"checks that are not the only one to catch a mutant: {', '.join(found.unneeded) or 'none'}"
    yield from _without_mutants(found)
    for name, why in thresholds().not_caught.items():
        if name in {each.name for each in outcomes}:
            yield f"NOT CAUGHT, KNOWN {name}: {why}"
    for line in found.sound:
        yield f"INVALID, the unmodified model fails {line}"
    for line in found.below:
        yield f"BELOW THRESHOLD {line}"
    yield f"{duration(found.seconds)}"


def _without_mutants(found: Selftest) -> Iterator[str]:
    """Of a part of the mutants how many checks judged none; of all of them which, and why."""
    if len(found.outcomes) < len(MUTANTS):
        yield f"checks that were not run on these mutants: {len(found.without_mutants)}"
        return
    for beginning, why in thresholds().without_mutants.items():
        if checks := [check for check in found.without_mutants if check.startswith(beginning)]:
            yield f"checks without mutants: {', '.join(checks)}: {why}"


def _row(each: Outcome) -> tuple[str, ...]:
    named = each.named if each.localised else f"{each.named} (expected {', '.join(each.wanted)})"
    fixtures = each.fixtures[0] if len(each.fixtures) == 1 else plural(len(each.fixtures), "fixture")
    missed = (_missed(each, name) for name in TOLERANCES)
    return each.name, fixtures, _checks(each), _ratio(each), named, *missed


def _missed(each: Outcome, tolerance: str) -> str:
    if each.component != "model":
        return "no number"
    return "missed" if tolerance in each.missed_by else "seen"


def _checks(each: Outcome) -> str:
    if not each.changed:
        return "NO EFFECT"
    more = len(each.caught_by) - SHOWN_CHECKS
    shown = " ".join(each.caught_by[:SHOWN_CHECKS]) + (f" and {more} more" if more > 0 else "")
    return shown or "NOT CAUGHT"


def _ratio(each: Outcome) -> str:
    return "" if each.largest is None else f"{each.smallest:.2g} to {each.largest:.2g}"


def write_table(found: Selftest, path: Path) -> None:
    """The same as Markdown.

    Raises:
        OutputError: the file cannot be written.
    """
    write(path, "\n".join(_markdown(found)) + "\n")


def _markdown(found: Selftest) -> Iterator[str]:
    yield "# What the checks catch"
    yield f"\nMade by `{found.command} --out reports/selftest.md`; the second table describes each mutant.\n"
    yield from (f"- {line}" for line in score(found))
    yield "\nErrors are those of the failing cells, from the smallest to the largest. Without an error, the failure is"
    yield "not numeric. The last columns state whether a fixed absolute tolerance would detect the"
    yield "mutant, on logits, last states, losses and texts of the same cases, compared with the same oracle.\n"
    yield f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"
    yield from (f"| {' | '.join(_row(each))} |" for each in found.outcomes)
    yield "\n| mutant | family | fault | known occurrence |\n|---|---|---|---|"
    yield from (f"| {each.name} | {each.family} | {each.what} | {each.history} |" for each in found.outcomes)
    yield "\n| check | mutants it catches |\n|---|---|"
    yield from (f"| {check} | {count} |" for check, count in found.catches.items())
