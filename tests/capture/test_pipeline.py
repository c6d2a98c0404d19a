"""A run directory from checkpoints: complete, movable, never computed twice."""

from __future__ import annotations

import contextvars
import shutil

import pytest

from fixtures.make import CHECKPOINTS
from parity.capture.cache import TraceCache
from parity.capture.pipeline import _inspect, capture
from parity.capture.task import CaptureError, CaptureStopped
from parity.core.case import Case
from parity.core.options import AuditOptions
from parity.core.records import STOPPED, Manifest, Unreadable, read_record
from parity.core.trace import Trace
from reference.errors import CheckpointError
from tests.capture.fake_backend import ABORT, RAISE
from tests.capture.scene import case, play


@pytest.fixture
def scene(bench, monkeypatch):
    for name, value in bench.environment.items():
        monkeypatch.setenv(name, value)
    return bench


def calls(bench):
    return sum(line.startswith("call") for line in bench.log)


def captured_cases(manifest, role):
    return {record.case for record in manifest.traces if manifest.subjects[record.subject].role == role}


def test_each_part_is_asked_what_belongs_to_it(scene):
    manifest = play(scene.folder)
    assert captured_cases(manifest, "oracle") == {"forward", "tuple"}
    assert captured_cases(manifest, "noise_floor") == {"forward", "tuple"}
    assert captured_cases(manifest, "candidate") == {"forward", "tuple", "load"}
    candidate = next(subject for subject in manifest.subjects if subject.role == "candidate")
    assert candidate.lacking["head_masks"] == "the fake has no heads" and candidate.model_class == "Fake"
    assert all(record.outcome == "captured" for record in manifest.traces)


def test_equal_subjects_share_a_trace_and_its_time(scene):
    manifest = play(scene.folder)
    forward = [record for record in manifest.traces if record.case == "forward" and record.subject > 0]
    assert len({record.path for record in forward}) == 1
    assert sorted(record.seconds > 0 for record in forward) == [False, True]
    # Two subjects compute, each one call of forward and two of tuple.
    assert calls(scene) == 6


def test_checkpoints_of_equal_files_share_their_traces(scene):
    manifest = play(scene.folder, names=("model", "copy"), jobs=2)
    assert [record.checkpoint for record in manifest.traces] == ["model"] * 7 + ["copy"] * 7
    assert [record.cached for record in manifest.traces] == [False] * 7 + [True] * 7
    assert calls(scene) == 6


def test_a_run_directory_can_be_moved_and_read(scene, tmp_path):
    play(scene.folder)
    moved = tmp_path / "elsewhere" / "run"
    moved.parent.mkdir()
    shutil.move(scene.folder / "run", moved)
    shutil.rmtree(scene.folder / "cache")
    manifest = read_record(Manifest, moved / "manifest.json")
    traces = [Trace.read(moved / record.path) for record in manifest.traces]
    assert len(traces) == 7
    forward = next(trace for trace in traces if trace.provenance["case"] == "forward")
    assert forward.arrays["logits"].shape == (2, 2, 1)
    assert forward.provenance["versions"] == {"parity-fake": "1.0"}
    assert sorted(path.name for path in (moved / "traces").iterdir())[0] == (
        "model.fake.eager.main.cpu.float32.forward.safetensors"
    )
    assert set(manifest.seconds) == {"plan", "backends", "capture"} and manifest.peak_memory > 0


def test_progress_counts_the_traces_that_the_manifest_has(scene):
    """Two subjects that share a trace count twice in both, whether it is computed or in the cache."""
    for cached in (0, 7):
        events = []
        manifest = play(scene.folder, progress=events.append)
        last = events[-1]
        assert (last.done, last.total, last.cached) == (7, len(manifest.traces), cached)


def test_a_second_run_computes_nothing(scene):
    play(scene.folder)
    before = scene.log
    manifest = play(scene.folder)
    assert scene.log == before
    assert all(record.cached for record in manifest.traces)
    assert {case["name"] for case in manifest.cases["model"]} == {"forward", "tuple", "load", "heads"}


def test_an_edited_source_of_the_same_version_is_asked_again(scene):
    play(scene.folder)
    before = calls(scene)
    source = scene.site / "parity_fake" / "__init__.py"
    source.write_text(source.read_text() + "# edited\n")
    assert not any(record.cached for record in play(scene.folder).traces)
    assert calls(scene) == 2 * before


def test_a_trace_that_cannot_be_read_is_made_again(scene):
    manifest = play(scene.folder)
    broken = next(path for path in (scene.folder / "cache" / "traces").glob("??/*") if is_forward(path))
    broken.write_bytes(broken.read_bytes()[:-3])
    again = play(scene.folder)
    # The oracle's forward, or the one that two subjects share.
    assert sum(not record.cached for record in again.traces) in (1, 2)
    assert calls(scene) == 7
    assert len(again.traces) == len(manifest.traces)


def is_forward(path):
    return Trace.read(path).provenance["case"] == "forward"


def test_crashes_are_not_kept_and_answers_are(scene):
    def cases(config, rows, generation):
        return [case("crash", ABORT), case("raise", RAISE)]

    for _ in range(2):
        manifest = play(scene.folder, cases)
        outcomes = {record.case: (record.outcome, record.path is None) for record in manifest.traces}
        assert outcomes == {"crash": ("crash", True), "raise": ("captured", False)}
    assert len(TraceCache(scene.folder / "cache").list()) == 2
    assert [line for line in scene.log if line.startswith("call")].count(f"call {ABORT}") == 4
    assert [line for line in scene.log if line.startswith("call")].count(f"call {RAISE}") == 2


def test_derived_cases_are_made_from_what_was_captured(scene):
    def derive(manifest, out):
        record = next(record for record in manifest.traces if record.case == "forward")
        trace = Trace.read(out / record.path)
        ids = trace.arrays["logits"][..., 0].astype(int).tolist()
        return {"model": [Case("derived", "forward", {"input_ids": ids}, parents=(trace.provenance["key"],))]}

    manifest = play(scene.folder, derive=[derive])
    derived = manifest.cases["model"][-1]
    assert derived["name"] == "derived" and len(derived["parents"]) == 1
    assert captured_cases(manifest, "candidate") >= {"derived", "forward"}
    assert captured_cases(manifest, "noise_floor") == {"forward", "tuple"}


def test_progress_tells_each_case_and_the_totals(scene):
    events = []
    play(scene.folder, progress=events.append)
    assert events[0].kind == "planned" and events[-1].kind == "captured"
    assert (events[-1].done, events[-1].total, events[-1].cached) == (7, 7, 0)
    finished = {(event.label, event.case, event.outcome) for event in events if event.kind == "finished"}
    assert ("fake", "load", "captured") in finished


def test_a_directory_that_cannot_be_written_is_named(scene):
    (scene.folder / "file").write_text("")
    with pytest.raises(CaptureError, match=r"file/run/traces: the run directory cannot be written: ") as error:
        play(scene.folder, out=scene.folder / "file" / "run")
    assert "\n" not in str(error.value)
    with pytest.raises(CaptureError, match=r"file/cache/traces: the cache cannot be written: "):
        play(scene.folder, cache=scene.folder / "file" / "cache")


def test_a_full_disk_ends_the_run_and_keeps_what_was_captured(scene, monkeypatch):
    def cases(config, rows, generation):
        return [case("forward"), case("gradients", operation="gradients")]

    monkeypatch.setenv("FAKE_SETUP", "full disk")
    with pytest.raises(CaptureError, match=r"cache/traces/../\w+\.safetensors: cannot be written: ") as error:
        play(scene.folder, cases)
    assert "\n" not in str(error.value)
    assert [entry.backend for entry in TraceCache(scene.folder / "cache").list()][:1] == ["fake"]
    assert not list((scene.folder / "cache").rglob(".part-*"))


def test_an_earlier_runs_traces_do_not_stay(scene):
    play(scene.folder)
    manifest = play(scene.folder, lambda config, rows, generation: [case("other")])
    names = {path.name for path in (scene.folder / "run" / "traces").iterdir()}
    assert names == {record.path.removeprefix("traces/") for record in manifest.traces}


def test_a_third_party_that_does_not_say_what_it_depends_on_is_never_found_again(scene):
    source = scene.site / "parity_fake" / "__init__.py"
    source.write_text(source.read_text().replace("depends_on = ()", "depends_on = None"))
    play(scene.folder)
    before = calls(scene)
    assert not any(record.cached for record in play(scene.folder).traces)
    assert calls(scene) == 2 * before
    assert TraceCache(scene.folder / "cache").list() == []
    assert all((scene.folder / "run" / record.path).is_file() for record in play(scene.folder).traces)


def test_another_version_of_what_a_third_party_depends_on_is_asked_again(scene):
    information = scene.site / "parity_below-1.0.dist-info"
    information.mkdir()
    source = scene.site / "parity_fake" / "__init__.py"
    source.write_text(source.read_text().replace("depends_on = ()", 'depends_on = ("parity-below",)'))
    for version, cached in (("1.0", False), ("1.0", True), ("2.0", False)):
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: parity-below\nVersion: {version}\n")
        assert {record.cached for record in play(scene.folder).traces} == {cached}


def test_two_runs_into_one_directory_are_one_and_a_line(scene):
    refused = []

    def derive(manifest, out):
        with pytest.raises(CaptureError, match=r"/run: another run is using this directory") as error:
            contextvars.Context().run(play, scene.folder)
        refused.append(str(error.value))
        return {}

    manifest = play(scene.folder, derive=[derive])
    assert len(refused) == 1 and "\n" not in refused[0]
    assert manifest.traces and not (scene.folder / "run" / ".lock").exists()
    assert play(scene.folder).traces


def test_a_run_that_never_begins_leaves_no_directory(scene):
    with pytest.raises(CaptureError, match="no checkpoint was given"):
        capture([], AuditOptions(out=scene.folder / "new" / "run", cache=scene.folder / "cache"))
    assert not (scene.folder / "new").exists()


def test_one_that_cannot_be_read_is_recorded_beside_those_that_can(tmp_path):
    """It ends nothing; where none can be read the run ends, and every cause is named."""
    broken = tmp_path / "broken"
    broken.mkdir()
    found, unread = _inspect([broken, CHECKPOINTS / "bart-odd"], None, [Unreadable(name="nowhere", cause="nowhere: x")])
    assert [each.name for each in found] == ["bart-odd"]
    assert [each.name for each in unread] == ["nowhere", str(broken)] and "an empty directory" in unread[1].cause
    with pytest.raises(CheckpointError, match=r"^[^;]*broken: an empty directory"):
        _inspect([broken], None, [])
    with pytest.raises(CheckpointError, match=r"^none of 2 checkpoints can be read: .*nowhere: x; .*broken: an empty"):
        _inspect([broken], None, [Unreadable(name="nowhere", cause="nowhere: x")])


def test_what_was_not_read_and_what_the_run_was_given_are_in_its_record(scene):
    unread = [Unreadable(name="nowhere", cause="nowhere: no such directory")]
    play(scene.folder, unreadable=unread, time_limit=19.0)
    manifest = read_record(Manifest, scene.folder / "run" / "manifest.json")
    assert (manifest.unreadable, manifest.options) == (unread, {"time_limit": 19.0})


def test_a_run_that_is_stopped_is_of_the_checkpoints_that_are_whole(scene):
    """What was to come is recorded as not run, and no trace of it is in the manifest."""

    def stop(manifest: Manifest) -> None:
        raise CaptureStopped

    manifest = play(scene.folder, names=("model", "copy"), captured=stop)
    assert [each.name for each in manifest.checkpoints] == ["model"]
    assert {record.checkpoint for record in manifest.traces} == {"model"} == set(manifest.cases)
    assert manifest.not_run == [f"copy: not audited: {STOPPED}"]
