"""Storage of goldens: a file for each stack and checkpoint, and an index of their contents and provenance.

A file is safetensors: its tensors are named ``BACKEND/VARIANT/CASE/TENSOR``, and its metadata holds all other data of
the traces. The index contains every file's digest, so that altered files are detected.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from parity.core.display import printable
from parity.core.errors import InputError
from parity.core.records import RecordError, SubjectRecord, format_validation_error
from parity.core.resources import goldens
from parity.core.trace import Raised, Trace
from reference.errors import CheckpointError, brief
from reference.files import read_bytes

FORMAT = 1
INDEX = "index.json"
LARGEST = 5_000_000
"""The maximum size of all goldens in bytes."""
Key = tuple[str, str, str]
"""Backend, variant, case."""


_ERRORS = (OSError, SafetensorError, LookupError, ValueError, TypeError, AttributeError, RecursionError)
"""Exceptions that reading an invalid golden may raise."""


class GoldenError(InputError):
    """Goldens are missing, altered or cannot be used; the message names the file and the cause."""


class Replaced(BaseModel):
    """The replacement of a golden that was more accurate, and the reason for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: str
    because: str
    farther: list[str]
    """Backend, case and tensor of each larger error, with both errors."""


class Provenance(BaseModel):
    """The provenance of one file of goldens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    checkpoint: str
    """The digest of its checkpoint."""
    recorded: str
    """ISO 8601, UTC."""
    command: list[str]
    device: str
    seed: int
    """The seed of the synthetic batch."""
    python: str
    cpu: str
    versions: dict[str, str]
    replaced: list[Replaced] = Field(default_factory=list)


class Index(BaseModel):
    """The content of ``index.json``: the provenance by relative file name."""

    model_config = ConfigDict(extra="forbid")

    golden: Literal[1] = FORMAT
    files: dict[str, Provenance] = Field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """The content of one file: the traces of one stack for one checkpoint."""

    stack: str
    checkpoint: str
    environment: dict[str, Any]
    """The environment of the stack at the time of the recording."""
    subjects: list[SubjectRecord]
    cases: dict[str, str]
    """The digest of each case, by name."""
    traces: Mapping[Key, Trace]

    def to_bytes(self) -> bytes:
        """The file's content; the same traces give the same bytes."""
        arrays, rows = {}, []
        for key, trace in sorted(self.traces.items()):
            path = "/".join(key)
            arrays |= {f"{path}/{name}": np.asarray(array, order="C") for name, array in trace.arrays.items()}
            raised = asdict(trace.raised) if trace.raised else None
            own = {"key": key, "order": list(trace.arrays), "raised": raised}
            rows.append({**own, "facts": trace.facts, "dtypes": trace.dtypes, "provenance": trace.provenance})
        head = {
            "format": FORMAT,
            "stack": self.stack,
            "checkpoint": self.checkpoint,
            "cases": self.cases,
            "environment": self.environment,
            "traces": rows,
            "subjects": [subject.model_dump(mode="json", exclude_defaults=True) for subject in self.subjects],
        }
        return save(arrays, metadata={"golden": json.dumps(head, sort_keys=True)})


def read_index() -> Index:
    """Reads the index; an empty one if the file does not exist.

    Raises:
        GoldenError: it cannot be read.
    """
    path = goldens() / INDEX
    try:
        return Index.model_validate_json(read_bytes(path))
    except CheckpointError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return Index()
        raise GoldenError(f"{path}: {error.cause}") from error
    except ValidationError as error:
        raise GoldenError(f"{path}: {format_validation_error(error)}") from error


def write_index(index: Index) -> None:
    """Writes the index sorted and atomically."""
    data = index.model_dump(mode="json", exclude_defaults=False)
    data["files"] = dict(sorted(data["files"].items()))
    _write(goldens() / INDEX, (json.dumps(data, indent=1) + "\n").encode())


def write_bundle(name: str, content: bytes) -> None:
    """Writes one file atomically."""
    _write(goldens() / name, content)


def read_bundle(name: str, known: Provenance | None = None) -> Bundle:
    """Reads one file.

    Args:
        name: relative to the index.
        known: its entry in the index; if given, the file must have the digest in it.

    Raises:
        GoldenError: it is missing, altered or cannot be read.
    """
    path = goldens() / name
    try:
        content = read_bytes(path, LARGEST // 1_000_000)
        if known is not None and digest(content) != known.sha256:
            raise GoldenError(f"{path}: altered: its digest is not the one that was recorded")
        with safe_open(path, framework="numpy") as file:
            head = json.loads((file.metadata() or {})["golden"])
            if head["format"] != FORMAT:
                raise GoldenError(f"{path}: golden format {brief(head['format'])}, this version reads {FORMAT}")
            traces = dict(_traces(file, head))
        subjects = [SubjectRecord.model_validate(subject) for subject in head["subjects"]]
        bundle = Bundle(head["stack"], head["checkpoint"], head["environment"], subjects, head["cases"], traces)
    except CheckpointError as error:
        raise GoldenError(f"{path}: {error.cause}") from error
    except _ERRORS as error:
        if isinstance(error, GoldenError):
            raise
        raise GoldenError(f"{path}: not a readable golden: {printable(f'{type(error).__name__}: {error}')}") from error
    return bundle


def _traces(file: Any, head: dict[str, Any]) -> Iterator[tuple[Key, Trace]]:
    for row in head["traces"]:
        path = "/".join(row["key"])
        arrays = {name: file.get_tensor(f"{path}/{name}") for name in row["order"]}
        raised = Raised(**row["raised"]) if row["raised"] else None
        yield tuple(row["key"]), Trace(arrays, row["facts"], raised, row["dtypes"], row["provenance"])


def file_name(stack: str, checkpoint: str) -> str:
    """``docs-4.37/bart-odd.safetensors``."""
    return f"{stack}/{checkpoint}.safetensors"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".part-{path.name}")
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise RecordError(f"{path}: cannot be written: {error.strerror}") from error
