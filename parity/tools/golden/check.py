"""``parity golden check``: whether the goldens are complete, current, and still within tolerance of the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.resources import fixtures, goldens
from parity.core.stacks import table
from parity.tools.golden.selection import STACKS, golden_cases
from parity.tools.golden.store import INDEX, LARGEST, GoldenError, Index, file_name, read_bundle, read_index


@dataclass(frozen=True)
class Problem:
    """A problem of one golden."""

    kind: str
    """``missing``, ``unused``, ``altered``, ``stale`` or ``large``."""
    what: str


def problems() -> list[Problem]:
    """All problems that can be found without computing; needs no framework.

    Raises:
        GoldenError: the index cannot be read.
    """
    index = read_index()
    return [*_of_files(index), *_of_fixtures(index)]


def _of_files(index: Index) -> Iterator[Problem]:
    there = {path.relative_to(goldens()).as_posix(): path for path in goldens().rglob("*") if path.is_file()}
    size = sum(path.stat().st_size for path in there.values())
    if size > LARGEST:
        yield Problem("large", f"{goldens()}: {size} bytes; the limit is {LARGEST}")
    for name in sorted(there.keys() - index.files.keys() - {INDEX}):
        yield Problem("unused", f"{there[name]}: not in the index")
    for name, known in index.files.items():
        if name not in there:
            yield Problem("missing", f"{goldens() / name}: in the index, but missing")
            continue
        try:
            read_bundle(name, known)
        except GoldenError as error:
            yield Problem("altered", str(error))


def _of_fixtures(index: Index) -> Iterator[Problem]:
    checkpoints = [inspect_checkpoint(path) for path in fixtures()]
    rows = table()
    wanted = {file_name(stack, each.name): (stack, each) for stack in STACKS for each in checkpoints}
    for name in sorted(index.files.keys() - wanted.keys()):
        yield Problem("unused", f"{goldens() / name}: belongs to no existing fixture or stack")
    for name, (stack, checkpoint) in wanted.items():
        known = index.files.get(name)
        if known is None:
            yield Problem("missing", f"{goldens() / name}: never recorded")
            continue
        if known.checkpoint != checkpoint.digest:
            yield Problem("stale", f"{goldens() / name}: the fixture {checkpoint.name} has changed since the recording")
            continue
        pins = dict(pin.partition("[")[0].split("==") for pin in rows[stack].requires if "[" not in pin)
        for library in sorted(pins.keys() & known.versions.keys()):
            if known.versions[library].partition("+")[0] != pins[library]:
                yield Problem(
                    "stale",
                    f"{goldens() / name}: of {library} {known.versions[library]}, the stack {stack} "
                    f"has {pins[library]}",
                )
        requested = golden_cases(checkpoint.model_spec, None, checkpoint.generation)
        try:
            bundle = read_bundle(name)
        except GoldenError:
            continue  # reported above
        for case in requested:
            if bundle.cases.get(case.name) != case.digest:
                yield Problem("stale", f"{goldens() / name}: the inputs of {case.name} have changed")
