"""Saving judged on traces: a conforming round trip passes, and each way of losing weights is found and named."""

from __future__ import annotations

import copy
import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from parity.capture.worker.saving import _mapped, unpack, without_large_files
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.model_spec import model_spec_of
from parity.core.resources import fixture
from parity.core.trace import Raised, Trace
from parity.judge.checks import CHECKS
from parity.judge.followup.saving import promise_for, promises, save_cases

SQUARE = "model.encoder.layers.0.self_attn.q_proj.weight"
TABLE, HEAD = "model.shared.weight", "lm_head.weight"


def described(value: int, *shape: int) -> dict:
    return {"shape": list(shape), "dtype": "float32", "digest": f"{value:032x}", "non_finite": 0}


@pytest.fixture
def model_spec():
    return inspect_checkpoint(fixture("bart-odd")).model_spec


@pytest.fixture
def saving(model_spec) -> Trace:
    """What a conforming library saved: every row of the table, a tied head beside its table."""
    held = {name: described(number, 6, 6) for number, name in enumerate(model_spec.table.expected())}
    held[HEAD] = held[TABLE]
    stored = {name: facts for name, facts in held.items() if name != HEAD}
    config = (fixture("bart-odd") / "config.json").read_bytes()
    arrays = {
        "file.config.json": np.frombuffer(config, np.uint8),
        "file.model.safetensors": np.arange(9, dtype=np.uint8),
    }
    files = {
        name.removeprefix("file."): {"bytes": array.size, "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
        for name, array in arrays.items()
    }
    read = {"parameters": stored, "missing": [], "surplus": []}
    return Trace(arrays, {"files": files, "parameters": held, "tied": [[TABLE, HEAD]], "stored": read})


def loaded(saving: Trace) -> Trace:
    report = {"tied": [[TABLE, HEAD]], "not_materialised": []}
    return Trace({}, {"report": report, "parameters": copy.deepcopy(saving.facts["parameters"])})


def wrong(check: str, model_spec, trace: Trace, saving: Trace | None = None, newer: bool = False) -> list:
    """What a check finds fault with, by its words."""
    subject = SimpleNamespace(documented_class="BartForConditionalGeneration")
    evidence = SimpleNamespace(trace=trace, saved=saving, model_spec=model_spec, subject=subject, saved_by_newer=newer)
    results = list(CHECKS[check].function(evidence))
    assert results, "a check that compares nothing cannot fail"
    return [result for result in results if not result.ok]


def raising(kind: str) -> Trace:
    return Trace(raised=Raised(kind, "it cannot", "modeling.py:1 in load", "load"))


@pytest.mark.parametrize("check", ["SAVE01", "SAVE02"])
def test_what_an_conforming_library_saves_passes(check, model_spec, saving):
    assert wrong(check, model_spec, saving) == []


@pytest.mark.parametrize("check", ["SAVE03", "SAVE04", "SAVE05"])
def test_an_conforming_round_trip_passes(check, model_spec, saving):
    assert wrong(check, model_spec, loaded(saving), saving) == []


def test_one_flipped_bit_of_a_saved_file_is_found(model_spec, saving):
    saving.arrays["file.model.safetensors"] = saving.arrays["file.model.safetensors"] ^ np.uint8(1)
    assert [result.tensor for result in wrong("SAVE01", model_spec, saving)] == ["model.safetensors"]


def test_another_bit_a_missing_and_a_surplus_parameter_of_the_file_are_found(model_spec, saving):
    read = saving.facts["stored"]
    read["parameters"][SQUARE] = described(999, 6, 6)
    assert [result.tensor for result in wrong("SAVE01", model_spec, saving)] == [SQUARE]
    del read["parameters"][SQUARE]
    assert [result.tensor for result in wrong("SAVE01", model_spec, saving)] == [SQUARE]
    read["parameters"][SQUARE] = saving.facts["parameters"][SQUARE]
    read["surplus"].append("stray")
    assert [result.tensor for result in wrong("SAVE01", model_spec, saving)] == ["stray"]


def test_files_that_cannot_be_read_are_a_failure(model_spec, saving):
    saving.facts["stored"] = {"unreadable": "truncated"}
    assert "truncated" in wrong("SAVE01", model_spec, saving)[0].what


def test_another_config_is_found(model_spec, saving):
    text = saving.arrays["file.config.json"].tobytes().replace(b'"scale_embedding": true', b'"scale_embedding": false')
    saving.arrays["file.config.json"] = np.frombuffer(text, np.uint8)
    assert "scale_embedding is False; loaded was True" in wrong("SAVE02", model_spec, saving)[0].what
    del saving.arrays["file.config.json"]
    assert "no config.json" in wrong("SAVE02", model_spec, saving)[0].what


@pytest.mark.parametrize(("loaded", "saved", "found"), [(True, 0, 0), (True, 5, 1), (False, 0, 1), (True, None, 0)])
def test_an_old_summariser_s_first_token_may_be_written_out(loaded, saved, found):
    """``BartConfig`` of 4.x reads ``force_bos_token_to_be_generated`` as ``forced_bos_token_id``, and saves that."""
    config = json.loads((fixture("bart-odd") / "config.json").read_text()) | {"bos_token_id": 0}
    config.pop("forced_bos_token_id", None)
    old = model_spec_of({**config, "force_bos_token_to_be_generated": loaded})
    written = json.dumps(config if saved is None else {**config, "forced_bos_token_id": saved})
    trace = Trace({"file.config.json": np.frombuffer(written.encode(), np.uint8)}, {})
    subject = SimpleNamespace(documented_class="BartForConditionalGeneration")
    evidence = SimpleNamespace(trace=trace, model_spec=old, subject=subject)
    assert sum(not result.ok for result in CHECKS["SAVE02"].function(evidence)) == found


@pytest.mark.parametrize(("loaded", "beside", "found"), [(None, 2, 0), (2, 2, 0), (2, 3, 1), (2, None, 1)])
def test_an_end_that_the_loaded_config_does_not_name_may_be_named_beside(loaded, beside, found):
    """A composition saved without one has its decoder's in generation_config.json; one that was named stays."""
    config = json.loads((fixture("bert2bert") / "config.json").read_text())
    saved = {name: value for name, value in config.items() if name != "eos_token_id"}
    composed = model_spec_of({**saved, **({} if loaded is None else {"eos_token_id": loaded})})
    files = {"config.json": saved, "generation_config.json": {} if beside is None else {"eos_token_id": beside}}
    arrays = {f"file.{name}": np.frombuffer(json.dumps(said).encode(), np.uint8) for name, said in files.items()}
    subject = SimpleNamespace(documented_class="EncoderDecoderModel")
    evidence = SimpleNamespace(trace=Trace(arrays, {}), model_spec=composed, subject=subject)
    assert sum(not result.ok for result in CHECKS["SAVE02"].function(evidence)) == found


@pytest.mark.parametrize("check", ["SAVE03", "SAVE04", "SAVE05"])
def test_a_square_kernel_of_other_bits_a_missing_and_an_invented_one_are_named(check, model_spec, saving):
    trace = loaded(saving)
    trace.facts["parameters"][SQUARE]["digest"] = "f" * 32
    assert [result.tensor for result in wrong(check, model_spec, trace, saving)] == [SQUARE]
    del trace.facts["parameters"][SQUARE]
    assert [result.tensor for result in wrong(check, model_spec, trace, saving)] == [SQUARE]
    trace = loaded(saving)
    trace.facts["parameters"]["classification_head.dense.weight"] = described(7, 3, 3)
    assert [result.tensor for result in wrong(check, model_spec, trace, saving)] == ["classification_head.dense.weight"]
    trace = loaded(saving)
    trace.facts["report"]["not_materialised"] = [SQUARE]
    assert [result.tensor for result in wrong(check, model_spec, trace, saving)] == [SQUARE]


@pytest.mark.parametrize("check", ["SAVE03", "SAVE04"])
def test_a_table_that_came_apart_is_found(check, model_spec, saving):
    trace = loaded(saving)
    trace.facts["report"]["tied"] = []
    assert [result.tensor for result in wrong(check, model_spec, trace, saving)] == [HEAD]


def test_a_clear_error_is_an_answer_only_where_nothing_is_promised(model_spec, saving):
    assert wrong("SAVE05", model_spec, raising("OSError"), saving) == []
    assert wrong("SAVE05", model_spec, raising("UnboundLocalError"), saving)
    for check in ("SAVE03", "SAVE04"):
        assert wrong(check, model_spec, raising("OSError"), saving)
        assert wrong(check, model_spec, raising("OSError"), saving, newer=True) == []
        assert wrong(check, model_spec, raising("KeyError"), saving, newer=True)


SETTINGS = {"max_length": 28, "num_beams": 4, "forced_bos_token_id": 0, "min_p": None, "suppress_tokens": None}


def wrong_settings(settings: dict, *before: dict) -> list:
    trace = Trace(facts={"settings": settings})
    evidence = SimpleNamespace(trace=trace, settings_before_saving=before or (SETTINGS,))
    return [found.tensor for found in CHECKS["SAVE06"].function(evidence) if not found.ok]


def test_a_generation_setting_that_is_lost_is_named_and_one_that_is_unset_has_its_default():
    assert wrong_settings(SETTINGS) == wrong_settings({**SETTINGS, "min_p": 0.0, "suppress_tokens": []}) == []
    assert wrong_settings({**SETTINGS, "max_length": None, "num_beams": 1}) == ["max_length", "num_beams"]


def test_settings_may_be_those_that_the_saver_read_or_the_loader():
    """A saver that reads the checkpoint in another way writes what it read, which is no fault of the file."""
    saver, loader = {**SETTINGS, "num_beams": 2}, SETTINGS
    assert wrong_settings(saver, loader, saver) == wrong_settings(loader, loader, saver) == []
    assert wrong_settings({**SETTINGS, "num_beams": 1}, loader, saver) == ["num_beams"]


def test_the_settings_of_files_that_were_not_loaded_are_not_judged():
    evidence = SimpleNamespace(trace=raising("OSError"))
    assert [(found.ok, found.exercised) for found in CHECKS["SAVE06"].function(evidence)] == [(True, False)]


def test_every_promise_has_a_source_and_stands_once():
    rows = promises()
    assert len({(row.saver, row.loader, row.route) for row in rows}) == len(rows)
    assert all(row.source and row.outcome in ("same", "same-or-error") for row in rows)
    case = SimpleNamespace(notes={"saver": "hf-tf"}, settings={"route": "from_tf"})
    assert promise_for(case, "hf-torch").outcome == "same"


@pytest.mark.parametrize(
    ("limit", "free", "why"),
    [
        (1.0, 10**12, ""),
        (0.1, 10**12, "2 copies of 0.07 GB of parameters are more than the limit of 0.1 GB: --save-limit 0.2"),
        (1.0, 200_000_000, "2 copies of 0.07 GB of parameters need more than the 0.2 GB that are free"),
    ],
)
def test_large_weights_are_saved_within_limits_and_the_reason_is_named(monkeypatch, tmp_path, limit, free, why):
    """The size of a copy alone says nothing: what counts is how many there are."""
    trace = Trace({}, {"parameters": {"weight": described(1, 1 << 12, 1 << 12)}})
    savers = [
        SimpleNamespace(backend="hf-torch", variant=v, capabilities=["save_safetensors", "save_bin"])
        for v in ("eager", "sdpa")
    ]
    run = SimpleNamespace(
        subjects=lambda role: iter(enumerate(savers if role == "candidate" else [None])),
        trace=lambda index, case: trace,
        directory=tmp_path,
    )
    monkeypatch.setattr("parity.judge.followup.saving.shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    cases = list(save_cases(run, limit))
    assert {case.settings["format"] for case in cases} == {"safetensors", "sharded", "bin", "h5", "msgpack"}
    for case in cases:
        assert ("room_to_save" in case.requires) == bool(why)
        assert case.notes.get("lacking", {}).get("room_to_save", "") == why


def test_large_files_are_let_go_and_what_they_were_stays_known(monkeypatch, model_spec, saving):
    assert without_large_files(saving) is None
    monkeypatch.setattr("parity.capture.worker.saving.LARGE", 8)
    small = without_large_files(saving)
    assert set(saving.facts["files"]) == {"config.json", "model.safetensors"} == set(small.facts["let_go"])
    monkeypatch.setattr("parity.capture.worker.saving.LARGE", saving.facts["files"]["config.json"]["bytes"])
    assert without_large_files(saving) is None
    saving.arrays["file.model.safetensors"] = np.zeros(5000, np.uint8)
    saving.facts["files"]["model.safetensors"]["bytes"] = 5000
    small = without_large_files(saving)
    assert small.facts["let_go"] == ["model.safetensors"] and list(small.arrays) == ["file.config.json"]
    assert wrong("SAVE01", model_spec, small) == [] == wrong("SAVE02", model_spec, small)
    assert wrong("SAVE01", model_spec, saving)  # the whole one is another than its digest says


def test_saved_files_are_mapped_and_come_back_whole(tmp_path):
    """They may be as large as the model: nothing reads them whole, and they outlive the folder they were saved in."""
    folder, back = tmp_path / "saved", tmp_path / "back"
    folder.mkdir(), back.mkdir()
    (folder / "a").write_bytes(b"xyz" * 99)
    (folder / "empty").write_bytes(b"")
    arrays = {f"file.{path.name}": _mapped(path) for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    unpack(arrays, back)
    assert {path.name: path.read_bytes() for path in back.iterdir()} == {"a": b"xyz" * 99, "empty": b""}
