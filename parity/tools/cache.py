"""``parity cache``: lists and removes traces and stand-ins that are cached between runs."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from parity.core.display import printable
from parity.core.errors import InputError
from parity.report.console import console, duration, plural, size
from parity.tools.examples.stand_ins import size_of, stand_in_folder

if TYPE_CHECKING:
    from parity.capture.cache import TraceCache

DAY = 86400.0


def show_cache(folder: Path | None) -> None:
    """Prints the cached traces by backend and checkpoint, and their total size."""
    cache = _open(folder)
    entries = cache.list()
    counts: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    youngest: dict[tuple[str, str], float] = {}
    for entry in entries:
        key = (entry.backend or "unreadable", entry.checkpoint)
        counts[key] += 1
        sizes[key] += entry.size
        youngest[key] = min(entry.age, youngest.get(key, entry.age))
    table = Table("backend", "checkpoint", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("traces", "size", "last used"):
        table.add_column(heading, justify="right")
    for key, count in sorted(counts.items()):
        table.add_row(*map(printable, key), str(count), size(sizes[key]), _age(youngest[key]))
    out = console()
    if entries:
        out.print(table)
    out.print(
        f"{plural(len(entries), 'trace')}, {size(sum(entry.size for entry in entries))}: {printable(cache.folder)}"
    )
    stand_ins = stand_in_folder(cache.folder)
    if stand_ins.is_dir():
        out.print(f"stand-ins for documented examples, {size(size_of(stand_ins))}: {printable(stand_ins)}")


def clean_cache(folder: Path | None, older_than_days: float | None, down_to_gb: float | None) -> None:
    """Removes cached traces and prints the freed size. Without limits stand-ins are removed too."""
    cache = _open(folder)
    removed = cache.clean(
        older_than=None if older_than_days is None else older_than_days * DAY,
        down_to=None if down_to_gb is None else int(down_to_gb * 1e9),
    )
    freed = size(sum(entry.size for entry in removed))
    console().print(f"removed {plural(len(removed), 'trace')}, {freed}: {printable(cache.folder)}")
    stand_ins = stand_in_folder(cache.folder)
    if older_than_days is None and down_to_gb is None and stand_ins.is_dir():
        freed = size(size_of(stand_ins))
        shutil.rmtree(stand_ins)
        console().print(f"removed stand-ins for documented examples, {freed}: {printable(stand_ins)}")


def _open(folder: Path | None) -> TraceCache:
    from parity.capture.cache import TraceCache, default_cache

    folder = folder or default_cache()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; a cache is a directory")
    return TraceCache(folder)


def _age(seconds: float) -> str:
    return f"{seconds / DAY:.0f} days ago" if seconds > 2 * DAY else f"{duration(seconds)} ago"
