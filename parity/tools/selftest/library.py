"""How many faults of a library's own source the checks detect: ``parity selftest --library hf-torch``.

Every mutation changes one node of the installed library (``parity.backends.mutants.library_source``). First the
unmodified library runs every case, and the lines that each case executes are recorded. A mutation of a line that no
case executes is a missing case. Any other runs the cases that execute its line: one of each operation first, and all of
them if those detect nothing. It is detected if a check fails that the unmodified library passes.
"""

from __future__ import annotations

import hashlib
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from parity.backends.mutants.library_source import Mutation, module_of, mutations
from parity.core.errors import InputError
from parity.core.nearest import unknown
from parity.tools.selftest.library_tests import OwnResult, run_library_tests
from parity.tools.selftest.mutation_results import LibraryScore, MutationResult, result_of, store, stored
from parity.tools.selftest.mutation_runs import Drawn, Key, Library, Reached, Runner

if TYPE_CHECKING:
    from parity.capture.task import Event

ENOUGH = 0.98
"""The share of mutations that change an answer which are to be detected."""
CHUNK = 16
"""Mutations that are captured and judged together."""
TABLE = Path(__file__).with_name("libraries.toml")


def _libraries() -> dict[str, Library]:
    """The table, by the name of the backend that is mutated."""
    found = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {
        name: Library(
            f"mutant-{name}",
            tuple(row["fixtures"]),
            tuple(row["modules"]),
            tuple(row["attention"]),
            tuple(row["tests"]),
        )
        for name, row in found.items()
    }


LIBRARIES = _libraries()


def mutate_library(
    name: str,
    *,
    count: int = 100,
    seed: int = 0,
    names: Sequence[str] = (),
    modules: Sequence[str] = (),
    shard: tuple[int, int] = (1, 1),
    against: Path | None = None,
    out: Path | None = None,
    cache: Path | None = None,
    jobs: int | None = None,
    progress: Callable[[Event], None] | None = None,
    on_results: Callable[[LibraryScore], None] = lambda score: None,
) -> LibraryScore:
    """Draws mutations of a library and runs each.

    Args:
        name: of ``LIBRARIES``.
        count: how many are drawn, from all modules together. A larger count adds to the same ones.
        names: these mutations instead, each with every case of the first fixture.
        modules: draw from these only.
        shard: K and N: run only the K-th of N equal parts of what is drawn.
        against: a checkout of the library's repository, whose tests are run with the same mutations.
        out: a JSON Lines file. Results are appended as they come, and those that it has are not computed again.
        on_results: called after each chunk, with all results so far.

    Raises:
        InputError: the library, a module or a mutation is unknown, ``out`` is another file, or ``against`` is no
            checkout of the library's repository.
        CaptureError: nothing could be captured, or the library's tests could not be run.
    """
    if name not in LIBRARIES:
        raise InputError(unknown("no library to mutate is called", name, LIBRARIES))
    library = LIBRARIES[name]
    done = {each.mutation: each for each in stored(out)}
    with tempfile.TemporaryDirectory(prefix="parity-mutations-") as folder:
        runner = Runner(library, Path(folder), cache, jobs, progress)
        score, drawn = LibraryScore(library=name, seed=seed), _named(library, names)
        if not names:
            drawn, population, functions = _population(library, runner, modules)
            drawn = sorted(drawn, key=lambda each: _place_in_the_draw(each.mutation, seed))[:count]
            score = LibraryScore(library=name, seed=seed, population=population, functions=functions)
        drawn = drawn[shard[0] - 1 :: shard[1]]

        def so_far() -> LibraryScore:
            results = [done[each.mutation.name] for each in drawn if each.mutation.name in done]
            return score.model_copy(update={"results": results})

        for each in drawn:
            if each.cases == {} and each.mutation.name not in done:
                done[each.mutation.name] = store(out, result_of(each.mutation, "not executed"))
        for checkpoint in library.fixtures:
            left = [each for each in drawn if _is_to_run(each, checkpoint, library, done.get(each.mutation.name))]
            left.sort(key=lambda each: (each.mutation.module, each.mutation.line))
            for start in range(0, len(left), CHUNK):
                for result in runner.results(checkpoint, left[start : start + CHUNK]):
                    done[result.mutation] = store(out, _joined(done.get(result.mutation), result, checkpoint))
                on_results(so_far())
    if against is not None:
        names = [each.mutation.name for each in drawn if not done[each.mutation.name].own_tests]
        for number, result in enumerate(run_library_tests(against, library.tests, library.modules, names)):
            if isinstance(result, OwnResult):
                more = {"own_tests": result.outcome, "own_test": result.test}
                done[result.mutation] = store(out, done[result.mutation].model_copy(update=more))
            else:
                score = score.model_copy(update={"own_tests": tuple(result)})
            if number % CHUNK == 0:
                on_results(so_far())
    return so_far()


def _place_in_the_draw(mutation: Mutation, seed: int) -> str:
    """A hash of the name: a mutation's place depends neither on how many are drawn nor on the others."""
    return hashlib.sha256(f"{seed} {mutation.name}".encode()).hexdigest()


def _is_to_run(drawn: Drawn, checkpoint: str, library: Library, known: MutationResult | None) -> bool:
    """Whether a fixture can still detect a mutation."""
    if known is not None and (known.outcome == "detected" or checkpoint in known.fixtures):
        return False
    return checkpoint == library.fixtures[0] if drawn.cases is None else checkpoint in drawn.cases


def _joined(before: MutationResult | None, result: MutationResult, checkpoint: str) -> MutationResult:
    """A result with that of the fixtures before: an answer that changed there did change."""
    if before is None or before.outcome == "not executed":
        return result.model_copy(update={"fixtures": [checkpoint]})
    outcome = before.outcome if result.outcome == "no effect" else result.outcome
    ran = {"cases": before.cases + result.cases, "fixtures": [*before.fixtures, checkpoint]}
    return result.model_copy(update={"outcome": outcome, **ran})


def _check_modules(library: Library, wanted: Sequence[str]) -> None:
    """Raises InputError if a module is not mutated."""
    for each in wanted:
        if each not in library.modules:
            raise InputError(unknown("no mutated module is called", each, library.modules))


def _named(library: Library, names: Sequence[str]) -> list[Drawn]:
    """Raises InputError if there is no such mutation."""
    modules = list(dict.fromkeys(module_of(name) for name in names))
    _check_modules(library, modules)
    found = {each.name: each for module in modules for each in mutations(module)}
    for name in names:
        if name not in found:
            module = module_of(name)
            last = max(each.number for each in found.values() if each.module == module)
            raise InputError(f"{name}: the mutations of {module} are {module}-0 to {module}-{last}")
    return [Drawn(found[name], None) for name in dict.fromkeys(names)]


def _population(
    library: Library, runner: Runner, wanted: Sequence[str]
) -> tuple[list[Drawn], dict[str, int], dict[str, tuple[int, int]]]:
    """The mutations of all functions that a case executes; and by module how many there are, and how many functions are
    executed, of all.

    Raises:
        InputError: a module is not mutated.
    """
    _check_modules(library, wanted)
    found, population, functions = [], {}, {}
    reached = {checkpoint: runner.coverage(checkpoint) for checkpoint in library.fixtures}
    for module in wanted or library.modules:
        here = [Drawn(each, _reaching(each, reached)) for each in mutations(module)]
        executed = {each.mutation.function for each in here if each.cases}
        drawn = [each for each in here if each.mutation.function in executed]
        functions[module] = (len(executed), len({each.mutation.function for each in here}))
        population[module] = len(drawn)
        found += drawn
    return found, population, functions


def _reaching(mutation: Mutation, reached: dict[str, Reached]) -> dict[str, list[Key]]:
    """By fixture, attention and case of those that execute a mutation's line."""
    found = {
        checkpoint: [key for key, lines in cases.items() if mutation.line in lines.get(mutation.module, ())]
        for checkpoint, cases in reached.items()
    }
    return {checkpoint: keys for checkpoint, keys in found.items() if keys}
