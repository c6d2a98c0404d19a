"""What every test runs under: the shapes and types in the signatures of ``reference`` are enforced, call by call."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from beartype import BeartypeConf
from beartype.claw import beartype_packages
from jaxtyping import install_import_hook

ROOT = Path(__file__).parent.parent
AUDITS = Path(__file__).parent / "end_to_end"
"""Tests that run the command, which takes all cores."""

# TensorFlow's classes of transformers 4.57.6 need Keras 2, and both read this while they are imported.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Threads that spin while they wait starve the other worker's (parity.capture.probe.child_environment).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Samples shared by test files are imported as tests.…, wherever pytest was started from.
sys.path.insert(0, str(ROOT))
from tests import profiles  # noqa: E402

# jaxtyping binds the arguments of every call, which is worth its time where there are arrays; the types of what reads
# files and configs are enforced by beartype alone.
install_import_hook(["reference.in_torch", "reference.in_flax"], "beartype.beartype")
beartype_packages(
    [f"reference.{name}" for name in ("config", "names", "weights", "tokenizer", "files", "errors")],
    conf=BeartypeConf(claw_is_pep526=False),
)

from tests.selection import COLLECTED, Shard  # noqa: E402

profiles.register()

pytest_plugins = ["tests.judge.sample_runs"]


FRAMEWORKS = ("USE_TORCH", "USE_TF", "USE_FLAX", "USE_JAX")


@pytest.fixture(autouse=True)
def frameworks_as_they_were() -> Iterator[None]:
    """A backend that is set up in this process switches frameworks off for it and all that it starts."""
    before = {name: os.environ.get(name) for name in FRAMEWORKS}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shard", default="1/1", metavar="I/N", help="of N parts of what is selected, run the I-th")


def pytest_configure(config: pytest.Config) -> None:
    Shard.parse(config.getoption("--shard"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps what was collected for ``test_selection``, then leaves out what another shard runs.

    Audits come first: one runs at a time, so that whoever else comes to one waits. Begun first, they run in one of
    pytest's workers while the other has everything else to do.
    """
    items.sort(key=lambda item: AUDITS not in item.path.parents)
    config.stash[COLLECTED] = tuple(items)
    shard = Shard.parse(config.getoption("--shard"))
    left_out = [item for item in items if not shard.holds(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if shard.holds(item)]
