"""The options of an audit, declared and validated once for the command line, the Python API and pytest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from parity.core.errors import InputError
from parity.core.nearest import unknown
from parity.core.subject import DEVICES, DTYPES, REFERENCES

MAIN = "main"
CASE_SETS = ("standard", "exhaustive")
SAVE_LIMIT = 8.0
"""Gigabytes that all saved copies of one checkpoint may take during a run."""
TIME_LIMIT = 600.0
"""Time limit in seconds for one case, and for the start of a worker."""


def with_main(stacks: Iterable[str]) -> tuple[str, ...]:
    """The named stacks, preceded by ``main``, where the references run."""
    return tuple(dict.fromkeys([MAIN, *stacks]))


@dataclass(frozen=True)
class AuditOptions:
    """The options of an audit, apart from the checkpoints.

    Any sequence is accepted for lists, and text for paths.

    Raises:
        InputError: the device or dtype is unknown.

    >>> AuditOptions(backends=["hf-torch"], checks=["numbers"]).backends
    ('hf-torch',)
    """

    backends: Sequence[str] | None = None
    """Backends, as ``name`` or ``name/variant``; by default all that the stacks offer."""
    checks: Sequence[str] | None = None
    """Check ids or check groups; by default every check. Candidates run only the cases that these read."""
    models: Sequence[str] = ()
    """Models of your own, each ``FILE.py:FUNCTION`` or ``NAME=FILE.py:FUNCTION``: the function is called with the
    checkpoint's directory and returns the model. Unless ``backends`` names others, they are the only backends."""
    converted: Path | None = None
    """The converted files of the one engine that is named (``docs/engines.md``); by default they are made from the
    checkpoint."""
    quantised: str = ""
    """Run the one engine that is named with this quantisation (``docs/engines.md``); by default with none. The
    references compute with the weights rounded in the same way, and a second column has what the rounding moves."""
    references: Sequence[str] | None = None
    """The references whose errors set the tolerances; by default both. One alone is faster, and its tolerances are
    larger (``docs/numerics.md``)."""
    stacks: Sequence[str] = (MAIN,)
    """Names of the table, paths to interpreters, or ``NAME=PATH``. The references always run in ``main``."""
    goldens: Sequence[str] = ()
    """Stacks whose golden traces are judged too (``parity.tools.golden``), installed or not."""
    device: str = "cpu"
    """``cpu`` or ``cuda``: the device of the candidates."""
    dtypes: Sequence[str] = ("float32",)
    """Dtypes, from ``float64 float32 bfloat16 float16``."""
    inputs: Path | None = None
    """A JSON Lines file of inputs (``parity.cases.inputs``); by default a synthetic batch."""
    case_set: str = "standard"
    """``standard``, or ``exhaustive`` with further cases of documented arguments (``parity.cases.exhaustive``)."""
    cases: Callable[..., list[Any]] | None = None
    """Makes the base cases of a checkpoint from its model spec, the rows of ``inputs`` and its generation settings; by
    default the standard cases, those of the documented API and those about files."""
    original: Path | None = None
    """With ``quantised``, the checkpoint as it was named: the one that is audited has rounded weights."""
    model_class: str | None = None
    """The documented class to load the checkpoints as, by PyTorch name; by default the class that saved each."""
    out: Path | None = None
    """The run directory; by default a new one under ``runs/``."""
    cache: Path | None = None
    """Where traces are cached between runs; by default the user's cache directory."""
    time_limit: float = TIME_LIMIT
    """Time limit in seconds for one case in one backend, and for the start of a worker."""
    jobs: int | None = None
    """Number of parallel workers; by default limited by cores and memory."""
    memory: int | str | None = None
    """Memory limit for all workers together: bytes, or a text such as ``12GB``; by default the free memory. One worker
    always runs; where the float64 oracle does not fit as a whole, it is computed a layer at a time."""
    strict: bool = False
    """Count known divergences as failures if they are critical, or carried over to a version that was not measured."""
    known_issues: Path | None = None
    """A file of your own expected failures (``parity.judge.user_known_issues``)."""
    keywords: str = ""
    """Only cells that this expression holds of (``parity.judge.keywords``), as pytest's ``-k``."""
    exit_first: bool = False
    """Stop at the first check that fails: what comes after it is neither judged nor captured, and is said to be so."""
    offline: bool = False
    """Do not download anything."""
    layerwise: bool = False
    """Also run every layer on the oracle's input states (LAYER01)."""
    save_limit: float = SAVE_LIMIT
    """Gigabytes that all saved copies of one checkpoint may take together; above this, save cases are skipped."""

    def __post_init__(self) -> None:
        for name in ("backends", "checks", "models", "references", "stacks", "goldens", "dtypes"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise InputError(f"{name}: expected a list of names, not the text {given!r}")
            if given is not None:
                object.__setattr__(self, name, tuple(given))
        if isinstance(self.memory, str):
            object.__setattr__(self, "memory", as_bytes(self.memory))
        for name in ("inputs", "out", "cache", "known_issues", "converted", "original"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(given))
        for word, given, known in (
            ("device", self.device, DEVICES),
            ("set of cases", self.case_set, CASE_SETS),
            *(("dtype", dtype, DTYPES) for dtype in self.dtypes),
            *(("reference", name, REFERENCES) for name in self.references or ()),
        ):
            if given not in known:
                raise InputError(unknown(f"no {word} is called", given, known))

    def recorded(self) -> dict[str, Any]:
        """Options that change what runs and differ from the default, in JSON types (``Manifest.options``)."""
        found = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in RECORDED and value not in (each.default, ()):
                found[each.name] = _as_json(value)
        return found


DEFAULTS = AuditOptions()
RECORDED = (
    "inputs",
    "model_class",
    "models",
    "converted",
    "quantised",
    "original",
    "references",
    "time_limit",
    "layerwise",
    "case_set",
    "save_limit",
    "checks",
    "keywords",
)
"""Options that the ``Reproduce`` command of a cell repeats, and that the judge reads."""


UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)")


def as_bytes(text: str) -> int:
    """Parses an amount of memory: ``12GB``, ``1.5 GiB``, or a number of bytes.

    Raises:
        InputError: it is not an amount, or zero.
    """
    found = _AMOUNT.fullmatch(text.strip())
    unit = UNITS.get(found[2].upper()) if found else None
    count = int(float(found[1]) * unit) if found and unit else 0
    if not count:
        raise InputError(f"{text}: not an amount of memory, such as 12GB or 1500MB")
    return count


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return sorted(value)
    return str(value) if isinstance(value, Path) else value
