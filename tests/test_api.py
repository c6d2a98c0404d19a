"""The Python API: what an audit of several checkpoints says, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity import AuditOptions, api
from parity.cases.standard import standard_cases
from parity.core.records import Manifest, read_record
from parity.core.resources import fixture

CASES = ("load", "forward", "forward.single-row", "generate.greedy")


def few_cases(model_spec, rows, generation):
    return [case for case in standard_cases(model_spec, rows, generation) if case.name in CASES]


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """Two checkpoints audited together: where, the report, and the events in their order."""
    folder, events = tmp_path_factory.mktemp("api"), []
    options = AuditOptions(
        backends=["hf-torch/eager"], cases=few_cases, jobs=1, out=folder / "run", cache=folder / "cache"
    )
    report = api.audit([fixture("bart-tiny"), fixture("bart-odd")], options, progress=events.append)
    return folder / "run", report, events


def test_a_checkpoint_is_judged_as_soon_as_it_is_captured(audited):
    _, report, events = audited
    told = [(each.kind, each.checkpoint) for each in events if each.kind in ("finished", "judged")]
    assert told.index(("judged", "bart-tiny")) < told.index(("finished", "bart-odd"))
    assert told[-1] == ("judged", "bart-odd")
    assert [each.name for each in report.checkpoints] == ["bart-tiny", "bart-odd"]


def test_a_run_that_is_judged_again_says_the_same(audited):
    out, report, _ = audited
    again = api.judge(out)
    assert report.totals.passed > 20 and report.totals.fail == 0
    apart = {"cost": None}
    assert again.model_copy(update=apart) == report.model_copy(update=apart)
    assert read_record(Manifest, out / "manifest.json").checkpoints[1].name == "bart-odd"


def test_the_phases_of_an_audit_add_up_to_its_wall_time(audited):
    out, report, _ = audited
    seconds = read_record(Manifest, out / "manifest.json").seconds
    assert set(seconds) == {"plan", "backends", "capture", "judge"}
    assert report.cost.wall_seconds == pytest.approx(sum(seconds.values()))
    assert report.cost.judge_seconds == seconds["judge"] and 0 < report.cost.own_share < 1


def test_the_options_are_fields_by_name_and_no_others(tmp_path: Path):
    with pytest.raises(TypeError, match="backend"):
        api.audit([fixture("bart-odd")], backend=["hf-torch"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
