"""Where the command line takes what is not given: from ``[tool.parity]`` of the project in the working directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from parity.core.errors import InputError

if TYPE_CHECKING:
    from parity.core.project_config import ProjectConfig


def project() -> ProjectConfig:
    """``[tool.parity]`` that applies here; without one, with no key set.

    Raises:
        ConfigError: it has a mistake.
    """
    from parity.core.project_config import ProjectConfig, find_project, read_project

    path = find_project()
    return ProjectConfig() if path is None else read_project(path)


def with_project(context: typer.Context | None, given: dict[str, Any]) -> dict[str, Any]:
    """The options of a command, those that were not given on the command line as the project has them.

    Args:
        context: the command's; None where a program calls it, to which nothing of a project applies.
        given: by parameter, as typer hands them over.

    Raises:
        ConfigError: ``[tool.parity]`` has a mistake.
        InputError: the command takes checkpoints, and none is named there either.
    """
    if context is None:
        return given
    found = project()
    theirs: dict[str, Any] = found.options() | ({"baseline": found.baseline} if found.baseline else {})
    merged = {
        name: theirs[name] if name in theirs and not _was_given(context, name) else value
        for name, value in given.items()
    }
    if "checkpoints" in merged and not merged["checkpoints"]:
        if not found.checkpoints:
            raise InputError("no checkpoint: name a directory or a hub id, or have it in pyproject.toml: parity init")
        merged["checkpoints"] = list(found.checkpoints)
    return merged


def baseline_of_project(context: typer.Context, given: Path) -> Path:
    """The baseline of the project, unless one was given on the command line."""
    return with_project(context, {"baseline": given})["baseline"]


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")
