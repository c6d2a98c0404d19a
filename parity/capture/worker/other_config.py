"""A checkpoint with other values of some fields of its config."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CONFIG = "config.json"


@contextlib.contextmanager
def with_other_config(checkpoint: Path, fields: Mapping[str, Any]) -> Iterator[Path]:
    """A temporary folder with links to a checkpoint's files, and its ``config.json`` with these fields.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: ``config.json`` is not JSON.
    """
    with tempfile.TemporaryDirectory(prefix="parity-config-") as name:
        folder = Path(name)
        for file in checkpoint.iterdir():
            if file.name != CONFIG:
                (folder / file.name).symlink_to(file.resolve())
        config = json.loads((checkpoint / CONFIG).read_text(encoding="utf-8"))
        (folder / CONFIG).write_text(json.dumps({**config, **fields}), encoding="utf-8")
        yield folder
