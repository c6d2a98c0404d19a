"""Backends are asked once a session, however many xdist workers there are."""

from __future__ import annotations

import os

import pytest

from tests.backends.samples import LIMIT, Answers, Asking
from tests.backends.subjects import ASKED, QUICK


@pytest.fixture(scope="session")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Asking:
    own = tmp_path_factory.getbasetemp()
    # Each xdist worker has a folder of its own inside the one they share.
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "asked"
    shared.mkdir(exist_ok=True)
    return Asking(shared)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "asked" in metafunc.fixturenames:
        names = getattr(metafunc.function, "subjects", ASKED)
        params = [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in names]
        metafunc.parametrize("asked", params, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"asked", "asking"} & {*getattr(item, "fixturenames", ())}:
            # The limit of a test includes its fixtures; the first test of a backend waits for all of its answers.
            item.add_marker(pytest.mark.timeout(LIMIT + 100))


@pytest.fixture
def asked(request: pytest.FixtureRequest, asking: Asking) -> tuple[str, Answers]:
    name = request.param
    return name, asking(name.partition("/")[0], *ASKED[name])


@pytest.fixture
def oracle(asking: Asking) -> Answers:
    return asking("reference-torch", *ASKED["reference-torch"])
