"""Files that are exchanged while they are used: no answer is kept that is not of what was digested."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from parity.capture import views
from parity.capture.views import Views
from parity.capture.worker.handed_files import FilesChanged
from parity.checkpoint.files import digested, list_files, statuses
from parity.core.trace import Trace
from tests.capture.fake_backend import FINE

OURS, OTHER = "7", "9"
"""The content that is digested, and what it is exchanged for: of one length."""
HOW = {
    "a rename": ("mv {f} {f}.a; mv {f}.b {f}", "mv {f} {f}.b; mv {f}.a {f}"),
    "a write": (f"printf {OTHER} > {{f}}", f"printf {OURS} > {{f}}"),
    "a write that keeps the time": (
        f"touch -r {{f}} {{f}}.t; printf {OTHER} > {{f}}; touch -r {{f}}.t {{f}}",
        f"printf {OURS} > {{f}}; touch -r {{f}}.t {{f}}",
    ),
    "its folder's rename": ("mv {d} {d}.a; mv {d}.b {d}", "mv {d} {d}.b; mv {d}.a {d}"),
    "a link": ("ln -sf {f}.b {f}.l; mv {f}.l {f}", "mv {f}.c {f}"),
}
WHEN = {
    "from the load on": ("load", None),
    "during the load, there and back": ("load", "loaded"),
    "from the call on": ("call", None),
    "during the call, there and back": ("call", "called"),
    "between load and call": ("loaded", "call"),
}


def written(folder, name="model"):
    """A checkpoint with one file, the other content beside it, and a folder like it beside that one."""
    model = folder / name
    for directory, content in ((model, OURS), (folder / f"{name}.b", OTHER)):
        directory.mkdir(parents=True)
        (directory / "vocab.txt").write_text(content)
    (model / "vocab.txt.b").write_text(OTHER)
    (model / "vocab.txt.c").write_text(OURS)
    return model


def handed(model):
    listing = list_files(model)
    return digested(listing, statuses(listing))


def as_json(files):
    return tuple({"name": f.name, "path": str(f.path), "status": f.status, "sha256": f.sha256} for f in files)


@pytest.mark.parametrize("linked", [False, True], ids=["copied", "linked"])
def test_no_answer_is_of_another_file(bench, linked, monkeypatch):
    """Every way of exchanging at every moment: the answer is that of the digested file, or there is none."""
    monkeypatch.setattr(views, "COPIED", -1 if linked else views.COPIED)
    bench.environment["FAKE_MEANWHILE"] = str(bench.folder)
    outcomes = {}
    with Views(bench.folder / "views") as made:
        tasks = {}
        for number, (how, when) in enumerate(product(HOW, WHEN)):
            model = written(bench.folder / str(number))
            script = bench.folder / str(number)
            for step, command in zip(WHEN[when], HOW[how], strict=True):
                if step is not None:
                    (script / f"{step}.sh").write_text(command.format(f=model / "vocab.txt", d=model))
            files = handed(model)
            view = made.make(model, files, frozenset())
            tasks[how, when] = bench.task(
                FINE, checkpoint=model, view=view, files=as_json(files), model_class=str(number)
            )
        for name, result in zip(tasks, bench.run(list(tasks.values())), strict=True):
            outcomes[name] = result
    for (how, when), result in outcomes.items():
        where = f"{how}, {when}: {result.outcome} {result.reason}"
        if result.outcome == "captured":
            logits = Trace.read(tasks[how, when].out).arrays["logits"]
            assert logits[0, 1, 0] == 2 * float(OURS) + float(OURS), where
        else:
            assert result.outcome == "changed" and "model/vocab.txt: " in result.reason, where
            assert not tasks[how, when].out.exists(), where
    assert {how for (how, when), result in outcomes.items() if result.outcome == "changed"} >= set(HOW)


def test_a_file_that_was_only_touched_is_the_same(bench):
    model = written(bench.folder)
    files = handed(model)
    with Views(bench.folder / "views") as made:
        view = made.make(model, files, frozenset())
        os.utime(model / "vocab.txt", (0, 0))
        (result,) = bench.run([bench.task(FINE, checkpoint=model, view=view, files=as_json(files))])
    assert result.outcome == "captured"


@pytest.mark.parametrize("step", ["load", "loaded", "call", "called"])
@pytest.mark.parametrize("does", ["ln {f} {f}.linked", "touch {f}", "chmod 600 {f}"])
def test_a_file_that_is_touched_once_while_it_is_used_is_asked_again(bench, does, step):
    """A backup's link, a copy's chmod: its content is what it was, and the second answer is kept."""
    model = written(bench.folder)
    once = f"mkdir {bench.folder}/done 2>/dev/null && {does.format(f=model / 'vocab.txt')} || true"
    (bench.folder / "once").mkdir()
    (bench.folder / "once" / f"{step}.sh").write_text(once)
    bench.environment["FAKE_MEANWHILE"] = str(bench.folder)
    files = handed(model)
    with Views(bench.folder / "views") as made:
        view = made.make(model, files, frozenset())
        task = bench.task(FINE, checkpoint=model, view=view, files=as_json(files), model_class="once")
        (result,) = bench.run([task])
    assert (bench.folder / "done").is_dir() and result.outcome == "captured", result.reason


def test_a_file_that_changed_before_a_worker_saw_it_is_named(bench):
    model = written(bench.folder)
    files = handed(model)
    (model / "vocab.txt").write_text(OTHER)
    with Views(bench.folder / "views") as made:
        with pytest.raises(FilesChanged, match=r"model/vocab.txt: changed since the run began"):
            made.make(model, files, frozenset())
        (model / "vocab.txt").unlink()
        os.mkfifo(model / "vocab.txt")
        with pytest.raises(FilesChanged, match=r"vocab\.txt"):
            made.make(model, files, frozenset())


def test_views_go_with_their_run_and_those_of_a_killed_one_with_the_next(tmp_path):
    model = written(tmp_path)
    with Views(tmp_path / "views") as alive:
        directory = alive.make(model, handed(model), frozenset())
        killed = directory.parent.with_name("killed")
        (killed / "1").mkdir(parents=True)
        (killed / ".lock").touch()
        with Views(tmp_path / "views"):
            assert directory.is_dir() and not killed.exists()
        assert oct(directory.stat().st_mode & 0o777) == "0o700"
        assert [path.name for path in directory.iterdir()] == ["vocab.txt"]
        assert not (directory / "vocab.txt").is_symlink()
        assert np.array_equal(np.fromfile(directory / "vocab.txt", "u1"), np.fromfile(model / "vocab.txt", "u1"))
    assert list((tmp_path / "views").iterdir()) == []
    assert Path(model / "vocab.txt").read_text() == OURS
