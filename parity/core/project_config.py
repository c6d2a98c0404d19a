"""``[tool.parity]`` of a project's ``pyproject.toml``: what the command line takes where nothing else is given."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from parity.core.errors import InputError
from parity.core.nearest import nearest
from parity.core.options import as_bytes
from parity.core.subject import DEVICES, DTYPES

FILE = "pyproject.toml"
SECTION = "[tool.parity]"
OPTIONS = (
    *("backends", "checks", "stacks", "goldens", "device", "dtypes", "inputs", "model_class", "cache", "time_limit"),
    *("jobs", "memory", "strict", "known_issues", "offline", "layerwise", "case_set", "save_limit"),
)
"""Those keys that are fields of ``AuditOptions``; the others are ``checkpoints`` and ``baseline``."""
ALIASES = {"model_class": "class", "case_set": "cases"}
"""Keys that are written otherwise than the field is called: as the option of the command line is."""


class ConfigError(InputError):
    """``[tool.parity]`` has a mistake; the message names the file, the key, and the nearest valid key or value."""


class ProjectConfig(BaseModel):
    """The keys of ``[tool.parity]``, as they are written: with hyphens, paths relative to the file.

    >>> ProjectConfig.model_validate({"checkpoints": ["model"], "known-issues": "known.toml"}).known_issues
    PosixPath('known.toml')
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=lambda name: ALIASES.get(name, name.replace("_", "-"))
    )

    checkpoints: list[str] = []
    """Directories or hub ids that ``parity audit`` takes where none is named."""
    baseline: Path | None = Field(default=None, strict=False)
    """The file that ``parity gate`` compares with and ``--update`` writes."""
    backends: list[str] | None = None
    checks: list[str] | None = None
    stacks: list[str] | None = None
    goldens: list[str] | None = None
    device: str | None = None
    dtypes: list[str] | None = None
    inputs: Path | None = Field(default=None, strict=False)
    model_class: str | None = None
    cache: Path | None = Field(default=None, strict=False)
    time_limit: float | None = Field(default=None, gt=0)
    jobs: int | None = Field(default=None, ge=1)
    memory: int | str | None = None
    strict: bool | None = None
    known_issues: Path | None = Field(default=None, strict=False)
    offline: bool | None = None
    layerwise: bool | None = None
    case_set: str | None = None
    save_limit: float | None = Field(default=None, ge=0)

    @field_validator("device")
    @classmethod
    def _device(cls, given: str) -> str:
        return _among(given, DEVICES)

    @field_validator("dtypes")
    @classmethod
    def _dtypes(cls, given: list[str]) -> list[str]:
        return [_among(each, DTYPES) for each in given]

    @field_validator("memory")
    @classmethod
    def _memory(cls, given: int | str) -> int | str:
        as_bytes(str(given))
        return given

    def options(self) -> dict[str, Any]:
        """The fields of ``AuditOptions`` that the file sets."""
        return {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}


def find_project(start: Path | None = None) -> Path | None:
    """The nearest ``pyproject.toml`` with a ``[tool.parity]``, in a directory or above it.

    Args:
        start: where to begin; by default the working directory.

    Raises:
        ConfigError: a file seems to have the section and is no TOML.
    """
    start = (start or Path.cwd()).absolute()
    return next((folder / FILE for folder in (start, *start.parents) if _section(folder / FILE) is not None), None)


def read_project(path: Path) -> ProjectConfig:
    """``[tool.parity]`` of a file; relative paths are made relative to the file's directory.

    Raises:
        ConfigError: the file is no TOML, or a key or a value is wrong; one line.
    """
    section = _section(path)
    try:
        found = ProjectConfig.model_validate(section or {})
    except ValidationError as error:
        raise ConfigError(f"{path}: {SECTION} {_mistake(error)}") from None
    folder = path.parent
    placed: dict[str, Any] = {
        name: _below(folder, value)
        for name in ("baseline", "inputs", "cache", "known_issues")
        if (value := getattr(found, name)) is not None
    }
    placed["checkpoints"] = [_checkpoint(folder, each) for each in found.checkpoints]
    if found.stacks is not None:
        placed["stacks"] = [_stack(folder, each) for each in found.stacks]
    return found.model_copy(update=placed)


def _section(path: Path) -> Any:
    """What a file has under ``[tool.parity]``; None where it has none or there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    try:
        tool = tomllib.loads(text).get("tool")
    except tomllib.TOMLDecodeError as error:
        if "tool.parity" not in text:
            return None  # another tool's business
        raise ConfigError(f"{path}: not TOML: {error}") from None
    return tool.get("parity") if isinstance(tool, dict) else None


def _mistake(error: ValidationError) -> str:
    """The first mistake, in a line."""
    first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"{key}: no such key; {_nearest(key, list(KEYS))}"
    if not key:
        return "is no table"
    message = str(first["msg"]).removeprefix("Value error, ")
    at = "".join(f"[{each}]" for each in first["loc"][1:] if isinstance(each, int))
    shown = repr(first["input"])
    return f"{key}{at}: {message[:1].lower()}{message[1:]}" + (
        "" if first["type"] == "value_error" else f", not {shown:.80}"
    )


def _among(given: str, known: tuple[str, ...]) -> str:
    if given not in known:
        raise ValueError(f"{given} is none; {_nearest(given, list(known))}")
    return given


def _nearest(given: str, known: list[str]) -> str:
    close = nearest(given.replace("_", "-"), known)
    return f"did you mean {close}?" if close else f"there are {', '.join(known)}"


def _below(folder: Path, given: Path) -> Path:
    """A path of the file as the working directory sees it: short where it is below, so that it can be repeated."""
    path = folder / given.expanduser()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _checkpoint(folder: Path, given: str) -> str:
    """A directory as the working directory sees it; what is no directory, and may be a hub id, stays as it is."""
    path = folder / Path(given).expanduser()
    is_path = path.exists() or given.startswith((".", "/", "~")) or given.count("/") > 1
    return str(_below(folder, Path(given))) if is_path else given


def _stack(folder: Path, given: str) -> str:
    name, separator, path = given.rpartition("=")
    if not separator and "/" not in path and os.sep not in path:
        return given
    # A virtual environment is known by the link it starts from, which must not be resolved.
    return f"{name}{separator}{folder / Path(path).expanduser()}"


KEYS = tuple(ALIASES.get(name, name.replace("_", "-")) for name in ProjectConfig.model_fields)
"""As they are written in the file."""
