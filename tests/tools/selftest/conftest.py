"""One selftest of a slice, for all tests of this folder."""

from __future__ import annotations

import pytest

from parity.tools.selftest.selftest import Selftest, selftest
from parity.tools.selftest.thresholds import thresholds


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Selftest:
    """The families that every change is tested with."""
    return selftest(thresholds().slice, cache=tmp_path_factory.mktemp("cache"))
