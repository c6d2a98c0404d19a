"""The golden catalogue: what documents say that published checkpoints answer, ``fixtures/documented/*.toml``.

Each value names its source, the checkpoint, the class, what is asked, and the answer.
``parity.cases.documented_values`` puts it to every backend, the check DOC05 holds the answers against it.
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


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    source: str
    """The document and the place in it."""
    checkpoint: str
    """A hub id."""
    input: str = ""
    """The text that is read."""
    tokenizers: tuple[str, str] | None = None
    """Hub ids of those that read the input and wrote the answer, where that is not the checkpoint's own."""


class _OfModel(_Asked):
    model_class: str = Field(alias="class")
    """As documented, by its PyTorch name; other frameworks are asked their own class of it."""


class Tokens(_Asked):
    """Which tokens a text becomes, special ones among them."""

    ask: Literal["tokens"]
    expected: list[int]


class Recording(BaseModel):
    """A row of a published data set whose column ``audio`` is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    """A hub id."""
    config: str
    split: str
    row: int = Field(ge=0)


class Text(_OfModel):
    """What ``generate`` writes, special tokens skipped."""

    ask: Literal["text"]
    arguments: dict[str, Any] = {}
    """Of ``generate``."""
    recording: Recording | None = None
    """What is heard instead of a text."""
    expected: str

    @model_validator(mode="after")
    def _reads_something(self) -> Text:
        if bool(self.input) == bool(self.recording):
            raise ValueError("reads either an input or a recording")
        return self


class Label(_OfModel):
    """The name of the class with the largest logit."""

    ask: Literal["label"]
    expected: str


class Span(_OfModel):
    """The part of the source between the largest start and the largest end logit."""

    ask: Literal["span"]
    pair: str
    """The text that follows the input, which is the question."""
    expected: str


class Words(_OfModel):
    """The words that fit best into the input's mask, the best one first."""

    ask: Literal["words"]
    mask: str
    """How the mask is spelled."""
    expected: list[str] = Field(min_length=1)


class Loss(_OfModel):
    """The loss, rounded as the document rounds it."""

    ask: Literal["loss"]
    pair: str | None = None
    target: str | None = None
    """The text whose tokens are the labels."""
    given: dict[str, list[int]] = {}
    """Labels by the names of the call, one for each row."""
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
    """Every value of these files, by default of those that come along.

    Raises:
        CatalogueError: a file cannot be read, is no TOML, holds a key or a value that is not known, or an id twice.
    """
    found: dict[str, Value] = {}
    for path in catalogues() if files is None else files:
        for value in _read(path):
            if value.id in found:
                raise CatalogueError(f"{path}: {value.id} is there twice")
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
