"""Configs and tokenizers by the command itself, in every stack that is installed; and checkpoints with broken files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from parity.core.resources import fixture
from parity.core.stacks import find
from parity.report.coverage import sections

pytestmark = pytest.mark.full

READERS = ("hf-config", "hf-tokenizer", "hf-tokenizer-fast")
ONLY = [word for name in READERS for word in ("--backend", name)] + ["--check", "config", "--check", "tokenizer"]


def test_every_stack_s_classes_are_asked_and_what_they_do_otherwise_is_known(audit):
    stacks = ["main", *(name for name in ("docs-4.37", "current") if find(name))]
    code, report = audit([fixture("bart-tiny")], *ONLY, *(word for name in stacks for word in ("--stack", name)))
    assert code == 0 and report.totals.fail == report.totals.error == 0
    asked = {(verdict.backend, verdict.stack) for verdict in report.verdicts if verdict.status == "pass"}
    assert asked == {*((name, stack) for name in READERS for stack in stacks), ("file", "main")}
    assert {verdict.check for verdict in report.verdicts if verdict.backend == "file"} == {
        "FILE02",
        "FILE03",
        "FILE04",
        "FILE06",
    }
    for table in sections(report).values():
        assert not any("no such backend" in row for row in table.splitlines() if "`BartT" in row or "`BartC" in row)
    # Nothing is computed where nothing that computes is judged.
    assert not any(record.role == "candidate" and record.component == "model" for record in report.subjects)
    assert report.cost.traces_captured + report.cost.traces_cached < 20 * len(stacks)


PUBLISHED = {
    "_name_or_path": "a/b",
    "transformers_version": "4.7.0.dev0",
    "torch_dtype": "float32",
    "prefix": " ",
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "do_sample": False,
    "temperature": 1.0,
    "bad_words_ids": None,
    "return_dict": True,
    "torchscript": False,
    "pruned_heads": {},
    "use_bfloat16": False,
    "gradient_checkpointing": False,
    "task_specific_params": {"summarization": {"num_beams": 4}},
}
"""Fields that the library's older releases wrote into every config, those of a composition's halves too."""


def test_a_config_as_the_library_wrote_them_fails_nowhere(audit, tmp_path):
    for name, halves in (("bart-tiny", ()), ("bert2bert", ("encoder", "decoder"))):
        shutil.copytree(fixture(name), tmp_path / name)
        raw = json.loads((tmp_path / name / "config.json").read_text(encoding="utf-8"))
        raw |= PUBLISHED if not halves else {half: {**raw[half], **PUBLISHED} for half in halves}
        (tmp_path / name / "config.json").write_text(json.dumps(raw), encoding="utf-8")
    stacks = [
        word for name in ("main", "docs-4.37", "current") if name == "main" or find(name) for word in ("--stack", name)
    ]
    options = ("--backend", "hf-config", "--check", "config", *stacks)
    code, report = audit([tmp_path / "bart-tiny", tmp_path / "bert2bert"], *options)
    assert code == 0 and report.totals.fail == report.totals.error == 0
    known = [verdict for verdict in report.verdicts if verdict.status == "known"]
    assert {verdict.stack for verdict in known if verdict.check != "CONF06"} <= {"current"}
    across = {verdict.evidence["known_issue"] for verdict in known if verdict.check == "CONF06"}
    assert across <= {"hf-config-saved-by-later-versions"}


def exchanged(place: Path) -> None:
    data = json.loads((place / "tokenizer.json").read_text(encoding="utf-8"))
    ids = data["model"]["vocab"]
    ids["te"], ids["he"] = ids["he"], ids["te"]
    (place / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")


def cut(name: str):
    def change(place: Path) -> None:
        text = (place / name).read_text(encoding="utf-8")
        (place / name).write_text(text[: len(text) // 3], encoding="utf-8")

    return change


def without(*names: str):
    def change(place: Path) -> None:
        for name in names:
            (place / name).unlink()

    return change


def stated(**fields):
    def change(place: Path) -> None:
        raw = json.loads((place / "config.json").read_text(encoding="utf-8"))
        (place / "config.json").write_text(json.dumps({**raw, **fields}), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "check", "named"),
    [
        (exchanged, "FILE03", "in tokenizer.json"),
        (cut("merges.txt"), "FILE02", "merges.txt: line "),
        (cut("vocab.json"), "FILE02", "vocab.json: not JSON"),
        (without("vocab.json", "tokenizer.json"), "FILE02", "vocab.json: no such file"),
        (without("merges.txt", "tokenizer.json"), "FILE02", "merges.txt: no such file"),
        (lambda place: (place / "tokenizer.json").write_text("{}"), "FILE03", "tokenizer.json: has no vocabulary"),
        (stated(classifier_dropout="much"), "FILE04", "config.json: classifier_dropout is 'much'"),
        (stated(pad_token_id=3), "FILE02", "pad_token_id is 3"),
    ],
)
def test_a_file_that_is_wrong_is_named(audit, tmp_path, change, check, named):
    place = tmp_path / "wrong"
    shutil.copytree(fixture("bart-tiny"), place)
    change(place)
    code, report = audit([place], "--backend", "hf-config", "--check", "config", "--check", "tokenizer")
    (verdict,) = (verdict for verdict in report.verdicts if verdict.check == check)
    assert code == 1 and verdict.status == "fail" and named in verdict.reason
    assert report.totals.error == 0
