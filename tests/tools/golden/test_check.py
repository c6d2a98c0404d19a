"""The goldens' files: whole and of today, and each way not to be is found and named, without any framework."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parity.checkpoint.inspection import inspect_checkpoint
from parity.cli.main import run
from parity.core import resources
from parity.core.records import CheckpointRecord, Manifest
from parity.core.resources import fixtures, goldens
from parity.core.trace import Trace
from parity.tools.golden.check import problems
from parity.tools.golden.inject import find_bundles, joined
from parity.tools.golden.selection import CASES, STACKS, golden_cases
from parity.tools.golden.store import LARGEST, GoldenError, digest, read_bundle, read_index

ROOT = Path(__file__).parents[3]
NAME = "docs-4.37/bart-odd.safetensors"


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of one fixture and of its goldens; the index names no other."""
    (tmp_path / "checkpoints").mkdir()
    shutil.copytree(resources.fixture("bart-odd"), tmp_path / "checkpoints" / "bart-odd")
    names = [f"{stack}/bart-odd.safetensors" for stack in STACKS]
    index = json.loads((goldens() / "index.json").read_text(encoding="utf-8"))
    index["files"] = {name: index["files"][name] for name in names}
    for name in names:
        (tmp_path / "golden" / name).parent.mkdir(parents=True)
        shutil.copy(goldens() / name, tmp_path / "golden" / name)
    (tmp_path / "golden" / "index.json").write_text(json.dumps(index), encoding="utf-8")
    monkeypatch.setattr(resources, "_fixtures", lambda: tmp_path)
    return tmp_path / "golden"


def changed(path: Path, *keys: str, to) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    place = data
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_text(json.dumps(data), encoding="utf-8")


def test_the_project_s_goldens_are_whole_and_of_today():
    assert problems() == []
    assert sum(path.stat().st_size for path in goldens().rglob("*") if path.is_file()) < LARGEST
    assert len(read_index().files) == len(STACKS) * len(fixtures())


def test_each_says_whence_it_comes():
    for name, known in read_index().files.items():
        bundle = read_bundle(name, known)
        assert known.command[:3] == ["parity", "golden", "record"]
        assert known.versions["transformers"] and known.python and known.cpu and known.recorded and known.seed
        assert bundle.environment["versions"]["transformers"] == known.versions["transformers"]
        for (_, _, case), trace in bundle.traces.items():
            assert case in CASES and trace.provenance["case_digest"] == bundle.cases[case]


def test_a_copy_is_whole(copied):
    assert problems() == []


def missing(golden):
    (golden / NAME).unlink()


def never_recorded(golden):
    path = golden / "index.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    del data["files"][NAME]
    path.write_text(json.dumps(data), encoding="utf-8")
    (golden / NAME).unlink()


def unused(golden):
    (golden / "docs-4.37" / "other.safetensors").write_bytes(b"")


def of_no_fixture(golden):
    shutil.copytree(golden.parent / "checkpoints" / "bart-odd", golden.parent / "checkpoints" / "renamed")
    shutil.rmtree(golden.parent / "checkpoints" / "bart-odd")


def altered(golden):
    content = bytearray((golden / NAME).read_bytes())
    content[-5] ^= 1
    (golden / NAME).write_bytes(content)


def truncated(golden):
    content = (golden / NAME).read_bytes()[:-50]
    (golden / NAME).write_bytes(content)
    changed(golden / "index.json", "files", NAME, "sha256", to=digest(content))


def another_fixture(golden):
    changed(golden.parent / "checkpoints" / "bart-odd" / "config.json", "eos_token_id", to=5)


def another_version(golden):
    changed(golden / "index.json", "files", NAME, "versions", "transformers", to="4.37.1")


def large(golden):
    (golden / "docs-4.37" / "other.safetensors").write_bytes(b"0" * LARGEST)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (missing, "missing"),
        (never_recorded, "missing"),
        (unused, "unused"),
        (of_no_fixture, "unused"),
        (altered, "altered"),
        (truncated, "altered"),
        (another_fixture, "stale"),
        (another_version, "stale"),
        (large, "large"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_wrong_is_found_named_and_fails(copied, change, kind, capsys):
    change(copied)
    found = problems()
    assert kind in {problem.kind for problem in found}
    assert all(str(copied.parent) in problem.what for problem in found)
    assert run(["golden", "check", "--files-only"]) == 1
    assert kind in capsys.readouterr().out


def test_other_questions_make_a_golden_stale(copied, monkeypatch):
    monkeypatch.setattr("parity.cases.batch.TARGET_LENGTHS", (7, 3, 6))
    assert {problem.kind for problem in problems()} == {"stale"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"golden": 2}', '{"golden": 1, "more": 1}'])
def test_an_index_that_cannot_be_read_is_one_line(copied, content, capsys):
    (copied / "index.json").write_text(content, encoding="utf-8")
    assert run(["golden", "check"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"parity: {copied}/index.json: ")


def test_an_altered_golden_is_not_judged(copied, tmp_path, capsys):
    altered(copied)
    checkpoint = str(copied.parent / "checkpoints" / "bart-odd")
    options = ["--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    assert run(["audit", checkpoint, "--golden", "docs-4.37", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"parity: {copied}/{NAME}: altered: its digest is not the one that was recorded"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--golden", "nonsense"], "--golden nonsense: there are goldens of main, docs-4.37, current"),
        (["--golden", "main", "--dtype", "bfloat16"], "goldens are of float32 on the CPU"),
        (["--golden", "main", "--device", "cuda"], "goldens are of float32 on the CPU"),
    ],
)
def test_a_golden_that_cannot_be_had_is_one_line(options, said, tmp_path, capsys):
    checkpoint = str(resources.fixture("bart-odd"))
    assert run(["audit", checkpoint, *options, "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.fixture
def manifest():
    """What a run of ``bart-odd`` asks, with nobody's answer."""
    checkpoint = inspect_checkpoint(resources.fixture("bart-odd"))
    asked = golden_cases(checkpoint.model_spec, None, checkpoint.generation)
    record = CheckpointRecord(
        name="bart-odd",
        path="bart-odd",
        digest=checkpoint.digest,
        config=checkpoint.config,
        documented_class=checkpoint.model_class,
    )
    return Manifest(
        parity_version="0",
        command=[],
        started="2026-11-26T00:00:00+00:00",
        checkpoints=[record],
        environments={},
        subjects=[],
        traces=[],
        cases={"bart-odd": [case.to_json() for case in asked]},
    )


def test_a_run_gets_goldens_as_subjects_with_their_traces(manifest, tmp_path):
    bundles = find_bundles({"bart-odd": manifest.checkpoints[0].digest}, ["docs-4.37"])
    found = joined(manifest, tmp_path, bundles)
    assert {subject.label for subject in found.subjects} == {
        f"{name}@docs-4.37 (golden)" for name in ("hf-torch", "hf-tf", "hf-flax")
    }
    assert len(found.traces) == len(found.subjects) * len(CASES)
    for record in found.traces:
        assert Trace.read(tmp_path / record.path).provenance["case"] == record.case
    assert joined(found, tmp_path, {}).subjects == found.subjects
    assert found.environments["docs-4.37 (golden)"]["versions"]["transformers"] == "4.37.2"


def test_another_question_or_class_is_no_run_for_a_golden(manifest, tmp_path):
    bundles = find_bundles({"bart-odd": manifest.checkpoints[0].digest}, ["docs-4.37"])
    (forward,) = (case for case in manifest.cases["bart-odd"] if case["name"] == "forward")
    forward["inputs"]["input_ids"][0][0] += 1
    with pytest.raises(GoldenError, match="is of forward, which this run asks of other inputs"):
        joined(manifest, tmp_path, bundles)
    del manifest.cases["bart-odd"][:]
    with pytest.raises(GoldenError, match="which this run does not ask"):
        joined(manifest, tmp_path, bundles)
    other = manifest.checkpoints[0].model_copy(update={"documented_class": "BartModel"})
    with pytest.raises(GoldenError, match="bart-odd is not kept as a BartModel"):
        joined(manifest.model_copy(update={"checkpoints": [other]}), tmp_path, bundles)
    with pytest.raises(GoldenError, match=r"no golden of docs-4\.37 about mine, as it is now"):
        find_bundles({"mine": "0"}, ["docs-4.37"])


def test_checking_the_files_imports_no_framework():
    code = "import sys; from parity.tools.golden.check import problems; assert not problems(); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    assert loaded.isdisjoint({"torch", "tensorflow", "jax", "flax", "transformers", "keras"})
