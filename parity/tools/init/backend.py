"""``parity init backend NAME``: a package with a backend of a third party, as a start."""

from __future__ import annotations

import re
from pathlib import Path

from parity.core.backends import built_in
from parity.core.errors import InputError
from parity.core.files import write_whole
from parity.core.resources import data
from parity.tools.init.init import Change

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
FOLDER = "tools/init/backend"


def init_backend(root: Path, name: str, force: bool = False) -> list[Change]:
    """Writes a package into a folder of the backend's name.

    Args:
        root: where the folder is made.
        name: of the backend, in lower case.
        force: replace files that are there and differ.

    Raises:
        InputError: the name cannot be a backend's, or is one of ours.
        OSError: a file cannot be written.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"{name}: a backend's name has lower-case letters, digits and dashes")
    if name in built_in():
        raise InputError(f"{name}: parity has a backend of this name")
    module = name.replace("-", "_")
    words = {
        "@NAME@": name,
        "@MODULE@": module,
        "@CLASS@": "".join(part.capitalize() for part in module.split("_")),
        "@DISTRIBUTION@": name,
    }
    changes = []
    for source, target in (
        ("pyproject.toml.template", Path(name, "pyproject.toml")),
        ("README.md.template", Path(name, "README.md")),
        ("backend.py.template", Path(name, module, "__init__.py")),
    ):
        text = data(f"{FOLDER}/{source}").read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        path = root / target
        before = path.read_text(encoding="utf-8") if path.exists() else None
        change = Change(target, before, text, before is None or (force and before != text))
        if change.written:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)
        changes.append(change)
    return changes
