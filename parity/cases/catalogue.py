"""The catalogue of documented values: outputs of published checkpoints as documents state them.

Each value in ``fixtures/documented/*.toml`` names its source, the checkpoint, the class, the input and the expected
output. ``parity.cases.documented_values`` makes a case of each, and the check DOC05 compares the results.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from parity.core.errors import InputError
from parity.core.resources import catalogues


class CatalogueError(InputError):
    """A file of the catalogue cannot be used; the message names the file and the cause."""


class _CatalogueEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    source: str
    """The document and the section in it."""
    checkpoint: str
    """A hub id."""
    input: str = ""
    """The input text."""
    tokenizers: tuple[str, str] | None = None
    """Hub ids of the tokenizers for input and output, where they are not the checkpoint's own."""


class _OfModel(_CatalogueEntry):
    model_class: str = Field(alias="class")
    """As documented, by its PyTorch name; other frameworks load their counterpart of it."""


class Tokens(_CatalogueEntry):
    """Token ids of a text, including special tokens."""

    ask: Literal["tokens"]
    expected: list[int]


class Recording(BaseModel):
    """The row of a published data set whose column ``audio`` is the input."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    """A hub id."""
    config: str
    split: str
    row: int = Field(ge=0)


class Text(_OfModel):
    """The output text of ``generate``, without special tokens."""

    ask: Literal["text"]
    arguments: dict[str, Any] = {}
    """Arguments of ``generate``."""
    recording: Recording | None = None
    """The audio input, in place of a text."""
    expected: str

    @model_validator(mode="after")
    def _reads_something(self) -> Text:
        if bool(self.input) == bool(self.recording):
            raise ValueError("needs either an input or a recording")
        return self


class Label(_OfModel):
    """The name of the class with the largest logit."""

    ask: Literal["label"]
    expected: str


class Span(_OfModel):
    """The part of the source between the largest start logit and the largest end logit."""

    ask: Literal["span"]
    pair: str
    """The text after the input, which is the question."""
    expected: str


class Words(_OfModel):
    """The most likely words at the input's mask token, best first."""

    ask: Literal["words"]
    mask: str
    """The mask token's text."""
    expected: list[str] = Field(min_length=1)


class Loss(_OfModel):
    """The loss, rounded as in the document."""

    ask: Literal["loss"]
    pair: str | None = None
    target: str | None = None
    """The text whose tokens are the labels."""
    given: dict[str, list[int]] = {}
    """Labels by argument name of the call, one for each row."""
    expected: float
    digits: int = Field(ge=0)


class States(_OfModel):
    """The first numbers of the encoder's last state at the first token, rounded."""

    ask: Literal["states"]
    expected: list[float] = Field(min_length=1)
    digits: int = Field(ge=0)


Value = Tokens | Text | Label | Span | Words | Loss | States
_FILE = TypeAdapter(dict[Literal["value"], list[Annotated[Value, Field(discriminator="ask")]]])


def read_catalogue(files: Iterable[Path] | None = None) -> list[Value]:
    """All values of these files; by default of the files in the package.

    Raises:
        CatalogueError: a file cannot be read, is not TOML, has an unknown key or value, or a duplicate id.
    """
    found: dict[str, Value] = {}
    for path in catalogues() if files is None else files:
        for value in _read(path):
            if value.id in found:
                raise CatalogueError(f"{path}: duplicate id {value.id}")
            found[value.id] = value
    return list(found.values())


def _read(path: Path) -> list[Value]:
    try:
        return _FILE.validate_python(tomllib.loads(path.read_text(encoding="utf-8"))).get("value", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CatalogueError(f"{path}: {where}: {first['msg']}") from error
