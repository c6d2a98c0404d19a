"""One process for all tests of this folder: its backends are set up once."""

from __future__ import annotations

import pytest

from parity.fuzz.asking import Plan, Process
from parity.subjects import Subject


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Process:
    return Process(["reference-torch", "file", "mutant", "hf-torch"], tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def library() -> Plan:
    return Plan((Subject("hf-torch"), Subject("hf-torch", "sdpa")))
