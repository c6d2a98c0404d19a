"""Converted files: made once, verified by their record, and refused in one line."""

from __future__ import annotations

import json

import pytest

from parity import InputError, api
from parity.backends.engines.conversion import RECORD, UnusableFiles, converted, files_digest, verified
from parity.capture.engines import unaccepted_inputs
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.backends import BACKENDS, ENGINES, audited, find_entry
from parity.core.options import AuditOptions
from parity.core.resources import fixture


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def convert():
    class Convert:
        calls = 0

        def __call__(self, folder):
            self.calls += 1
            (folder / "model.onnx").write_bytes(b"graph")

    return Convert()


def test_files_are_made_once_and_again_when_anything_they_depend_on_changes(checkpoint, convert, tmp_path):
    first = converted(checkpoint, "onnxruntime", {"opset": 18}, convert, tmp_path, distributions=["numpy", "absent"])
    assert converted(checkpoint, "onnxruntime", {"opset": 18}, convert, tmp_path, distributions=["numpy"]) == first
    assert convert.calls == 1
    assert (first.path / "model.onnx").read_bytes() == b"graph"
    assert set(first.record) == {"schema", "engine", "settings", "versions", "checkpoint", "files"}
    assert list(first.record["versions"]) == ["numpy"]
    converted(checkpoint, "onnxruntime", {"opset": 17}, convert, tmp_path, distributions=["numpy"])
    (checkpoint / "config.json").write_text('{"a": 1}')
    converted(checkpoint, "onnxruntime", {"opset": 18}, convert, tmp_path, distributions=["numpy"])
    assert convert.calls == 3


def test_changed_files_in_the_cache_are_made_again(checkpoint, convert, tmp_path):
    first = converted(checkpoint, "onnxruntime", {}, convert, tmp_path)
    (first.path / "model.onnx").write_bytes(b"grap")
    assert (converted(checkpoint, "onnxruntime", {}, convert, tmp_path).path / "model.onnx").read_bytes() == b"graph"


def test_an_interrupted_conversion_leaves_nothing(checkpoint, tmp_path):
    def fail(folder):
        (folder / "model.onnx").write_bytes(b"gr")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        converted(checkpoint, "onnxruntime", {}, fail, tmp_path)
    assert not any((tmp_path / "engines").iterdir())


def test_the_digest_is_that_of_the_inspected_checkpoint(tmp_path):
    found = inspect_checkpoint(fixture("bart-tiny"))
    for file in found.handed:
        (tmp_path / file.name).write_bytes(file.path.read_bytes())
    assert files_digest(tmp_path) == found.digest


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda folder: (folder / "model.onnx").write_bytes(b"gr"), "model.onnx: changed since it was converted"),
        (lambda folder: (folder / "model.onnx").unlink(), "names the file 'model.onnx', which is not there"),
        (lambda folder: (folder / RECORD).write_text("{"), "not readable as JSON"),
        (lambda folder: (folder / RECORD).write_text("[]"), "not a JSON object"),
        (lambda folder: (folder / RECORD).write_text('{"checkpoint": "0"}'), "converted from another checkpoint"),
        (
            lambda folder: (folder / RECORD).write_text(
                json.dumps({"checkpoint": files_digest(folder.parent / "c"), "files": {"../c/config.json": "0"}})
            ),
            "names the file '../c/config.json', which is not there",
        ),
    ],
)
def test_what_contradicts_its_record_is_refused(tmp_path, convert, damage, cause):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.json").write_text("{}")
    made = converted(tmp_path / "c", "onnxruntime", {}, convert, tmp_path)
    folder = made.path.rename(tmp_path / "given")
    assert verified(folder, files_digest(tmp_path / "c"))["engine"] == "onnxruntime"
    damage(folder)
    with pytest.raises(UnusableFiles, match=cause):
        verified(folder, files_digest(tmp_path / "c"))


def test_an_engine_is_no_backend_of_an_audit_that_names_none():
    assert not set(ENGINES) & set(audited()) and not set(ENGINES) & set(BACKENDS)
    assert all(find_entry(name).role == "engine" for name in ENGINES)
    assert unaccepted_inputs(AuditOptions()) == {}


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({}, "name one engine, --backend onnxruntime"),
        ({"backends": ["hf-torch"]}, "name one engine, --backend onnxruntime"),
        ({"backends": ["onnxruntime"], "converted": "nowhere"}, "nowhere: no such directory"),
        ({"backends": ["onnxruntime"]}, r"there: no \.onnx file\): not converted files"),
    ],
)
def test_what_cannot_be_given_is_one_line(options, cause, tmp_path):
    with pytest.raises(InputError, match=cause) as found:
        api.audit([fixture("bart-tiny")], **{"converted": tmp_path, **options})
    assert "\n" not in str(found.value)
