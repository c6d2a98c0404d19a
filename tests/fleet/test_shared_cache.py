"""The shared trace cache: whole objects or none, two writers, a damaged object, and a server of S3."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parity import tiny
from parity.capture.cache import TraceCache
from parity.core.errors import InputError
from parity.core.trace import Trace
from parity.fleet.run import fleet
from parity.fleet.shared_cache import SharedTraceCache
from parity.fleet.targets import Target, TargetList
from tests.fleet.sample_fleets import OPTIONS, Scripted

pytest.importorskip("fsspec", reason="a shared cache needs fsspec: pip install 'encdec-parity[ray]'")
KEY = "ab" + "0" * 62
OBJECT = f"ab/{KEY}.safetensors"


def trace(value: float = 1.0) -> Trace:
    return Trace({"x": np.full(100, value)}, provenance={"backend": "b", "checkpoint": "c"})


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}/shared" if request.param == "file" else f"memory://{tmp_path.name}/shared"


def test_what_one_machine_publishes_another_finds_and_keeps(tmp_path, url):
    one, other = (SharedTraceCache(tmp_path / name, url) for name in ("one", "other"))
    one.put(KEY, trace())
    assert other.find(KEY) is None, "nothing is shared before it is published"
    one.publish([KEY])
    found = other.find(KEY)
    assert found is not None
    assert found.provenance["key"] == KEY
    assert TraceCache(tmp_path / "other").find(KEY) is not None, "a local copy"
    assert not list((tmp_path / "other").rglob(".part-*"))
    assert not one.problem
    assert not other.problem


def test_two_writers_leave_one_whole_object(tmp_path, url):
    writers = [SharedTraceCache(tmp_path / name, url) for name in ("one", "two")]
    for number, writer in enumerate(writers):
        writer.put(KEY, trace(float(number)))
        writer._objects.copy_from(str(writer.path(KEY)), OBJECT)
    found = SharedTraceCache(tmp_path / "reader", url).find(KEY)
    assert found is not None
    assert found.arrays["x"][0] == 1.0


def test_a_damaged_object_and_one_of_another_key_are_absent(tmp_path, url):
    one = SharedTraceCache(tmp_path / "one", url)
    one.put(KEY, trace())
    content = one.path(KEY).read_bytes()
    for wrong in (content[:-8], content[:-8] + b"12345678", b""):
        one._objects.write({OBJECT: wrong})
        assert SharedTraceCache(tmp_path / "reader", url).find(KEY) is None
    other = "ab" + "1" * 62
    one._objects.write({f"ab/{other}.safetensors": content})
    assert SharedTraceCache(tmp_path / "reader", url).find(other) is None


def test_a_writer_that_ends_half_way_leaves_no_object(tmp_path, monkeypatch):
    one = SharedTraceCache(tmp_path / "one", f"file://{tmp_path}/shared")
    one.put(KEY, trace())

    def half(source: str, target: str) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:50])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(one._objects.files, "put_file", half)
    one.publish([KEY])
    assert "cannot be written" in one.problem
    assert "No space left" in one.problem
    assert one.find("cd" + "0" * 62) is None
    assert not [path for path in (tmp_path / "shared").rglob("*") if path.is_file()]
    monkeypatch.undo()
    assert SharedTraceCache(tmp_path / "reader", f"file://{tmp_path}/shared").find(KEY) is None


@pytest.mark.parametrize(
    ("url", "cause"), [("nonsense://bucket/x", "Protocol not known"), ("file:///proc/nothing/x", "No such file")]
)
def test_a_location_that_cannot_be_used_is_one_line_before_any_task(tmp_path, url, cause):
    pytest.importorskip("pyarrow", reason="the table of a fleet needs pyarrow")
    cluster = Scripted()
    with pytest.raises(InputError, match=rf"^--cache {url}: cannot be used: .*{cause}"):
        fleet(TargetList([Target("a")], [], []), OPTIONS, tmp_path / "out", cluster=cluster, shared_cache=url)
    assert not cluster.submitted


@pytest.mark.full
def test_a_server_of_s3_holds_whole_traces(tmp_path, s3):
    one, other = (SharedTraceCache(tmp_path / name, f"{s3}/traces") for name in ("one", "other"))
    one.check()
    one.put(KEY, trace())
    one.publish([KEY])
    assert not one.problem
    found = other.find(KEY)
    assert found is not None
    assert (found.arrays["x"] == 1.0).all()
    with pytest.raises(InputError, match="--cache s3://absent/x: cannot be used"):
        SharedTraceCache(tmp_path / "two", "s3://absent/x").check()


@pytest.mark.full
def test_a_second_machine_computes_nothing_that_the_first_shared(tmp_path, s3):
    """Two audits with local caches of their own; every trace of the second is the first one's."""
    from parity import api
    from tests.fleet.test_on_ray import CONFIG

    options = replace(OPTIONS, references=["reference-torch"])
    model = tiny(CONFIG, tmp_path / "model")
    reports = []
    for name in ("one", "two"):
        store = SharedTraceCache(tmp_path / name, f"{s3}/traces")
        reports.append(api.audit([model], replace(options, out=tmp_path / f"run-{name}"), store=store, jobs=1))
        assert not store.problem
    first, second = (each.cost for each in reports)
    assert first is not None
    assert second is not None
    assert first.traces_captured > 0
    assert second.traces_captured == 0
    assert [each.ratio for each in reports[0].verdicts] == [each.ratio for each in reports[1].verdicts]
