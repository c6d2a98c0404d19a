"""One process for all tests of this folder: its backends are set up once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from parity.core.subject import Subject
from parity.tools.fuzz.executor import Plan, Process


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """What the backends' set-up does to the environment must not reach other tests' subprocesses."""
    before = dict(os.environ)
    found = Process(["reference-torch", "file", "mutant", "hf-torch"], tmp_path_factory.mktemp("compiled"))
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)
    yield found


@pytest.fixture
def library() -> Plan:
    return Plan((Subject("hf-torch"), Subject("hf-torch", "sdpa")))
