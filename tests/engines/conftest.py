"""The cache of traces and conversions that all tests with audits share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.conftest import shared_cache


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_cache(tmp_path_factory)
