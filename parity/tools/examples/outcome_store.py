"""The results of examples, stored in the run directory one by one, so that the same command can continue a run."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from parity.tools.examples.model import Block
from parity.tools.examples.process import RUNNER, Answer, Outcome


class OutcomeStore:
    """Outcomes below a directory, one file each, written atomically; None: nothing is stored.

    A file is named by everything that an outcome depends on: the code, the stack's contents, the contents of its hub
    cache, the limits, and our own code that runs examples.
    """

    def __init__(self, directory: Path | None, *limits: float) -> None:
        self._directory = directory
        self._common = [RUNNER.read_text(encoding="utf-8"), *map(str, limits)]

    def _path(self, directory: Path, block: Block, *about: str) -> Path:
        content = [*self._common, *about, block.kind, *(each.code for each in block.statements)]
        return directory / f"{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]}.json"

    def find(self, block: Block, *about: str) -> Outcome | None:
        """The stored outcome of this code; ``about`` is what else it depends on."""
        if self._directory is None:
            return None
        path = self._path(self._directory, block, *about)
        if not path.is_file():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        answers = tuple(Answer(**each) for each in found.pop("answers"))
        return Outcome(answers=answers, wrote_outside=tuple(found.pop("wrote_outside")), **found)

    def keep(self, outcome: Outcome, block: Block, *about: str) -> None:
        """Stores an outcome, unless the process did not start: then it is run again next time."""
        if self._directory is None or outcome.not_begun:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._path(self._directory, block, *about)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
        os.replace(temporary, path)
