"""The goldens' files: whole and of today, and each way not to be is found and named, without any framework."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parity import resources
from parity.cli import run
from parity.golden.check import problems
from parity.golden.kept import CASES, STACKS
from parity.golden.store import LARGEST, digest, read_bundle, read_index
from parity.resources import fixtures, goldens

ROOT = Path(__file__).parents[2]
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
    monkeypatch.setattr(resources, "_checkpoints", lambda: tmp_path / "checkpoints")
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
        (missing, "missing"), (never_recorded, "missing"), (unused, "unused"), (of_no_fixture, "unused"),
        (altered, "altered"), (truncated, "altered"), (another_fixture, "stale"), (another_version, "stale"),
        (large, "large"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)  # fmt: skip
def test_what_is_wrong_is_found_named_and_fails(copied, change, kind, capsys):
    change(copied)
    found = problems()
    assert kind in {problem.kind for problem in found}
    assert all(str(copied.parent) in problem.what for problem in found)
    assert run(["golden", "check", "--files-only"]) == 1
    assert kind in capsys.readouterr().out


def test_other_questions_make_a_golden_stale(copied, monkeypatch):
    monkeypatch.setattr("parity.batch.TARGET_LENGTHS", (7, 3, 6))
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
    ],
)
def test_a_golden_that_cannot_be_had_is_one_line(options, said, tmp_path, capsys):
    checkpoint = str(resources.fixture("bart-odd"))
    assert run(["audit", checkpoint, *options, "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_checking_the_files_imports_no_framework():
    code = "import sys; from parity.golden.check import problems; assert not problems(); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    assert loaded.isdisjoint({"torch", "tensorflow", "jax", "flax", "transformers", "keras"})
