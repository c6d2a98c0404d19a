"""The sessions ``tests`` and ``tests-full`` are the whole suite, each test in one of them; so are the shards."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from tests.selection import COLLECTED, Shard, unit

ROOT = Path(__file__).parents[1]


def selections() -> dict[str, str]:
    """By session, the expression of markers that it gives to pytest's ``-m``."""
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    noxfile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(noxfile)
    return noxfile.SELECTIONS


@pytest.fixture
def collected(request: pytest.FixtureRequest) -> list[pytest.Item]:
    """Every test that this run could select from."""
    return list(request.config.stash[COLLECTED])


@pytest.mark.filterwarnings("ignore:The session .* has already been registered:FutureWarning")
def test_every_test_is_in_one_session(collected):
    assert collected
    expressions = {session: Expression.compile(text) for session, text in selections().items()}
    assert set(expressions) == {"tests", "tests-full"}
    for item in collected:
        names = {marker.name for marker in item.iter_markers()}
        chosen = [
            session
            for session, expression in expressions.items()
            if expression.evaluate(lambda name, names=names, **_: name in names)
        ]
        assert len(chosen) == 1, f"{item.nodeid}: {chosen or 'no session'}"


@pytest.mark.filterwarnings("ignore:The session .* has already been registered:FutureWarning")
def test_the_gate_s_script_runs_every_test_in_every_stack():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"for session in {' '.join(selections())}; do" in script
    assert '-s "$session" 2>&1' in script, "no options of pytest, which could leave a test out"
    assert {"main", "docs-4.37", "current"} == set(re.findall(r"\bstack-([\w.-]+)", script))
    assert re.search(r"-s lint\b", script)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_test_is_in_one_shard_with_what_shares_its_fixtures(collected, count):
    shards = [Shard(index, count) for index in range(1, count + 1)]
    of_unit: dict[str, Shard] = {}
    for item in collected:
        (shard,) = (shard for shard in shards if shard.holds(item))
        assert of_unit.setdefault(unit(item), shard) == shard, item.nodeid


@pytest.mark.parametrize(
    ("fixture", "whole"),
    [("asking", "tests/backends"), ("report", "tests/end_to_end/test_decoding_faults.py"), ("tmp_path", "")],
)
def test_what_stays_together_is_what_a_fixture_is_made_once_for(collected, fixture, whole):
    users = [item for item in collected if fixture in item.fixturenames and item.nodeid.startswith(whole)]
    assert all(unit(item) == (whole or item.nodeid) for item in users if whole or len(item.fixturenames) == 1)


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2", "1/99999"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(pytest.UsageError, match="expected I/N"):
        Shard.parse(text)
