"""Parts of the suite: ``--shard I/N`` runs the I-th of N, which together are all of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import pytest

COLLECTED = pytest.StashKey[Sequence[pytest.Item]]()
"""In the config's stash: every test that was collected, before any selection."""
SHARED = ("module", "package", "session")


class Shard(NamedTuple):
    """The ``index``-th part, from 1, of ``count``."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Reads ``I/N``.

        Raises:
            pytest.UsageError: it is no such pair.
        """
        found = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", text)
        if found is None or int(found[1]) > int(found[2]):
            raise pytest.UsageError(f"--shard {text}: expected I/N with 1 <= I <= N")
        return cls(int(found[1]), int(found[2]))

    def holds(self, item: pytest.Item) -> bool:
        """Whether a test belongs to this part: by a hash, so that every machine says the same."""
        digest = hashlib.sha256(unit(item).encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


def unit(item: pytest.Item) -> str:
    """What stays in one part: a module's tests that share a fixture of ours, any other test by itself."""
    return item.nodeid.partition("::")[0] if shares_a_fixture(item) else item.nodeid


def shares_a_fixture(item: pytest.Item) -> bool:
    """Whether a fixture of this suite is made once for a test and for others; pytest's own cost nothing."""
    # pytest shows which fixtures a test uses by name alone; their scopes stand here.
    used = item._fixtureinfo.name2fixturedefs.values() if isinstance(item, pytest.Function) else ()
    return any(each[-1].scope in SHARED and each[-1].func.__module__.startswith("tests.") for each in used)
