"""Counts the structure of the packages: ``python benchmarks/structure.py [TREE]``.

Reads the sources of any tree with ``parity/`` and ``reference/`` (a clone, or a worktree of an earlier commit) with the
standard library; imports nothing.

An import is an edge between modules. A *floor* is a height: one more than the highest that is imported at import time;
of modules, and of the packages and modules at the top level of ``parity/`` as wholes. An import *runs back up* where a
module imports, inside of a function, one that imports it. A *cycle* is a set of modules that import each other at
import time or for type checkers.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("parity", "reference")


def modules(tree: Path) -> dict[str, Path]:
    """Every module of both packages: dotted name to file."""
    found = {}
    for package in PACKAGES:
        for path in sorted((tree / package).rglob("*.py")):
            name = ".".join(path.relative_to(tree).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imports(node: ast.AST, lazy: bool = False, types: bool = False) -> Iterator[tuple[str, bool]]:
    """Names that are imported below a node, and whether inside of a function; for type checkers only with ``types``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            for alias in child.names:
                yield f"{child.module}.{alias.name}", lazy
        elif types or not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from imports(child, lazy or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)), types)


def edges(found: dict[str, Path], types: bool = False) -> dict[str, dict[str, bool]]:
    """For each module the modules it imports, and whether only inside functions."""
    graph: dict[str, dict[str, bool]] = {}
    for name, path in found.items():
        graph[name] = {}
        for target, lazy in imports(ast.parse(path.read_text(encoding="utf-8")), types=types):
            while target and target not in found:
                target = target.rpartition(".")[0]
            if target and target != name:
                graph[name][target] = graph[name].get(target, True) and lazy
    return graph


def at_import_time(graph: dict[str, dict[str, bool]]) -> dict[str, set[str]]:
    return {name: {target for target, lazy in targets.items() if not lazy} for name, targets in graph.items()}


def whole(name: str) -> str:
    """The package or module at the top level of ``parity/`` that a module belongs to; ``reference`` is one."""
    return ".".join(name.split(".")[:2]) if name.startswith("parity.") else name.partition(".")[0]


def components(graph: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components of more than one module (Tarjan, SIAM J. Comput. 1 (2), 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in graph[name]:
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            cut = stack.index(name)
            component = set(stack[cut:])
            del stack[cut:]
            if len(component) > 1:
                found.append(component)

    for name in graph:
        if name not in index:
            visit(name)
    return found


def height(name: str, graph: dict[str, set[str]], known: dict[str, int], path: tuple[str, ...] = ()) -> int:
    """The height of a module; a cycle counts once."""
    if name not in known:
        below = [height(target, graph, known, (*path, name)) for target in graph[name] if target not in (*path, name)]
        known[name] = 1 + max(below, default=0)
    return known[name]


def reaches(start: str, goal: str, graph: dict[str, set[str]]) -> bool:
    """Whether ``start`` imports ``goal``, through any number of modules."""
    seen, waiting = {start}, [start]
    while waiting:
        new = graph[waiting.pop()] - seen
        if goal in new:
            return True
        seen |= new
        waiting += new
    return False


def lines_of(tree: Path, folder: str) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (tree / folder).rglob("*.py"))


def measure(tree: Path) -> dict[str, int]:
    """Every count by its name."""
    found = modules(tree)
    graph = edges(found)
    eager = at_import_time(graph)
    lazy = [(name, target) for name, targets in graph.items() for target, only in targets.items() if only]
    known: dict[str, int] = {}
    wholes: dict[str, set[str]] = {}
    for name, targets in eager.items():
        wholes.setdefault(whole(name), set()).update({whole(target) for target in targets} - {whole(name)})
    package = tree / "parity"
    flat = list(package.glob("*.py"))
    parts = [path for path in package.iterdir() if (path / "__init__.py").is_file()]
    return {
        "modules flat at parity/": len(flat),
        "packages and modules at its top level": len(flat) + len(parts),
        "floors of imports, top level as wholes": max(height(name, wholes, {}) for name in wholes),
        "floors of imports, module by module": max(height(name, eager, known) for name in found),
        "imports that run back up": sum(reaches(target, name, eager) for name, target in lazy),
        "cycles": len(components(at_import_time(edges(found, types=True)))),
        "modules": len(found),
        "lines of parity/": lines_of(tree, "parity"),
        "lines of reference/": lines_of(tree, "reference"),
        "lines of tests/": lines_of(tree, "tests"),
        "fmt: skip": sum(path.read_text(encoding="utf-8").count("# fmt: skip") for path in found.values()),
    }


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    for count, number in measure(root).items():
        print(f"{number:>7}  {count}")
