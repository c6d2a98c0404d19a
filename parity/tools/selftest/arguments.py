"""Which documented arguments the checks depend on: ``python -m parity.tools.selftest.arguments [--library hf-tf]``.

Every argument of each class's call, and every argument and setting of ``generate``, is ignored once: the library runs
as if it had its default (``parity.backends.mutants.library_host``). If a check then fails, the argument is judged, and
the table names the check and the case. If no answer changes, no case gives it another value than its default.
"""

from __future__ import annotations

import argparse
import inspect
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from parity.backends.mutants.library_host import IGNORES
from parity.core.backends import library_backends
from parity.tools.selftest.library import CHUNK, LIBRARIES
from parity.tools.selftest.mutation_results import MutationResult, store, stored
from parity.tools.selftest.mutation_runs import NarrowCase, Runner, every_case, of_operations

GENERATES = "bart-odd"
"""The checkpoint on which the arguments of ``generate`` are ignored."""
OF_GENERATION = of_operations("generate", "score", "sample", "generation_settings")
"""The cases in which an argument of ``generate`` is ignored."""
LABELS = {"detected": "judged", "survived": "not judged", "no effect": "not judged"}
TABLE = Path(__file__).with_name("arguments.toml")
REASONS: dict[str, Any] = tomllib.loads(TABLE.read_text(encoding="utf-8"))
LEFT_OUT: dict[str, str] = REASONS["left_out"]
"""Arguments that are not ignored, with the reason."""
NOT_JUDGED: dict[str, dict[str, dict[str, str]]] = REASONS["not_judged"]
"""By backend and method, the arguments that no check judges, with the reason: a table without one is not written."""


@dataclass(frozen=True)
class Classes:
    """The classes of a library in one framework.

    Attributes:
        title: the framework, in the heading.
        prefix: of the names of its classes.
        call: the method that computes a forward pass.
        fixtures: one checkpoint of each class whose arguments are in the table.
    """

    title: str
    prefix: str
    call: str
    fixtures: tuple[str, ...]


_IN_ALL = ("bart-odd", "bart-bare", "bart-labels", "bert2bert")
FRAMEWORKS = {
    "torch": Classes("PyTorch", "", "forward", (*_IN_ALL, "bart-span", "bart-causal", "wav2vec2-bert")),
    "tensorflow": Classes("TensorFlow", "TF", "call", _IN_ALL),
    "jax": Classes("Flax", "Flax", "__call__", (*_IN_ALL, "bart-span", "bart-causal", "wav2vec2-bert")),
}
TABLES = {
    backend: FRAMEWORKS[framework] for framework in FRAMEWORKS for backend in library_backends(framework=framework)[:1]
}
"""By backend."""
DEFAULT = next(iter(TABLES))


@dataclass(frozen=True)
class Ignored:
    """An argument that is ignored.

    Attributes:
        owner: the class.
        method: ``generate``, or the one that computes a forward pass.
    """

    owner: str
    method: str
    argument: str

    @property
    def name(self) -> str:
        return f"{IGNORES}{self.method}.{self.argument}"

    @property
    def text(self) -> str:
        return f"{self.owner}.{self.method}({self.argument}=…)"

    operator = "ignored argument"

    @property
    def module(self) -> str:
        return f"{self.owner}.{self.method}"


def measure(
    library: str = DEFAULT,
    fixtures: Sequence[str] = (),
    *,
    out: Path | None = None,
    cache: Path | None = None,
    jobs: int | None = None,
    report_progress: Callable[[str], None] = lambda line: None,
) -> list[MutationResult]:
    """Ignores every argument once.

    Args:
        library: of ``TABLES``.
        fixtures: the checkpoints, by default those of the library's classes.
        out: a JSON Lines file. Results are appended, and those that it has are not computed again.
        report_progress: called with a line after each chunk.

    Returns:
        By class and method, in the order of the signatures.
    """
    classes = TABLES[library]
    done = {(each.module, each.mutation): each for each in stored(out)}
    found = []
    with tempfile.TemporaryDirectory(prefix="parity-arguments-") as folder:
        runner = Runner(LIBRARIES[library], Path(folder), cache, jobs, None)
        for checkpoint in fixtures or classes.fixtures:
            methods: dict[str, NarrowCase] = {classes.call: every_case}
            if checkpoint == GENERATES:
                methods["generate"] = OF_GENERATION
            for method, narrow in methods.items():
                every = list(_arguments(classes, checkpoint, method))
                left = [each for each in every if (each.module, each.name) not in done]
                for start in range(0, len(left), CHUNK):
                    chunk = left[start : start + CHUNK]
                    for result in runner.run(checkpoint, dict.fromkeys(chunk, ("eager",)), narrow):
                        done[result.module, result.mutation] = store(out, result)
                    report_progress(f"{checkpoint} {method}: {min(start + CHUNK, len(left))} of {len(left)}")
                found += [done[each.module, each.name] for each in every]
    return found


def _arguments(classes: Classes, checkpoint: str, method: str) -> Iterator[Ignored]:
    """The documented arguments of a method of the class that a fixture is loaded as."""
    import transformers

    from parity.checkpoint.inspection import inspect_checkpoint
    from parity.core.resources import fixture

    owner = f"{classes.prefix}{inspect_checkpoint(fixture(checkpoint)).model_class}"
    names: list[str] = [*inspect.signature(getattr(getattr(transformers, owner), method)).parameters]
    if method == "generate":
        names += [name for name in transformers.GenerationConfig().to_dict() if not name.startswith("_")]
    for name in dict.fromkeys(names):
        if name not in ("self", "inputs", "generation_config", *LEFT_OUT):
            yield Ignored(owner, method, name)


def table(results: Sequence[MutationResult], library: str = DEFAULT) -> Iterator[str]:
    """The table as Markdown.

    Raises:
        KeyError: an argument is not judged, and ``NOT_JUDGED`` has no reason.
    """
    command = "python -m parity.tools.selftest.arguments" + (f" --library {library}" if library != DEFAULT else "")
    yield f"# Documented arguments, {TABLES[library].title}\n"
    yield f"Made by `{command}`: each argument is ignored once, and the library runs as"
    yield "if it had its default. `judged` names a check that then fails, and its case.\n"
    for module in dict.fromkeys(each.module for each in results):
        here = [each for each in results if each.module == module]
        judged = sum(each.outcome == "detected" for each in here)
        yield f"## {module}\n\n{judged} of {len(here)} arguments are judged.\n"
        yield "| argument | result | check | case |\n|---|---|---|---|"
        for each in here:
            argument = each.mutation.rpartition(".")[2]
            why = "" if each.outcome == "detected" else f": {NOT_JUDGED[library][module][argument]}"
            yield f"| `{argument}` | {LABELS[each.outcome]}{why} | {', '.join(each.checks[:3])} | {each.case} |"
        yield ""
    yield "## Left out\n\n| argument | reason |\n|---|---|"
    yield from (f"| `{name}` | {why} |" for name, why in sorted(LEFT_OUT.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m parity.tools.selftest.arguments", description=__doc__)
    parser.add_argument("fixtures", nargs="*", help="default: one of each class")
    parser.add_argument("--library", choices=TABLES, default=DEFAULT, help="(default: %(default)s)")
    parser.add_argument("--results", type=Path, help="store results here, and go on from those that it has")
    parser.add_argument("--out", type=Path, help="default: reports/arguments.md, or reports/arguments-LIBRARY.md")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--jobs", type=int)
    given: Any = parser.parse_args(arguments)
    name = "arguments.md" if given.library == DEFAULT else f"arguments-{given.library}.md"
    out = given.out or Path("reports") / name
    how = {"out": given.results, "cache": given.cache, "jobs": given.jobs}
    found = measure(given.library, given.fixtures, **how, report_progress=partial(print, flush=True))
    out.write_text("\n".join(table(found, given.library)) + "\n", encoding="utf-8")
    print(f"{out}: {sum(each.outcome == 'detected' for each in found)} of {len(found)} arguments are judged")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
