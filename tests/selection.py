"""Parts of the suite: ``--shard I/N`` runs the I-th of N, which together are all of it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import pytest

COLLECTED = pytest.StashKey[Sequence[pytest.Item]]()
"""In the config's stash: every test that was collected, before any selection."""
EVERYTHING = os.environ.get("PARITY_TEST_EVERYTHING") == "1"
"""Whether tests that repeat others on more fixtures run too: on GitHub, where four machines share the tests."""
SHARED = ("module", "package", "session")
SALT = "142 "
"""Put before what is hashed: with it the costliest units, as measured, are spread evenly over 2, 3 and 4 parts."""


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
        digest = hashlib.sha256(f"{SALT}{unit(item)}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


def unit(item: pytest.Item) -> str:
    """What stays in one part: tests that share a fixture of ours, which is made once for them.

    Returns:
        The folder, where the fixture is a session's and stands in its ``conftest.py``; else the module; for a test that
        shares none, the test itself.
    """
    shared = _shared(item)
    if not shared:
        return item.nodeid
    folders = [each.baseid for each in shared if each.scope == "session" and each.baseid]
    return min(folders, key=len, default=item.nodeid.partition("::")[0])


def _shared(item: pytest.Item) -> list[pytest.FixtureDef]:
    """The fixtures of this suite that a test uses and that others may use too; pytest's own cost nothing."""
    # pytest shows which fixtures a test uses by name alone; their scopes stand here.
    used = item._fixtureinfo.name2fixturedefs.values() if isinstance(item, pytest.Function) else ()
    return [each[-1] for each in used if each[-1].scope in SHARED and each[-1].func.__module__.startswith("tests.")]
