"""Outputs of a backend are captured once a session, for any number of xdist workers."""

from __future__ import annotations

import os

import pytest

from tests.backends.samples import LIMIT, Answers, Capture
from tests.backends.subjects import QUICK, SUBJECTS


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    own = tmp_path_factory.getbasetemp()
    # Each xdist worker has a folder of its own inside the one they share.
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "captured"
    shared.mkdir(exist_ok=True)
    return Capture(shared)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "captured" in metafunc.fixturenames:
        names = getattr(metafunc.function, "subjects", SUBJECTS)
        params = [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in names]
        metafunc.parametrize("captured", params, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"captured", "capture"} & {*getattr(item, "fixturenames", ())}:
            # The limit of a test includes its fixtures; the first test of a backend waits for all of its answers.
            item.add_marker(pytest.mark.timeout(LIMIT + 100))


@pytest.fixture
def captured(request: pytest.FixtureRequest, capture: Capture) -> tuple[str, Answers]:
    name = request.param
    return name, capture(name.partition("/")[0], *SUBJECTS[name])


@pytest.fixture
def oracle(capture: Capture) -> Answers:
    return capture("reference-torch", *SUBJECTS["reference-torch"])
