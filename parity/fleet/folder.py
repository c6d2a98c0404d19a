"""The folder of a fleet: what was asked, and the results of each checkpoint, written as it ends.

``fleet.json`` has the options; ``cells/NAME.parquet`` the rows; ``reports/NAME/`` the report; ``checkpoints/NAME.json``
the outcome. The outcome is written last, so that a checkpoint that has one is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from parity.core.errors import InputError, OutputError
from parity.core.files import write_whole
from parity.core.records import RecordError, format_validation_error, json_text, record_bytes, validated
from parity.fleet.outcome import Answer, Outcome
from parity.fleet.table import read_rows, write_rows

FORMAT = 1
ASKED = "fleet.json"


class Folder:
    """The results of a fleet in one directory.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, asked: dict[str, Any], resume: bool) -> None:
        """Creates the folder, or verifies that it is of the same fleet. One without any result is begun anew.

        Args:
            asked: the options that verdicts depend on, in JSON types.
            resume: whether to go on with what is there.

        Raises:
            InputError: it has a fleet and ``resume`` is false, or one of other options.
            OutputError: it cannot be written.
        """
        asked = json.loads(json_text(asked))
        if any((self.path / "checkpoints").glob("[!.]*.json")):
            if not resume:
                raise InputError(f"{self.path}: has the results of a fleet; go on with --resume, or name another --out")
            before = self.asked()
            if changed := [name for name in sorted({*before, *asked}) if before.get(name) != asked.get(name)]:
                raise InputError(f"{self.path}: was begun with another {', '.join(changed)}; --resume needs the same")
            return
        try:
            for folder in ("cells", "checkpoints", "reports"):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            write_whole(self.path / ASKED, json_text({"fleet": FORMAT, "options": asked}, indent=1) + "\n")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error

    def asked(self) -> dict[str, Any]:
        """The options of the fleet.

        Raises:
            RecordError: there is no fleet, or one of another format.
        """
        path = self.path / ASKED
        try:
            content = json.loads(record_bytes(path))
        except RecordError as error:
            raise RecordError(f"{error}; parity fleet LIST --out DIR makes it") from error
        except ValueError as error:
            raise RecordError(f"{path}: not JSON") from error
        if (
            not isinstance(content, dict)
            or content.get("fleet") != FORMAT
            or not isinstance(content.get("options"), dict)
        ):
            raise RecordError(f"{path}: not a fleet's, or of another format than {FORMAT}")
        return content["options"]

    def write(self, answer: Answer) -> None:
        """Stores the results of a checkpoint, the outcome last.

        Raises:
            OutputError: they cannot be written; what was written before remains valid.
        """
        name = answer.outcome.name
        try:
            for file, content in answer.files.items():
                _write_bytes(self.path / "reports" / name / file, content)
            if answer.outcome.state == "audited":
                write_rows(answer.rows, self.path / "cells" / f"{name}.parquet")
            write_whole(self._outcome(name), json_text(answer.outcome.model_dump(by_alias=True), indent=1) + "\n")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error

    def outcomes(self) -> list[Outcome]:
        """The outcomes of all checkpoints that have ended, by name.

        Raises:
            RecordError: there is no fleet, or a file is damaged.
        """
        self.asked()
        return [_read_outcome(path) for path in sorted((self.path / "checkpoints").glob("[!.]*.json"))]

    def tables(self) -> Iterator[tuple[Outcome, list[dict[str, Any]]]]:
        """Yields each checkpoint that was audited with its rows of the table, one at a time: a table may be large.

        Raises:
            InputError: pyarrow is not installed. RecordError: a file is missing or damaged.
        """
        for outcome in self.outcomes():
            if outcome.state == "audited":
                path = self.path / "cells" / f"{outcome.name}.parquet"
                rows = read_rows(path)
                if len(rows) != outcome.cells:
                    raise RecordError(f"{path}: has {len(rows)} rows, and the audit had {outcome.cells} cells")
                yield outcome, rows

    def _outcome(self, name: str) -> Path:
        return self.path / "checkpoints" / f"{name}.json"


def _read_outcome(path: Path) -> Outcome:
    try:
        return validated(Outcome, record_bytes(path))
    except ValidationError as error:
        raise RecordError(f"{path}: {format_validation_error(error)}") from error


def _write_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".part-{path.name}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
