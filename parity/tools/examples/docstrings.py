"""Extracts the docstrings of an installed transformers: a script for a stack's interpreter.

It imports nothing but the standard library and transformers: an old stack has none of our other dependencies.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import platform
import sys
from typing import Any

OWN = "transformers.models."
"""The module prefix of a model's methods; methods inherited by every model are documented elsewhere."""


DISTRIBUTIONS = (
    "transformers",
    "torch",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "flax",
    "tokenizers",
    "datasets",
    "numpy",
)


def documented_members(cls: type) -> list[tuple[str, str]]:
    """A class's own docstring, and those of its public methods and ``__call__`` that the models' own files define."""
    found = [("", inspect.cleandoc(cls.__doc__))] if cls.__doc__ else []
    for name in sorted(dir(cls)):
        if name.startswith("_") and name != "__call__":
            continue
        owner = next((base for base in cls.__mro__ if name in vars(base)), None)
        if owner is None or not owner.__module__.startswith(OWN):
            continue
        member = vars(owner)[name]
        function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        if inspect.isfunction(function) and function.__doc__:
            found.append((name, inspect.cleandoc(function.__doc__)))
    return found


def describe(names: list[str]) -> dict[str, Any]:
    """Versions, and the docstrings of each class; for an absent class, the reason."""
    found: dict[str, Any] = {"python": platform.python_version(), "versions": {}, "members": {}, "absent": {}}
    for distribution in DISTRIBUTIONS:
        try:
            found["versions"][distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            pass
    if not names:
        return found
    import transformers

    for name in names:
        try:
            cls = getattr(transformers, name)
        except (AttributeError, ImportError) as error:
            found["absent"][name] = str(error).splitlines()[0]
            continue
        if type(cls).__name__ == "DummyObject":
            found["absent"][name] = f"needs {', '.join(cls._backends)}, which is not installed"
            continue
        found["members"][name] = documented_members(cls)
    return found


if __name__ == "__main__":
    # Python puts a script's own folder first on sys.path, where our file names would shadow other packages.
    del sys.path[0]
    print("\n" + json.dumps(describe(sys.argv[1:])))
