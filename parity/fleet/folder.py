"""The folder of a fleet: what was asked, and the results of each checkpoint, written as it ends.

``fleet.json`` has the options; ``cells/NAME.parquet`` the rows; ``reports/NAME/`` the report; ``checkpoints/NAME.json``
the outcome. The outcome is written last, so that a checkpoint that has one is complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from parity.core.errors import InputError
from parity.core.records import RecordError, format_validation_error, json_text, validated
from parity.fleet.outcome import Answer, Outcome
from parity.fleet.places import place_of
from parity.fleet.table import rows_in, table_bytes

FORMAT = 1
ASKED = "fleet.json"


class Folder:
    """The results of a fleet in one directory.

    Args:
        location: the directory, or a URL that fsspec opens.

    Raises:
        InputError: it is a URL that cannot be opened.
    """

    def __init__(self, location: str | Path) -> None:
        self._place = place_of(location)

    def __str__(self) -> str:
        return self._place.shown()

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other processes from writing here (``parity.fleet.places``)."""
        return self._place.locked()

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
        if self._ended():
            if not resume:
                raise InputError(f"{self}: has the results of a fleet; go on with --resume, or name another --out")
            before = self.asked()
            if changed := [name for name in sorted({*before, *asked}) if before.get(name) != asked.get(name)]:
                raise InputError(f"{self}: was begun with another {', '.join(changed)}; --resume needs the same")
            return
        self.put(ASKED, json_text({"fleet": FORMAT, "options": asked}, indent=1) + "\n")

    def asked(self) -> dict[str, Any]:
        """The options of the fleet.

        Raises:
            RecordError: there is no fleet, or one of another format.
        """
        path = self._place.shown(ASKED)
        try:
            (content,) = self._place.read([ASKED])
            content = json.loads(content)
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
        contents = {f"reports/{name}/{file}": content for file, content in answer.files.items()}
        if answer.outcome.state == "audited":
            contents[_cells(name)] = table_bytes(answer.rows)
        self._place.write(contents)
        self.put(f"checkpoints/{name}.json", json_text(answer.outcome.model_dump(by_alias=True), indent=1) + "\n")

    def put(self, name: str, text: str) -> str:
        """Writes a file into the folder.

        Returns:
            Where it is.

        Raises:
            OutputError: it cannot be written.
        """
        self._place.write({name: text.encode()})
        return self._place.shown(name)

    def outcomes(self) -> list[Outcome]:
        """The outcomes of all checkpoints that have ended, by name.

        Raises:
            RecordError: there is no fleet, or a file is damaged.
        """
        self.asked()
        names = self._ended()
        found = zip(names, self._place.read(names), strict=True)
        return [self._outcome(name, content) for name, content in found]

    def tables(self) -> Iterator[tuple[Outcome, list[dict[str, Any]]]]:
        """Yields each checkpoint that was audited with its rows of the table, one at a time: a table may be large.

        Raises:
            InputError: pyarrow is not installed. RecordError: a file is missing or damaged.
        """
        outcomes = [each for each in self.outcomes() if each.state == "audited"]
        tables = self._place.read([_cells(each.name) for each in outcomes])
        for outcome, content in zip(outcomes, tables, strict=True):
            yield outcome, self._rows(outcome, content)

    def rows(self, outcome: Outcome) -> list[dict[str, Any]]:
        """The rows of one checkpoint that was audited.

        Raises:
            InputError: pyarrow is not installed. RecordError: the file is missing or damaged.
        """
        (content,) = self._place.read([_cells(outcome.name)])
        return self._rows(outcome, content)

    def _rows(self, outcome: Outcome, content: bytes) -> list[dict[str, Any]]:
        path = self._place.shown(_cells(outcome.name))
        rows = rows_in(content, path)
        if len(rows) != outcome.cells:
            raise RecordError(f"{path}: has {len(rows)} rows, and the audit had {outcome.cells} cells")
        return rows

    def _ended(self) -> list[str]:
        return [name for name in self._place.names("checkpoints") if name.endswith(".json")]

    def _outcome(self, name: str, content: bytes) -> Outcome:
        try:
            return validated(Outcome, content)
        except ValidationError as error:
            raise RecordError(f"{self._place.shown(name)}: {format_validation_error(error)}") from error


def _cells(name: str) -> str:
    return f"cells/{name}.parquet"
