"""Which of our own sources determine a backend's trace: the modules a worker imports, followed from file to file.

Found without importing anything. Imports inside functions count, because a worker calls such functions. Of a package's
``__init__`` only what runs at import counts, and imports under ``TYPE_CHECKING`` never do.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from parity.core.backends import find_entry

PACKAGES = ("parity", "reference")
WORKER = "parity.capture.worker.main"


class OwnSources:
    """The sources below a folder, each read once.

    Args:
        root: the folder that contains the packages ``parity`` and ``reference``.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._of_module: dict[str, list[Path]] = {}
        self._read: dict[Path, tuple[bytes, frozenset[str]]] = {}

    def digest(self, backend: str) -> str:
        """sha256 over the adapter's name, and names and contents of ``files``, first 32 hex digits."""
        entry = find_entry(backend)
        digest = hashlib.sha256(f"{entry.module}:{entry.attribute}\0".encode())
        for path in self.files(backend):
            digest.update(f"{path.relative_to(self._root).as_posix()}\0".encode() + self._content(path)[0])
        return digest.hexdigest()[:32]

    def files(self, backend: str) -> list[Path]:
        """Files of the worker, of the backend's adapter, and of everything of ours that they import, sorted.

        For a third party's backend, the modules of ours that its package imports count.
        """
        module = find_entry(backend).module
        ours = module.partition(".")[0] in PACKAGES
        waiting = [WORKER, *([module] if ours else sorted(_named_by_package(module)))]
        seen, found = set(waiting), set()
        while waiting:
            for file in self._files_of(waiting.pop()):
                found.add(file)
                new = self._content(file)[1] - seen
                seen |= new
                waiting += new
        return sorted(found)

    def _files_of(self, module: str) -> list[Path]:
        """A module's file and the ``__init__`` of every package around it; empty for names that are not modules."""
        if module not in self._of_module:
            around = self._files_of(module.rpartition(".")[0]) if "." in module else []
            stem = self._root.joinpath(*module.split("."))
            own = (stem / "__init__.py", stem.with_suffix(".py"))
            self._of_module[module] = [*around, *(file for file in own if file.is_file())]
        return self._of_module[module]

    def _content(self, file: Path) -> tuple[bytes, frozenset[str]]:
        """A file's digest, and our modules that it imports."""
        if file not in self._read:
            content = file.read_bytes()
            self._read[file] = hashlib.sha256(content).digest(), _named(content, file.name != "__init__.py")
        return self._read[file]


@cache
def _named(content: bytes, inside_functions: bool) -> frozenset[str]:
    """Our modules that a file of this content imports; parsed once in a process."""
    return frozenset(filter(_is_ours, _imports(ast.parse(content), inside_functions)))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


_BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")
"""Attributes in which a statement contains other statements."""


def _imports(node: ast.AST, inside_functions: bool) -> Iterator[str]:
    """Modules that are imported; for ``from a import b`` both ``a`` and ``a.b``, because ``b`` may be a module.

    Imports are statements, so expressions are not visited.
    """
    for field in _BLOCKS:
        for child in getattr(node, field, ()):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
                yield child.module
                yield from (f"{child.module}.{alias.name}" for alias in child.names)
            elif isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
                yield from _imports(ast.Module(child.orelse, []), inside_functions)
            elif inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _imports(child, inside_functions)


def _named_by_package(module: str) -> set[str]:
    """Our modules that a third party's package imports anywhere; empty where the package is not found here."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None:
        return set()
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = [file for folder in folders for file in folder.rglob("*.py")] or [Path(spec.origin or "")]
    named: set[str] = set()
    for file in files:
        if file.is_file():
            named.update(filter(_is_ours, _imports(ast.parse(file.read_bytes()), inside_functions=True)))
    return named
