"""Backends are asked once a session, however many xdist workers there are."""

from __future__ import annotations

import os

import pytest

from tests.backends.samples import Asking


@pytest.fixture(scope="session")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Asking:
    own = tmp_path_factory.getbasetemp()
    # Each xdist worker has a folder of its own inside the one they share.
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "asked"
    shared.mkdir(exist_ok=True)
    return Asking(shared)
