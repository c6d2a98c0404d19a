"""The Python API: what an audit of several checkpoints says, and when."""

from __future__ import annotations

import doctest
import importlib
import time
from pathlib import Path

import pytest

import parity
from parity import AuditOptions, CheckpointError, InputError, api
from parity.capture.task import CaptureError
from parity.cases.standard import standard_cases
from parity.cli.main import run
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


def _seconds(out: Path) -> dict[str, float]:
    return read_record(Manifest, out / "manifest.json").seconds


def test_the_phases_of_an_audit_add_up_to_its_wall_time(audited):
    out, report, _ = audited
    seconds = _seconds(out)
    assert set(seconds) == {"plan", "backends", "capture", "judge"}
    assert report.cost.wall_seconds == pytest.approx(sum(seconds.values()))
    assert report.cost.judge_seconds == seconds["judge"] and 0 < report.cost.own_share < 1


def test_the_time_before_an_audit_can_be_part_of_its_cost(tmp_path: Path):
    options = AuditOptions(backends=["hf-config"], out=tmp_path / "run", cache=tmp_path / "cache")
    report = api.audit([fixture("bart-tiny")], options, began=time.monotonic() - 100, checks=["config"])
    assert report.cost.start_seconds == pytest.approx(100, abs=10)
    assert 100 < report.cost.wall_seconds == pytest.approx(sum(_seconds(tmp_path / "run").values()))
    assert api.read_report(tmp_path / "run").cost == report.cost


def test_the_options_are_fields_by_name_and_no_others(tmp_path: Path):
    with pytest.raises(TypeError, match="backend"):
        api.audit([fixture("bart-odd")], backend=["hf-torch"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_report_has_its_directory_and_is_read_again(audited):
    out, report, _ = audited
    assert report.directory == out and not report.failures
    apart = {"cost": None}
    assert parity.read_report(out).model_copy(update=apart) == report.model_copy(update=apart)
    assert repr(report).startswith("<Report bart-tiny, bart-odd: ") and len(repr(report).splitlines()) == 1


def test_public_names_are_there_documented_and_have_examples():
    assert set(parity.__all__) <= set(dir(parity)) and "Report" in parity.__doc__
    for name in set(parity.__all__) - {"__version__"}:
        assert getattr(parity, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = parity.nonsense
    finder = doctest.DocTestFinder()
    for name in ("audit", "compare", "read_report", "AuditOptions", "Comparison", "Failure"):
        assert any(each.examples for each in finder.find(getattr(parity, name), name)), name


@pytest.mark.parametrize(
    "module", ["parity", "parity.api", "parity.core.errors", "parity.core.options", "parity.pytest_plugin"]
)
def test_examples_of_the_public_interface_run(module):
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried and not failed


NO_CHECKPOINT = "./absent\x1b[2J"


@pytest.mark.parametrize(
    ("call", "command"),
    [
        (lambda out: api.audit([NO_CHECKPOINT], out=out), ["audit", NO_CHECKPOINT]),
        (lambda out: api.audit([fixture("bart-tiny")], checks=["NUM99"], out=out), ["audit", "bart-tiny", "NUM99"]),
        (lambda out: api.capture([NO_CHECKPOINT], out=out), ["capture", NO_CHECKPOINT]),
        (lambda out: api.judge(out), ["judge"]),
        (lambda out: api.read_report(out), ["show"]),
        (lambda out: api.compare(str(out), str(out)), ["compare"]),
    ],
    ids=["audit", "no such check", "capture", "judge", "read_report", "compare"],
)
def test_bad_input_is_one_class_of_errors_with_the_line_of_the_command(call, command, tmp_path, capsys):
    """Whatever stands in a name, nothing in a message controls a terminal."""
    out = tmp_path / "run"
    with pytest.raises(InputError) as caught:
        call(out)
    message = str(caught.value)
    assert "\x1b" not in message and len(message.splitlines()) == 1
    name, *rest = command
    arguments = {
        "judge": [name, str(out)],
        "show": [name, str(out)],
        "compare": [name, str(out), str(out)],
        "capture": [name, *rest, "--out", str(out)],
        "audit": [name, *rest, "--out", str(out)],
    }[name]
    if "NUM99" in rest:
        arguments = ["audit", str(fixture("bart-tiny")), "--check", "NUM99", "--out", str(out)]
    assert run(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"parity: {message}"


def test_an_error_about_a_checkpoint_names_its_path_and_cause(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        api.audit([tmp_path / "absent"], out=tmp_path / "run")
    assert caught.value.path == str(tmp_path / "absent") and caught.value.cause in str(caught.value)
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("backends", "requested", "selected"),
    [
        (None, None, ["hf-tf"]),
        (["hf-tf", "hf-torch"], ("hf-tf",), None),
    ],
)
def test_an_expression_selects_backends_and_requests_none(backends, requested, selected, monkeypatch, tmp_path: Path):
    """Only a backend that is named with ``backends`` is missed where it cannot run."""
    given = {}

    def capture(checkpoints, options, **named):
        given.update(named, options=options)
        raise CaptureError("enough")

    monkeypatch.setattr("parity.capture.pipeline.capture", capture)
    with pytest.raises(CaptureError, match="enough"):
        api.audit([fixture("bart-tiny")], out=tmp_path / "run", keywords="NUM04 and hf-tf", backends=backends)
    assert (given["options"].backends, given["selected"]) == (requested, selected)
    assert given["options"].checks == ("NUM04",)
