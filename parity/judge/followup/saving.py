"""Cases about saving: every candidate saves, and every candidate loads what each of them saved.

The formats in which a backend saves are in its row (``parity.core.backends``), and the documented results in
``saving.toml``. Saved files are transferred in traces, from saver to loader. All copies of a checkpoint together stay
below a limit that the user sets, and below the free space on the disk; large ones are removed once the run has loaded
them (``Trace`` fact ``let_go``).
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from parity.core.backends import BACKENDS
from parity.core.case import Case, Notes
from parity.core.options import SAVE_LIMIT
from parity.core.records import SubjectRecord
from parity.core.resources import data
from parity.core.trace import FILE, Trace, TraceError
from parity.judge.captured_run import CheckpointRun
from parity.judge.generated_text import SETTINGS
from reference.tokenizer.serialised import SERIALISED_FILE

GB = 1_000_000_000
ROOM = 2
"""Number of copies on the disk: one in a trace, and one in a scratch folder while it is written or loaded."""
READ = {"config": "config", "tokenizer": "tokenize"}
"""By component of files, the case that reads the checkpoint's own."""
COMPARED = {"config": ("fields", "common", "halves"), "tokenizer": ("texts",)}
"""Settings of these that apply to saved files too."""
EAGER = "eager"
"""Attention changes no weight, so the eager variant represents the others."""


@dataclass(frozen=True)
class Promise:
    """The documented result of a loader and a route, given a saver's files."""

    saver: str
    loader: str
    route: str
    """``plain``, or the conversion flag that is passed: ``from_pt``, ``from_tf``, ``from_flax``."""
    outcome: str
    """``same`` or ``same-or-error``."""
    source: str


@cache
def promises() -> tuple[Promise, ...]:
    """All rows of ``saving.toml``, in its order."""
    table = tomllib.loads(data("judge/data/saving.toml").read_text(encoding="utf-8"))
    return tuple(Promise(**row) for row in table["promise"])


def savers() -> dict[str, tuple[str, ...]]:
    """By backend that can save, its formats."""
    return {name: entry.weights.saves for name, entry in BACKENDS.items() if entry.weights}


def promise_for(case: Case, loader: str) -> Promise:
    """The documented result of this backend loading the files of a ``saved`` case."""
    found = (each for each in promises() if (each.saver, each.loader) == (case.notes["saver"], loader))
    return next(each for each in found if each.route == case.settings["route"])


def save_cases(run: CheckpointRun, limit: float = SAVE_LIMIT) -> Iterator[Case]:
    """One for each format, run on the backends that support it; none where the weight file itself cannot be read.

    Args:
        limit: maximum size in GB of all copies together.
    """
    size = _size(run)
    if size is None:
        return
    why = _no_room(run, size, limit)
    for name in dict.fromkeys(form for forms in savers().values() for form in forms):
        able = [[saver, EAGER] for saver, forms in savers().items() if name in forms]
        needs: tuple[str, ...] = (f"save_{name}",)
        notes: Notes = {"only": able}
        if why:
            needs = (*needs, "room_to_save")
            notes["lacking"] = {"room_to_save": why}
        yield Case(f"save.{name}", "save", settings={"format": name}, requires=needs, notes=notes)


def _no_room(run: CheckpointRun, size: int, limit: float) -> str:
    """Why the copies of a checkpoint of this size are not saved; "" where they are."""
    copies = sum(
        f"save_{form}" in subject.capabilities
        for _, subject in run.subjects("candidate")
        if subject.variant == EAGER
        for form in savers().get(subject.backend, ())
    )
    needed = copies * size
    if needed > limit * GB:
        return (
            f"{copies} copies of {size / GB:.2f} GB of parameters are more than the limit of {limit:g} GB: "
            f"--save-limit {math.ceil(10 * needed / GB) / 10:g}"
        )
    free = shutil.disk_usage(run.directory if run.directory.is_dir() else tempfile.gettempdir()).free
    if ROOM * needed > free:
        return (
            f"{copies} copies of {size / GB:.2f} GB of parameters need more than the {free / GB:.1f} GB that are free"
        )
    return ""


def saved_cases(run: CheckpointRun) -> Iterator[Case]:
    """Each saved set of files, for each loader by each route in the table."""
    for index, subject in run.subjects("candidate"):
        for case in [case for case in run.cases.values() if case.operation == "save"]:
            trace = _answer(run, index, case.name)
            if trace is None:
                continue
            base: Notes = {
                "saver": subject.backend,
                "saver_index": index,
                "save": case.name,
                "trace": trace.provenance.get("key", ""),
            }
            saved = f"saved.{subject.backend}@{subject.stack}.{case.settings['format']}"
            for word, rows in _routes(subject.backend).items():
                notes: Notes = {**base, "only": [[each.loader, EAGER] for each in rows]}
                needs = ("load", word) if word.startswith("from_") else ("load",)
                settings = {"route": rows[0].route, "generates": SETTINGS in run.cases}
                parents = (saved_digest(trace),)
                yield Case(f"{saved}.{word}", "load_saved", {}, settings, needs, notes=notes, parents=parents)


def save_file_cases(run: CheckpointRun) -> Iterator[Case]:
    """Saving of configs and tokenizers, if several stacks have a reader: its own files each reads in its first case."""
    for component, read in READ.items():
        if read not in run.cases or len({each.stack for _, each in _readers(run, component)}) < 2:
            continue
        notes: Notes = {"only": [[each.backend, each.variant] for _, each in _readers(run, component)]}
        lacking = run.cases[read].notes.get("lacking")
        if lacking:
            notes["lacking"] = lacking
        yield Case(f"save-{component}", f"save_{component}", requires=run.cases[read].requires, notes=notes)


def saved_file_cases(run: CheckpointRun) -> Iterator[Case]:
    """Each saved config or tokenizer, for the readers of every stack."""
    for component, read in READ.items():
        name = f"save-{component}"
        for index, subject in _readers(run, component) if name in run.cases else ():
            trace = _answer(run, index, name)
            if trace is None:
                continue
            settings = {each: run.cases[read].settings[each] for each in COMPARED[component]}
            notes: Notes = {
                **run.cases[name].notes,
                "saver": subject.backend,
                "saver_index": index,
                "save": name,
                "trace": trace.provenance.get("key", ""),
            }
            needs = tuple(dict.fromkeys((*run.cases[read].requires, *_needs_of_tokenizer(trace))))
            saved = f"saved-{component}.{subject.backend}@{subject.stack}"
            yield Case(saved, f"load_{component}", {}, settings, needs, notes=notes, parents=(saved_digest(trace),))


def _readers(run: CheckpointRun, component: str) -> list[tuple[int, SubjectRecord]]:
    return [(index, each) for index, each in run.subjects("candidate") if each.component == component]


def _needs_of_tokenizer(trace: Trace) -> Iterator[str]:
    """What a reader needs for the saved files of a tokenizer (``parity.backends.limits.hf_tokenizers``)."""
    text = trace.arrays.get(f"{FILE}{SERIALISED_FILE}")
    if text is None:
        return
    if f"{FILE}vocab.json" not in trace.arrays:
        yield "serialised_tokenizer"
    merges = json.loads(text.tobytes())["model"].get("merges") or [""]
    if not isinstance(merges[0], str):
        yield "paired_merges"


def _routes(saver: str) -> dict[str, list[Promise]]:
    """Rows of the table by the last component of their case's name: ``own``, the flag, or ``plain`` for foreign
    files."""
    found: dict[str, list[Promise]] = {}
    for each in promises():
        if each.saver == saver:
            found.setdefault("own" if each.loader == saver else each.route, []).append(each)
    return found


def saved_digest(trace: Trace) -> str:
    """Digest of the saved files' names and bytes, first 32 hex digits, so that equal files are loaded once."""
    content = "".join(f"{name}:{facts['sha256']}" for name, facts in sorted(trace.facts["files"].items()))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _answer(run: CheckpointRun, index: int, case: str) -> Trace | None:
    try:
        trace = run.trace(index, case)
    except (TraceError, OSError):
        return None
    return None if trace is None or trace.raised else trace


def _size(run: CheckpointRun) -> int | None:
    """Bytes of all parameters in float32, according to the weight file's own trace."""
    index = next((index for index, _ in run.subjects("file")), None)
    trace = None if index is None else _answer(run, index, "load")
    if trace is None:
        return None
    return 4 * sum(math.prod(each["shape"]) for each in trace.facts["parameters"].values())
