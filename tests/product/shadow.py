"""A copy of the installed transformers in which one module is edited; everything else in it is a link."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def shadow_transformers(directory: Path, module: str, appended: str) -> Path:
    """Makes ``directory/transformers`` with code appended to one module.

    Args:
        module: path within the package, ``models/bart/modeling_bart.py``.

    Returns:
        What to put in PYTHONPATH.
    """
    original = Path(importlib.util.find_spec("transformers").origin).parent
    folder = directory / "transformers"
    folder.mkdir(parents=True)
    *parents, name = Path(module).parts
    for parent in [*parents, name]:
        for entry in original.iterdir():
            if entry.name not in (parent, "__pycache__"):
                (folder / entry.name).symlink_to(entry)
        original /= parent
        folder /= parent
        if parent != name:
            folder.mkdir()
    folder.write_text(original.read_text(encoding="utf-8") + "\n\n" + appended, encoding="utf-8")
    return directory
