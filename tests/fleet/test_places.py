"""The results of a fleet at a URL: as in a directory, whole objects or none, and one line where none can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from parity.cli.main import run as command_line
from parity.core.errors import InputError, OutputError
from parity.core.records import RecordError
from parity.fleet.folder import Folder
from parity.fleet.gate import gate
from parity.fleet.report import render, write_report
from parity.fleet.run import FleetResult, fleet
from parity.fleet.targets import Job, Target, TargetList
from tests.fleet.sample_fleets import OPTIONS, Scripted, answer, row, written

fsspec = pytest.importorskip("fsspec", reason="results at a URL need fsspec: pip install 'encdec-parity[ray]'")
pytest.importorskip("pyarrow", reason="the table of a fleet needs pyarrow")
BAD = row("fail", case="loss", first_divergence="logits", ratio=84.0)


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.full)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/{tmp_path.name}"
    return f"file://{tmp_path}/at" if request.param == "file" else f"memory://{tmp_path.name}/at"


def run(out: str | Path, cluster: Scripted, *sources: str, resume: bool = False) -> FleetResult:
    return fleet(TargetList([Target(each) for each in sources], [], []), OPTIONS, out, cluster=cluster, resume=resume)


def test_a_fleet_at_a_url_goes_on_and_is_the_one_in_a_directory(tmp_path, url):
    script = {"b": [lambda job: answer(job, row(), BAD)], "c": [KeyboardInterrupt]}
    with pytest.raises(KeyboardInterrupt):
        run(url, Scripted(script), "a", "b", "c")
    assert [each.checkpoint for each in Folder(url).outcomes()] == ["a", "b"]
    with pytest.raises(InputError, match=f"^{url}: has the results of a fleet; go on with --resume"):
        run(url, Scripted(), "a", "b", "c")
    cluster = Scripted()
    result = run(url, cluster, "a", "b", "c", resume=True)
    assert [source for source, _ in cluster.submitted] == ["c"]
    here = tmp_path / "here"
    script = {"b": [lambda job: answer(job, row(), BAD)]}
    assert run(here, Scripted(script), "a", "b", "c").outcomes == result.outcomes
    assert list(Folder(url).tables()) == list(Folder(here).tables())
    assert render(Folder(url)) == render(Folder(here))
    assert gate(Folder(here), Folder(url)).passed


def test_the_commands_read_and_write_urls(url, capsys):
    before = written(f"{url}/before", {"owner/model": [row()]})
    after = written(f"{url}/after", {"owner/model": [{**BAD, "case": "forward"}]})
    assert command_line(["fleet", "gate", str(before), str(after)]) == 1
    assert "gate failed" in capsys.readouterr().out
    assert command_line(["fleet", "report", str(after)]) == 0
    assert capsys.readouterr().out == f"{url}/after/index.html\n"
    with fsspec.open(f"{url}/after/index.html", "rt", encoding="utf-8") as page:
        assert "<h1>1 of 1 audited checkpoint diverges</h1>" in page.read()


def test_a_file_that_is_not_complete_is_not_there(tmp_path, monkeypatch):
    folder = written(f"file://{tmp_path}/at", {"a": [row()]})
    files = fsspec.filesystem("file")

    def half(path: str, content: bytes) -> None:
        Path(path).write_bytes(content[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "pipe_file", half)
    with pytest.raises(OutputError, match=rf"^file://{tmp_path}/at: cannot be written: .*No space left"):
        folder.write(answer(Job(Target("b"))))
    monkeypatch.undo()
    assert [each.checkpoint for each in folder.outcomes()] == ["a"]
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".part-")]


def test_many_outcomes_are_read_in_their_order(tmp_path):
    folder = written(f"memory://{tmp_path.name}", {f"owner/m{number:03}": [row()] for number in range(150)})
    names = [each.name for each in folder.outcomes()]
    assert len(names) == 150
    assert names == sorted(names)
    assert [each.name for each, _ in folder.tables()] == names


def test_a_damaged_or_missing_file_is_one_line(tmp_path, url):
    with pytest.raises(
        RecordError, match=rf"^{url}/fleet\.json: cannot be read: No such file .*parity fleet LIST --out"
    ):
        write_report(Folder(url))
    folder = written(url, {"a": [row()]})
    name = Job(Target("a")).name
    folder.put(f"cells/{name}.parquet", "PAR1")
    with pytest.raises(RecordError, match=rf"^{url}/cells/{name}\.parquet: cannot be read"):
        list(folder.tables())
    folder.put(f"checkpoints/{name}.json", json.dumps({"name": name}))
    with pytest.raises(RecordError, match=rf"^{url}/checkpoints/{name}\.json: "):
        folder.outcomes()


class Refusing(fsspec.AbstractFileSystem):
    """Stands for a bucket of another's: what it holds may be listed, and nothing written."""

    protocol = "parity-refusing"
    cachable = False

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        return []

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        pass

    def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> None:
        raise PermissionError("Access Denied")


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("parity-refusing://bucket/fleet", "Access Denied"),
        ("nonsense://bucket/fleet", "Protocol not known"),
        ("file:///proc/nothing/fleet", "No such file"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line_before_any_task(tmp_path, url, cause, capsys):
    fsspec.register_implementation("parity-refusing", Refusing, clobber=True)
    cluster = Scripted()
    with pytest.raises(InputError, match=rf"^{url}: cannot be used: .*{cause}"):
        run(url, cluster, "a")
    assert not cluster.submitted
    (tmp_path / "list.txt").write_text("a\n")
    assert command_line(["fleet", str(tmp_path / "list.txt"), "--out", url, "--backend", "hf-torch/eager"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"parity: {url}: cannot be used: ")
    targets = TargetList([Target("a")], [], [])
    with pytest.raises(InputError, match=rf"^--cache {url}: cannot be used: .*{cause}"):
        fleet(targets, OPTIONS, tmp_path / "out", cluster=cluster, shared_cache=url)
    assert not cluster.submitted


@pytest.mark.full
def test_a_bucket_that_does_not_exist_is_one_line(s3):
    cluster = Scripted()
    with pytest.raises(InputError, match=r"^s3://parity-absent/fleet: cannot be used: .*bucket does not exist"):
        run("s3://parity-absent/fleet", cluster, "a")
    assert not cluster.submitted
    with pytest.raises(RecordError, match=r"^s3://parity-absent/fleet/fleet\.json: cannot be read: "):
        Folder("s3://parity-absent/fleet").outcomes()
