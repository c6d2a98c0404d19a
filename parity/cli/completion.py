"""What a shell offers after ``--check``, ``--backend`` and the like; of a list with commas, for its last part."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Completer = Callable[[str], list[str]]


def _completed(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.lower().startswith(last.lower())]


def checks(incomplete: str) -> list[str]:
    """Ids of checks, and groups."""
    from parity.judge.checks import CHECKS

    groups = dict.fromkeys(check.group for check in CHECKS.values())
    return _completed(incomplete, [*groups, *CHECKS])


def backends(incomplete: str) -> list[str]:
    """Names of backends; behind a slash, their variants."""
    from parity.core.backends import ENGINES, audited, find_entry

    names = [*audited(), *ENGINES]
    if "/" in incomplete.rpartition(",")[2]:
        names = [f"{name}/{variant}" for name in names for variant in find_entry(name).variants]
    return _completed(incomplete, names)


def stacks(incomplete: str) -> list[str]:
    """Names of the table of stacks."""
    from parity.core.stacks import table

    return _completed(incomplete, table())


def classes(incomplete: str) -> list[str]:
    """The documented classes that are judged."""
    from parity.core.model_spec import HEADS

    return _completed(incomplete, HEADS)


def dtypes(incomplete: str) -> list[str]:
    """The dtypes that candidates compute in."""
    from parity.core.subject import DTYPES

    return _completed(incomplete, DTYPES)


def known_issues(incomplete: str) -> list[str]:
    """Ids of the list of known issues."""
    from parity.judge.known_issues import entries

    return _completed(incomplete, [entry.id for entry in entries()])
