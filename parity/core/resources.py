"""Locates files of the package: beside it when installed, at the repository's top level in a clone."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def fixture(name: str) -> Path:
    """A fixture checkpoint's directory, ``fixture("bart-odd")``.

    Raises:
        FileNotFoundError: there is no fixture of that name; the message lists the known names.
    """
    known = fixtures()
    for path in known:
        if path.name == name:
            return path
    raise FileNotFoundError(f"no fixture {name!r}; there are: {', '.join(path.name for path in known)}")


def fixtures() -> list[Path]:
    """Every fixture checkpoint's directory, by name."""
    return sorted(path.parent for path in (_fixtures() / "checkpoints").glob("*/config.json"))


def goldens() -> Path:
    """The folder of golden traces: ``index.json`` and a folder for each stack."""
    return _fixtures() / "golden"


def catalogues() -> list[Path]:
    """The files of the catalogue of documented values, by name."""
    return sorted((_fixtures() / "documented").glob("*.toml"))


def _fixtures() -> Path:
    for folder in (PACKAGE / "fixtures", PACKAGE.parent / "fixtures"):
        if (folder / "checkpoints").is_dir():
            return folder
    return PACKAGE / "fixtures"


def in_clone() -> bool:
    """Whether this is a clone, in which nox creates the stacks, rather than an installed package."""
    return (PACKAGE.parent / "noxfile.py").is_file()


def data(name: str) -> Path:
    """A data file of the package: ``data("core/data/stacks.toml")``, ``data("constraints/main.txt")``."""
    return PACKAGE / name
