"""The options of an audit: declared, documented and checked once, for the command line, the Python API and pytest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from parity.core.errors import InputError
from parity.core.subject import DEVICES, DTYPES

MAIN = "main"
SAVE_LIMIT = 8.0
"""GB that all saved copies of one checkpoint may take while a run lasts."""
TIME_LIMIT = 600.0
"""Seconds for one case, and for the start of a worker."""


def with_main(stacks: Iterable[str]) -> tuple[str, ...]:
    """These stacks beside ``main``, where the references run."""
    return tuple(dict.fromkeys([MAIN, *stacks]))


@dataclass(frozen=True)
class AuditOptions:
    """What an audit is asked to do, beside the checkpoints.

    Lists may be given as any sequence, paths as text.

    Raises:
        InputError: no such device or dtype.

    >>> AuditOptions(backends=["hf-torch"], checks=["numbers"]).backends
    ('hf-torch',)
    """

    backends: Sequence[str] | None = None
    """Names, or ``name/variant``; by default every one the stacks offer."""
    checks: Sequence[str] | None = None
    """Ids or families; by default every check. Candidates are asked only what these read."""
    stacks: Sequence[str] = (MAIN,)
    """Names of the table, paths to interpreters, or ``NAME=PATH``. The references run in ``main`` whatever is named."""
    goldens: Sequence[str] = ()
    """Stacks whose kept answers are judged too (``parity.tools.golden``), installed or not."""
    device: str = "cpu"
    """``cpu`` or ``cuda``: where candidates compute."""
    dtypes: Sequence[str] = ("float32",)
    """Among ``float64 float32 bfloat16 float16``."""
    inputs: Path | None = None
    """A JSON Lines file (``parity.cases.inputs``); by default a synthetic batch made for the checkpoint."""
    cases: Callable[..., list[Any]] | None = None
    """Makes the base cases of a checkpoint from its model spec, the rows of ``inputs`` and its generation settings; by
    default the standard cases, those of the documented API and those about files."""
    model_class: str | None = None
    """The documented class to load the checkpoints as, by its PyTorch name; by default the one each was saved by."""
    out: Path | None = None
    """The run's directory; by default a new one under ``runs/``."""
    cache: Path | None = None
    """Where traces are kept between runs; by default the user's cache directory."""
    time_limit: float = TIME_LIMIT
    """Seconds one case may take in one backend, and the start of a worker."""
    jobs: int | None = None
    """Processes side by side; by default as many as cores and memory allow."""
    memory: int | str | None = None
    """What all processes that compute may take together: bytes, or a text as ``12GB``; by default what is free. One
    always runs, and where the float64 oracle has no room as a whole, it is computed a layer at a time."""
    strict: bool = False
    """Known divergences count as fail where they are critical, or carried over to a version nobody measured."""
    known_issues: Path | None = None
    """A file of your own expected failures (``parity.judge.user_known_issues``)."""
    offline: bool = False
    """Refuse to fetch anything."""
    layerwise: bool = False
    """Also ask every layer alone, given the oracle's own states (LAYER01)."""
    save_limit: float = SAVE_LIMIT
    """GB that all saved copies of one checkpoint may take together; above, saving is skipped."""

    def __post_init__(self) -> None:
        for name in ("backends", "checks", "stacks", "goldens", "dtypes"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise InputError(f"{name}: a list of names, not the text {given!r}")
            if given is not None:
                object.__setattr__(self, name, tuple(given))
        if isinstance(self.memory, str):
            object.__setattr__(self, "memory", as_bytes(self.memory))
        for name in ("inputs", "out", "cache", "known_issues"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(given))
        for word, given, known in (
            ("device", self.device, DEVICES),
            *(("dtype", dtype, DTYPES) for dtype in self.dtypes),
        ):
            if given not in known:
                raise InputError(f"{given}: no such {word}; there are {', '.join(known)}")

    def recorded(self) -> dict[str, Any]:
        """Those that change what is asked and are not the default, as JSON can hold them (``Manifest.options``)."""
        found = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in RECORDED and value not in (each.default, ()):
                found[each.name] = _as_json(value)
        return found


DEFAULTS = AuditOptions()
RECORDED = ("inputs", "model_class", "time_limit", "layerwise", "save_limit", "checks")
"""Options that the command which shows a cell again repeats, and the judge reads."""


UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)")


def as_bytes(text: str) -> int:
    """An amount of memory as people write it: ``12GB``, ``1.5 GiB``, or bare bytes.

    Raises:
        InputError: it is none, or none at all.
    """
    found = _AMOUNT.fullmatch(text.strip())
    unit = UNITS.get(found[2].upper()) if found else None
    count = int(float(found[1]) * unit) if found and unit else 0
    if not count:
        raise InputError(f"{text}: no amount of memory, as 12GB or 1500MB is")
    return count


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return sorted(value)
    return str(value) if isinstance(value, Path) else value
