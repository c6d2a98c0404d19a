"""Output of ``parity selftest --library``: on the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from parity.report.console import console, plural
from parity.report.export.writing import write
from parity.tools.selftest.mutation_results import NEAR, OUTCOMES, OWN_OUTCOMES, LibraryScore, MutationResult

SHOWN_DETECTED = 10
"""Up to so many detected mutations are listed with the checks that fail."""
OWN_COLUMNS = ("checks", *(f"the library's tests: {outcome}" for outcome in OWN_OUTCOMES))
COLUMNS = ("module", "functions executed", "mutations", "drawn", *OUTCOMES)


def show_library(found: LibraryScore) -> None:
    """Prints the table, the scores, and every mutation that no check detects."""
    out = console()
    table = Table(*COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in _rows(found):
        table.add_row(*row)
    out.print(table)
    for title, results in _lists(found):
        out.print(f"\n{title}", markup=False)
        for each in results:
            out.print(f"  {escape(each.mutation)}  {escape(each.text)}")
    detected = [each for each in found.results if each.outcome == "detected"]
    if len(detected) <= SHOWN_DETECTED:
        for each in detected:
            out.print(f"{escape(each.mutation)}  {escape(each.text)}")
            out.print(f"  detected by {', '.join(each.checks[:6])}: {escape(each.case)}: {escape(each.first)}")
    for line in figures(found):
        out.print(line, markup=False)
    if found.own_tests is not None:
        own = Table(*OWN_COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
        for row in _own_rows(found):
            own.add_row(*row)
        out.print(own)


def figures(found: LibraryScore) -> Iterator[str]:
    """The scores, a line each."""
    drawn = len(found.results)
    yield f"{found.count('detected')} of {plural(drawn, 'mutation')} detected (seed {found.seed})"
    changing = found.count("detected", "survived")
    if changing:
        yield f"of {changing} that change an answer: {found.score:.1%}"
    if executed := found.count("detected", "survived", "repaired", "no effect"):
        yield f"of {executed} whose line a case executes: {found.score_of_executed:.1%}"
    if detected := found.count("detected"):
        yield f"named within {plural(NEAR, 'layer')} or step: {found.located / detected:.1%} of {detected} detected"
    if drawn:
        yield f"lines that no case executes: {found.count('not executed') / drawn:.1%} of the mutations"
    if found.own_tests is not None:
        collected, passing, selected = found.own_tests
        yield f"the library's own tests: {selected} are run, of {passing} that pass and {collected} that exist"
        both, ours = _count(found, ("detected",), ("detected",)), found.count("detected")
        theirs = sum(each.own_tests == "detected" for each in found.results)
        neither = drawn - ours - theirs + both
        yield (
            f"detected by both {both}, by the checks only {ours - both}, by the tests only {theirs - both}, "
            f"by neither {neither}"
        )


def _rows(found: LibraryScore) -> Iterator[tuple[str, ...]]:
    modules = list(found.population) or list(dict.fromkeys(each.module for each in found.results))
    for module in modules:
        results = [each for each in found.results if each.module == module]
        executed, functions = found.functions.get(module, (0, 0))
        counts = [str(sum(each.outcome == outcome for each in results)) for outcome in OUTCOMES]
        ratio = f"{executed} of {functions}" if functions else ""
        yield module, ratio, str(found.population.get(module, "")), str(len(results)), *counts


def _count(found: LibraryScore, outcomes: tuple[str, ...], own: tuple[str, ...]) -> int:
    return sum(each.outcome in outcomes and each.own_tests in own for each in found.results)


def _own_rows(found: LibraryScore) -> Iterator[tuple[str, ...]]:
    """Outcomes of the checks by those of the library's tests."""
    for outcome in OUTCOMES:
        yield outcome, *(str(_count(found, (outcome,), (own,))) for own in OWN_OUTCOMES)


def _lists(found: LibraryScore) -> Iterator[tuple[str, list[MutationResult]]]:
    """What is to be looked at: mutations that no check detects, first those that the library's tests do."""
    theirs = [each for each in found.results if each.outcome != "detected" and each.own_tests == "detected"]
    if theirs:
        yield f"Only the library's own tests detect it ({len(theirs)})", theirs
    yield from _undetected(found)


def _undetected(found: LibraryScore) -> Iterator[tuple[str, list[MutationResult]]]:
    titles = {
        "survived": "An answer changes, and no check fails",
        "repaired": "A known issue of the library is gone",
        "no effect": "No answer changes",
        "not executed": "No case executes the line",
    }
    for outcome, title in titles.items():
        if results := [each for each in found.results if each.outcome == outcome]:
            yield f"{title} ({len(results)})", results


def write_library(found: LibraryScore, path: Path, command: str) -> None:
    """The same as Markdown.

    Raises:
        OutputError: the file cannot be written.
    """
    write(path, "\n".join(_markdown(found, command)) + "\n")


def _markdown(found: LibraryScore, command: str) -> Iterator[str]:
    yield f"# Mutations of {found.library}\n\nMade by `{command}`.\n"
    yield from (f"- {line}" for line in figures(found))
    yield f"\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"
    yield from (f"| {' | '.join(row)} |" for row in _rows(found))
    if found.own_tests is not None:
        yield f"\n| {' | '.join(OWN_COLUMNS)} |\n|{'---|' * len(OWN_COLUMNS)}"
        yield from (f"| {' | '.join(row)} |" for row in _own_rows(found))
    for title, results in _lists(found):
        yield f"\n## {title}\n"
        yield from (f"- `{each.mutation}`: `{each.text}`{_test(each)}" for each in results)


def _test(result: MutationResult) -> str:
    """The library's test that detects it."""
    return f" (`{result.own_test.rpartition('/')[2]}`)" if result.own_tests == "detected" else ""
