"""Whether the package ``reference`` that Python imports is the one that comes with this project.

The wheel installs two top-level packages, ``parity`` and ``reference``, and the second name is a common one. A worker
is not concerned: it imports both from the folder it stands in (``parity.capture.worker.main.IsolatedFinder``).
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from parity.core.resources import PACKAGE

OURS = PACKAGE.parent / "reference"
APART = "install encdec-parity in an environment of its own (pipx install encdec-parity)"


class ReferenceHidden(ImportError):
    """Another package called ``reference`` is imported in place of ours; the line names it and what to do."""


def check_reference() -> None:
    """Refuses to go on with another package of that name, before one of its attributes is missed.

    Raises:
        ReferenceHidden: Python finds another one first, or none.
    """
    found = _found()
    if found is None:
        raise ReferenceHidden(f"parity's package 'reference' is missing from {OURS.parent}: {APART}")
    if found.resolve() != OURS.resolve():
        raise ReferenceHidden(
            f"a package called 'reference' from {found} hides parity's own in {OURS}: start parity from another "
            f"folder, or {APART}"
        )


def explained(error: Exception) -> ReferenceHidden | None:
    """What to report in place of an error while our modules are imported; None where it has another cause."""
    missing = getattr(error, "name", None) or ""
    ours = missing.partition(".")[0] == "reference" or "'reference'" in str(error) or "'reference." in str(error)
    if not isinstance(error, ImportError | AttributeError) or not ours:
        return None
    return ReferenceHidden(
        f"parity's package 'reference' in {OURS} is damaged, as where another installed package of that name has "
        f"overwritten it ({error}): {APART}"
    )


def _found() -> Path | None:
    """The folder, or the file, that ``reference`` is imported from."""
    loaded = sys.modules.get("reference")
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec("reference")
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin or "reference")
