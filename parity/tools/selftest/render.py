"""Output of a selftest: on the terminal, and as the table in ``reports/``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.table import Table

from parity.backends.mutants import MUTANTS
from parity.report.console import console, duration, plural
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
    "first named",
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
    yield f"{len(caught)} of {plural(len(outcomes), 'mutant')} caught, {len(right)} named where they were made"
    numbers = [(each.largest, each.name) for each in caught if each.largest is not None]
    if numbers:
        least, name = min(numbers, key=lambda found: found[0])
        yield f"smallest error that caught one, in its worst cell: {least:.3g} × tolerance ({name})"
    for name in TOLERANCES if found.original else ():
        missed = sum(name in each.missed_by for each in outcomes)
        yield f"missed by an absolute tolerance of {name} on every output: {missed}"
    if found.original:
        original = max(found.original, key=found.original.__getitem__)
        yield (
            f"outputs of the unchanged model differ from the oracle's by up to "
            f"{found.original[original]:.2g} ({original})"
        )
    idle = [check for check, count in found.catches.items() if not count]
    yield f"checks that caught none: {', '.join(idle) or 'none'}"
    yield f"checks that no mutant needs: {', '.join(found.unneeded) or 'none'}"
    yield from _unasked(found)
    for name, why in thresholds().holes.items():
        if name in {each.name for each in outcomes}:
            yield f"KNOWN HOLE {name}: {why}"
    for line in found.sound:
        yield f"VOID, the unchanged model fails {line}"
    for line in found.below:
        yield f"SHORT {line}"
    yield f"{duration(found.seconds)}"


def _unasked(found: Selftest) -> Iterator[str]:
    """Of a part of the mutants how many checks judged none; of all of them which, and why."""
    if len(found.outcomes) < len(MUTANTS):
        yield f"checks that judged none of these mutants: {len(found.unasked)}"
        return
    for beginning, why in thresholds().unasked.items():
        if checks := [check for check in found.unasked if check.startswith(beginning)]:
            yield f"checks that no mutant is put to: {', '.join(checks)}: {why}"


def _row(each: Outcome) -> tuple[str, ...]:
    named = each.named if each.localised else f"{each.named} (made at {', '.join(each.wanted)})"
    fixtures = each.fixtures[0] if len(each.fixtures) == 1 else plural(len(each.fixtures), "fixture")
    missed = (_missed(each, name) for name in TOLERANCES)
    return each.name, fixtures, _checks(each), _ratio(each), named, *missed


def _missed(each: Outcome, tolerance: str) -> str:
    if each.component != "model":
        return "no number"
    return "missed" if tolerance in each.missed_by else "seen"


def _checks(each: Outcome) -> str:
    if not each.changed:
        return "VOID"
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
    from parity.core.errors import OutputError

    try:
        path.write_text("\n".join(_markdown(found)) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def _markdown(found: Selftest) -> Iterator[str]:
    yield "# What the checks catch"
    yield f"\nMade by `{found.command} --out reports/selftest.md`; what each mutant is stands below.\n"
    yield from (f"- {line}" for line in score(found))
    yield "\nAn error runs from the failing cell nearest to its tolerance to the one farthest past it; where none is"
    yield "given, what failed was no number. The last columns say whether a fixed tolerance would have seen the"
    yield "mutant, on logits, last states, losses and texts of the same cases, against the same oracle.\n"
    yield f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"
    yield from (f"| {' | '.join(_row(each))} |" for each in found.outcomes)
    yield "\n| mutant | family | what it does instead | where such a fault was made |\n|---|---|---|---|"
    yield from (f"| {each.name} | {each.family} | {each.what} | {each.history} |" for each in found.outcomes)
    yield "\n| check | mutants it catches |\n|---|---|"
    yield from (f"| {check} | {count} |" for check, count in found.catches.items())
