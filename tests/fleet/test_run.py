"""A fleet on a cluster that answers from a script: who is tried again, what is stored, and how it goes on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from parity.cli.main import run as command_line
from parity.core.errors import InputError
from parity.core.records import RecordError
from parity.fleet import run as module
from parity.fleet.folder import Folder
from parity.fleet.on_ray import Lost
from parity.fleet.outcome import Answer
from parity.fleet.run import FleetResult, Pace, fleet
from parity.fleet.targets import Target, TargetList
from parity.judge.judge import NothingToJudge
from tests.fleet.sample_fleets import OPTIONS, Scripted, answer, refused, row

pytest.importorskip("pyarrow", reason="the table of a fleet needs pyarrow")
KILLED = Lost("worker", "The worker died unexpectedly")


def targets(*sources: str) -> TargetList:
    return TargetList([Target(source) for source in sources], [], [])


def run(out: Path, cluster: Scripted, *sources: str, **named) -> FleetResult:
    named.setdefault("options", OPTIONS)
    return fleet(targets(*sources), out=out, cluster=cluster, **named)


def cells(out: Path) -> list[dict]:
    return [each for _, rows in Folder(out).tables() for each in rows]


def states(result: FleetResult) -> dict[str, str]:
    return {each.checkpoint: each.state for each in result.outcomes}


def test_each_checkpoint_is_audited_once_and_stored(tmp_path):
    cluster = Scripted()
    result = run(tmp_path, cluster, "a", "b", "c")
    assert sorted(source for source, _ in cluster.submitted) == ["a", "b", "c"]
    assert states(result) == {"a": "audited", "b": "audited", "c": "audited"}
    assert result.exit_code == 0
    folder = Folder(tmp_path)
    assert sorted(each["checkpoint"] for each in cells(tmp_path)) == ["a", "b", "c"]
    for each in folder.outcomes():
        assert (tmp_path / "reports" / each.name / "report.html").read_bytes() == b"<!DOCTYPE html>"


def test_a_killed_worker_is_tried_again_and_the_table_is_the_same(tmp_path):
    assert run(tmp_path / "one", Scripted(), "a", "b").exit_code == 0
    result = run(tmp_path / "two", Scripted({"a": [KILLED]}), "a", "b")
    assert result.exit_code == 0
    assert {each.checkpoint: each.tries for each in result.outcomes} == {"a": 2, "b": 1}
    assert cells(tmp_path / "one") == cells(tmp_path / "two")


def test_a_checkpoint_that_ends_its_worker_twice_is_set_aside_by_name(tmp_path):
    lines: list[str] = []

    def said(pace: Pace) -> None:
        lines.extend([pace.line] if pace.line else [])

    cluster = Scripted({"poison": [KILLED, KILLED]})
    result = run(tmp_path, cluster, "poison", "fine", progress=said)
    assert states(result) == {"poison": "set aside", "fine": "audited"}
    assert lines == ["poison: set aside: its process ended 2 times: The worker died unexpectedly"]
    assert len(cluster.tries("poison")) == 2
    assert result.exit_code == 2
    assert [each["checkpoint"] for each in cells(tmp_path)] == ["fine"]


def test_a_lost_machine_is_not_the_checkpoint_s_fault(tmp_path):
    lost = Lost("node", "the node died")
    result = run(tmp_path, Scripted({"a": [lost, KILLED, lost]}), "a")
    assert states(result) == {"a": "audited"}
    result = run(tmp_path / "always", Scripted({"a": [lost] * 9}), "a")
    (outcome,) = result.outcomes
    assert outcome.reason == "lost with 5 machines: the node died"


def test_out_of_memory_is_tried_once_more_with_twice_the_memory(tmp_path):
    short = Lost("memory", "killed")
    cluster = Scripted({"a": [short]})
    assert states(run(tmp_path / "one", cluster, "a")) == {"a": "audited"}
    first, second = cluster.tries("a")
    assert second == 2 * first
    (outcome,) = run(tmp_path / "two", Scripted({"a": [short, short]}), "a").outcomes
    assert (outcome.state, outcome.reason) == ("set aside", "out of memory twice: killed")


def test_an_audit_whose_workers_are_killed_twice_is_kept_with_its_errors(tmp_path):
    def short(job) -> Answer:
        whole = answer(job, row("error", reason="the worker was killed"))
        return Answer("out of memory", whole.outcome, whole.rows, whole.files)

    result = run(tmp_path / "one", Scripted({"a": [short]}), "a")
    assert result.exit_code == 0
    result = run(tmp_path / "two", Scripted({"a": [short, short]}), "a")
    assert states(result) == {"a": "audited"}
    assert result.exit_code == 1
    assert [each["verdict"] for each in cells(tmp_path / "two")] == ["error"]


def test_a_task_that_needs_more_memory_is_submitted_with_it_and_that_is_no_try(tmp_path):
    def more(job) -> Answer:
        return Answer("more memory", answer(job).outcome, memory=9_000_000_000)

    cluster = Scripted({"owner/large": [more]}, most_memory=8_000_000_000)
    (outcome,) = run(tmp_path, cluster, "owner/large").outcomes
    assert cluster.tries("owner/large") == [4_000_000_000, 8_000_000_000]
    assert (outcome.state, outcome.tries) == ("audited", 1)


def test_what_cannot_be_audited_is_recorded_with_its_reason(tmp_path):
    script = {
        "unreadable": [partial(refused, kind="unreadable", reason="no such directory")],
        "slow": [partial(refused, kind="time limit", reason="took too long")],
        "once": [partial(refused, kind="failed", reason="disk full")],
        "always": [partial(refused, kind="failed", reason="disk full")] * 2,
    }
    cluster = Scripted(script)
    result = run(tmp_path, cluster, *script)
    assert states(result) == {
        "unreadable": "unreadable",
        "slow": "set aside",
        "once": "audited",
        "always": "set aside",
    }
    assert [len(cluster.tries(name)) for name in script] == [1, 1, 2, 2]


def test_a_machine_that_cannot_audit_ends_the_fleet_with_one_line(tmp_path):
    wrong = partial(refused, kind="unusable", reason="has encdec-parity 0.0.1, and the command is 0.1.0")
    with pytest.raises(InputError, match=r"^here: has encdec-parity 0\.0\.1, and .*--resume goes on$"):
        run(tmp_path, Scripted({"a": [wrong]}), "a")


def test_a_stopped_fleet_goes_on_without_losing_or_repeating_anything(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Scripted({"c": [KeyboardInterrupt]}), "a", "b", "c", "d")
    assert {each.checkpoint for each in Folder(tmp_path).outcomes()} == {"a", "b"}
    # As if the driver had ended between the rows and the outcome of one checkpoint.
    outcome = next(each for each in Folder(tmp_path).outcomes() if each.checkpoint == "b")
    (tmp_path / "checkpoints" / f"{outcome.name}.json").unlink()
    (tmp_path / "checkpoints" / ".part-x.json").write_text("{")
    cluster = Scripted()
    result = run(tmp_path, cluster, "a", "b", "c", "d", resume=True)
    assert sorted(source for source, _ in cluster.submitted) == ["b", "c", "d"]
    assert sorted(each["checkpoint"] for each in cells(tmp_path)) == ["a", "b", "c", "d"]
    assert result.exit_code == 0


def test_a_complete_fleet_needs_no_cluster_to_resume(tmp_path):
    run(tmp_path, Scripted(), "a")
    cluster = Scripted()
    assert run(tmp_path, cluster, "a", resume=True).exit_code == 0
    assert not cluster.submitted


def test_resume_needs_the_same_options_and_a_second_run_needs_resume(tmp_path):
    run(tmp_path, Scripted(), "a")
    with pytest.raises(InputError, match="go on with --resume, or name another --out"):
        run(tmp_path, Scripted(), "a")
    other = {"options": OPTIONS.__class__(backends=["hf-torch/sdpa"], checks=["NUM01"])}
    with pytest.raises(InputError, match="was begun with another backends"):
        run(tmp_path, Scripted(), "a", resume=True, **other)


def test_a_fleet_that_stopped_before_any_result_is_begun_anew(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Scripted({"a": [KeyboardInterrupt]}), "a")
    other = OPTIONS.__class__(backends=["hf-torch/sdpa"])
    assert run(tmp_path, Scripted(), "a", options=other).exit_code == 0
    assert Folder(tmp_path).asked()["backends"] == ["hf-torch/sdpa"]


def test_lines_that_are_no_checkpoint_are_recorded(tmp_path):
    listed = TargetList([Target("a")], [], [(Target("x y z"), "list.txt:2: more than a checkpoint and a revision")])
    result = fleet(listed, OPTIONS, tmp_path, cluster=Scripted())
    assert states(result) == {"a": "audited", "x y z": "unreadable"}
    assert result.exit_code == 2


def test_each_device_is_a_task_of_its_own(tmp_path):
    result = run(tmp_path, Scripted(), "a", devices=("cpu", "cuda"))
    assert [each.device for each in result.outcomes].count("cuda") == 1
    assert len({each.name for each in result.outcomes}) == 2


@pytest.mark.parametrize(
    ("there", "gpu_type", "said"),
    [
        ((), "", "no machine has a GPU"),
        (("A100", "T4"), "H100", "no machine has a GPU of type H100; there are A100, T4"),
        (("",), "H100", "no machine has a GPU of type H100"),
        (("A100",), "A100", ""),
        (("A100",), "", ""),
    ],
)
def test_a_gpu_that_no_machine_has_is_an_error_here_and_a_notice_on_a_cluster(tmp_path, there, gpu_type, said):
    """An autoscaler may add one to a cluster; without it audits would wait for ever and say nothing."""
    lines: list[str] = []
    named = {"devices": ("cuda",), "gpu_type": gpu_type, "progress": lambda pace: lines.append(pace.line)}
    run(tmp_path / "cluster", Scripted(gpu_types=there), "a", address="10.0.0.1:6379", **named)
    assert [line for line in lines if line] == ([f"{said}: audits on cuda wait until one joins"] if said else [])
    if not said:
        run(tmp_path / "here", Scripted(gpu_types=there), "a", **named)
        return
    with pytest.raises(InputError, match=f"^--device cuda: {said}$"):
        run(tmp_path / "here", Scripted(gpu_types=there), "a", **named)
    assert states(run(tmp_path / "cpu", Scripted(gpu_types=()), "a")) == {"a": "audited"}


def test_bad_options_are_refused_before_anything_is_submitted(tmp_path):
    cluster = Scripted()
    for named, error in (
        ({"options": OPTIONS.__class__(checks=["NUM99"])}, NothingToJudge),
        ({"options": OPTIONS.__class__(backends=["hf-torhc"])}, InputError),
        ({"options": OPTIONS.__class__(stacks=["main", "nonsense"])}, InputError),
        ({"devices": ("tpu",)}, InputError),
    ):
        with pytest.raises(error):
            run(tmp_path / "out", cluster, "a", **named)
    assert not cluster.submitted
    assert not (tmp_path / "out").exists()


def test_the_pace_adds_up(tmp_path):
    paces: list[Pace] = []
    bad = partial(answer, *())
    run(tmp_path, Scripted({"b": [lambda job: bad(job, row("fail"))]}), "a", "b", "c", progress=paces.append)
    last = paces[-1]
    assert (last.total, last.done, last.failed, last.set_aside, last.cells) == (3, 3, 1, 0, 3)


def test_a_damaged_or_missing_file_of_the_table_is_one_line(tmp_path):
    run(tmp_path, Scripted(), "a")
    (path,) = (tmp_path / "cells").iterdir()
    path.write_bytes(b"PAR1")
    with pytest.raises(RecordError, match=r"\.parquet: cannot be read"):
        cells(tmp_path)
    with pytest.raises(RecordError, match="parity fleet LIST --out DIR makes it"):
        cells(tmp_path / "nothing")


def test_an_interrupted_command_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    listed = tmp_path / "list.txt"
    listed.write_text("a\n")
    monkeypatch.setattr(module, "RayProcess", lambda address, cpus, gpu_type: Scripted({"a": [KeyboardInterrupt]}))
    command = ["fleet", str(listed), "--out", str(tmp_path / "out"), "--backend", "hf-torch/eager"]
    assert command_line(command) == 130
    assert "parity: interrupted; every checkpoint that has ended is kept" in capsys.readouterr().err
    monkeypatch.setattr(module, "RayProcess", lambda address, cpus, gpu_type: Scripted())
    assert command_line([*command, "--resume"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("1 checkpoint: 1 audited; 1 cell: 1 pass\n")
    assert "1 of 1 checkpoint, 0 failed, 0 set aside" in captured.err


def test_a_machine_with_another_version_ends_the_command_with_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "list.txt").write_text("a\n")
    reason = "has Ray 2.0.0, and the command is run with Ray 2.60.0"
    script = {"a": [lambda job: refused(job, "unusable", reason)]}
    monkeypatch.setattr(module, "RayProcess", lambda address, cpus, gpu_type: Scripted(script))
    command = ["fleet", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out"), "--backend", "hf-torch/eager"]
    assert command_line(command) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"here: {reason}; after that is mended, --resume goes on")


def test_duplicates_and_a_line_that_is_no_checkpoint_are_a_line_each_and_the_others_go_on(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "list.txt").write_text("a\na\nx y z\nb\n")
    monkeypatch.setattr(module, "RayProcess", lambda address, cpus, gpu_type: Scripted())
    command = ["fleet", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out"), "--backend", "hf-torch/eager"]
    assert command_line(command) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("3 checkpoints: 2 audited, 1 unreadable; 2 cells: 2 pass\n")
    assert captured.err.count("a: is 2 times in the list, and audited once\n") == 1
    (outcome,) = [each for each in Folder(tmp_path / "out").outcomes() if each.state == "unreadable"]
    assert outcome.reason == f"{tmp_path}/list.txt:3: more than a checkpoint and a revision"


def test_an_empty_list_ends_the_command_with_one_line(tmp_path, capsys):
    (tmp_path / "list.txt").write_text("# nothing\n")
    assert command_line(["fleet", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"parity: {tmp_path}/list.txt: names no checkpoint\n"
    assert not (tmp_path / "out").exists()
