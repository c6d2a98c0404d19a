"""Resolves a row of ``parity.core.backends`` to its code; modules are imported on demand."""

from __future__ import annotations

import importlib
from typing import Any

from parity.backends.protocol import Backend
from parity.core.backends import Entry, find_entry

__all__ = ["class_of", "get_backend", "limits_of", "named_function"]


def get_backend(name: str) -> Backend:
    """A new instance of the backend's class; its module is imported now, its framework in ``setup``.

    Raises:
        KeyError: there is no backend of this name.
        ImportError: a third party's module cannot be imported.
    """
    return class_of(find_entry(name))()


def class_of(entry: Entry) -> Any:
    """The class of a row.

    Raises:
        ImportError: a third party's module cannot be imported.
    """
    return getattr(importlib.import_module(entry.module), entry.attribute)


def limits_of(entry: Entry) -> Any:
    """The function that declares unsupported capabilities; None where the class's ``lacking`` does."""
    return named_function(entry.limits) if entry.limits else None


def named_function(name: str) -> Any:
    """The function that a row names as ``module:function``."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)
