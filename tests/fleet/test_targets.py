"""The list of a fleet: comments, revisions, duplicates, and lines that name no checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.core.errors import InputError
from parity.fleet.targets import Job, Target, read_targets


def listed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_is_a_checkpoint_and_a_revision(tmp_path):
    text = "# nightly\n\nowner/name\n  owner/name  v1.0 # a tag\nname#1\n"
    found = read_targets(listed(tmp_path, text))
    assert list(found.targets) == [Target("owner/name"), Target("owner/name", "v1.0"), Target("name#1")]
    assert not found.repeated
    assert not found.wrong


def test_a_directory_with_a_space_stands_in_quotes(tmp_path):
    (tmp_path / "my model").mkdir()
    found = read_targets(listed(tmp_path, f'"{tmp_path}/my model"\n'))
    assert list(found.targets) == [Target(str(tmp_path / "my model"))]


def test_a_directory_is_audited_once_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    found = read_targets(listed(tmp_path, f"model\n./model/\n{tmp_path}/model\nother/id\n"))
    assert list(found.targets) == [Target(str(tmp_path / "model")), Target("other/id")]
    assert list(found.repeated) == [(str(tmp_path / "model"), 3)]


def test_a_line_with_more_words_is_no_checkpoint_and_the_others_go_on(tmp_path):
    found = read_targets(listed(tmp_path, f"a b c\nfine\n{'x' * 5000}\n"))
    assert list(found.targets) == [Target("fine")]
    first, second = (reason for _, reason in found.wrong)
    assert first.endswith("list.txt:1: more than a checkpoint and a revision")
    assert second.endswith("list.txt:3: longer than 4096 characters")


@pytest.mark.parametrize(("text", "cause"), [("", "names no checkpoint"), ("# nothing\n\n", "names no checkpoint")])
def test_an_empty_list_is_one_line(tmp_path, text, cause):
    with pytest.raises(InputError, match=rf"list\.txt: {cause}"):
        read_targets(listed(tmp_path, text))


def test_a_list_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_targets(tmp_path / "absent.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file in UTF-8"):
        read_targets(tmp_path / "binary")


def test_a_name_is_a_file_name_that_nothing_else_has():
    targets = [Target("a/b"), Target("a/b", "v1"), Target("a--b"), Target("../../etc/passwd"), Target("<b>\x1b[31m")]
    jobs = [Job(target, device) for target in targets for device in ("cpu", "cuda")]
    names = {job.name for job in jobs}
    assert len(names) == len(jobs)
    for name in names:
        assert "/" not in name
        assert not name.startswith(".")
        assert name.isascii()
        assert name.isprintable()
    assert Job(Target("a/b")).name == Job(Target("a/b")).name
