"""The list of known issues: each entry names its cause as a condition on the files, and the baseline bears out what it
says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.records import CheckpointRecord, FileFacts, WeightFacts
from parity.core.resources import fixture
from parity.judge.known_issues import Entry, entries, weights_read
from parity.tools.gate.baseline import read_baseline
from parity.tools.gate.unseen_issues import never_met, subject_of, unshown
from reference.weights import FORMATS
from tests.sample_reports import subject

BASELINE = Path(__file__).parents[2] / "reports" / "baseline.json"
ENCODER, DECODER = "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"
SHOWN_ELSEWHERE = {
    "ctranslate2-beams": "an engine is run only if it is named",
    "ctranslate2-untied-tables-random": "an engine is run only if it is named",
    "ctranslate2-decoder-heads": "an engine is run only if it is named",
    "hf-torch-compiled-sdpa-head-masks": "a variant of hf-torch is run only if it is named",
    "hf-torch-compiled-without-a-target-mask": "a variant of hf-torch is run only if it is named",
    "hf-torch-export-without-a-target-mask": "a variant of hf-torch is run only if it is named",
    "hf-torch-untied-tables-apart": "the untied fixture's file holds the table once",
    "hf-torch-no-file-of-its-own": "every fixture has a file of PyTorch's",
    "hf-torch-from-flax-meta-loaded": "every fixture has a file of PyTorch's",
    "hf-tf-and-flax-no-file-of-their-own": "every fixture has a file of PyTorch's",
    "hf-flax-tf-safetensors-random-loaded": "every fixture has a file of PyTorch's",
    "hf-tf-flax-safetensors-random-loaded": "every fixture has a file of PyTorch's",
    "hf-torch-from-tf-drops-logits-bias-loaded": "every fixture has a file of PyTorch's",
    "hf-torch-from-flax-bare-model-random": "every fixture has a file of PyTorch's",
    "hf-flax-sharded-safetensors-loaded": "every fixture is one file",
    "hf-tf-sharded-safetensors-loaded": "every fixture is one file",
    "hf-torch-whole-of-an-untied-causal-model-random": "the decoder alone of the fixtures is tied",
    "hf-tf-and-flax-bfloat16-in-a-bin": "every fixture has a safetensors file, in float32",
    "hf-torch-5-untied-bert-biases-apart": "no fixture is an untied BERT",
    "hf-torch-5-untied-bert-loses-its-bias": "no fixture is an untied BERT",
    "hf-torch-5-untied-bert-loses-its-bias-numbers": "no fixture is an untied BERT",
    "hf-torch-5-untied-bert-loses-its-bias-plain": "no fixture is an untied BERT",
    "hf-flax-speech-made-of-1024-samples": "the decoders of the fixtures have positions enough",
    "hf-torch-from-tf-needs-its-class": "every fixture has a file of PyTorch's",
    "hf-torch-from-tf-new-head-unsaid": "every fixture has a file of PyTorch's",
    "hf-torch-joined-model-says-training-loaded": "every fixture has a file of PyTorch's",
    "hf-torch-5-foreign-safetensors-random-loaded": "every fixture has a file of PyTorch's",
    "hf-torch-5-foreign-safetensors-random-numbers": "every fixture has a file of PyTorch's",
    "hf-torch-default-length-is-21-text": "no fixture's beams end at the default length",
    "hf-torch-default-length-is-21-text-unless-given": "no fixture's beams end at the default length",
    "hf-torch-beams-fill-with-the-end-where-padding-is-0": "no fixture that pads with 0 ends a row of beams early",
    "hf-torch-settings-without-beams-forbid-saving": "the settings of the fixtures have effects",
    "hf-config-settings-without-beams-forbid-saving": "the settings of the fixtures have effects",
    "hf-config-wins-over-generation-config": "no fixture says _from_model_config",
    "hf-config-wins-over-generation-config-text": "no fixture says _from_model_config",
    "hf-tf-classifier-wants-end-2": "the classifier of the fixtures ends with token 2",
    "hf-tf-classifier-labels-switch-the-cache-off": "hf-labels-switch-the-cache-off speaks of it first",
    "hf-flax-composition-encode-token-types-roberta-rows": "the RoBERTa of the fixtures has one type of token",
    "hf-torch-plain-load-keeps-dtype": "every fixture is stored in float32, and none states another dtype",
    "hf-torch-from-flax-meta-saved": "every fixture has a file of PyTorch's",
    "hf-torch-from-flax-meta-saved-bin": "every fixture has a file of PyTorch's",
    "hf-torch-from-flax-meta-loaded-again": "every fixture has a file of PyTorch's",
    "hf-torch-from-tf-drops-logits-bias-numbers": "every fixture has a file of PyTorch's",
    "hf-torch-dtype-before-torch-dtype": "no fixture states a dtype",
    "hf-torch-5-untied-bert-has-two-biases-gradients": "every BERT of the fixtures is tied",
    "hf-torch-5-untied-bert-loses-its-bias-saved": "every BERT of the fixtures is tied",
    "hf-torch-untied-bert-saved-with-two-biases": "every BERT of the fixtures is tied",
    "hf-tf-untied-bert-head-ignored": "every BERT of the fixtures is tied",
    "hf-tf-untied-bert-head-ignored-text": "every BERT of the fixtures is tied",
    "hf-torch-stop-strings-raise": "the case is of --cases exhaustive",
    "hf-tf-generate-without-cross-attentions": "the case is of --cases exhaustive",
    "hf-torch-beams-end-with-the-first-end": "the case is of --cases exhaustive",
    "hf-flax-several-ends-raise": "the cases are of --cases exhaustive",
    "hf-tf-several-ends-raise": "the fixtures have one end token; tests/end_to_end/test_several_ends.py",
    "hf-flax-bart-of-several-ends-raises": "the fixtures have one end token; tests/end_to_end/test_several_ends.py",
    "hf-tf-classifier-of-several-ends-raises": "the fixtures have one end token",
    "hf-torch-encoder-penalty-of-first-rows": "the case is of --cases exhaustive",
    "hf-torch-encoder-penalty-of-first-rows-4-37": "the case is of --cases exhaustive",
    "hf-torch-decay-of-a-forbidden-end": "the cases are of --cases exhaustive",
    "hf-tf-ignores-generation-settings": "the cases are of --cases exhaustive",
    "hf-flax-ignores-generation-settings": "the cases are of --cases exhaustive",
    "hf-classifier-refuses-embeddings": "the case is of --cases exhaustive",
    "hf-tf-composition-refuses-encoder-tuple": "the case is of --cases exhaustive",
    "hf-flax-classifier-vmap-raises": "the case is of --cases exhaustive",
    "hf-torch-assisted-gpt2-raises": "the case is of --cases exhaustive",
    "hf-ignored-sampling-settings": "the cases are of --cases exhaustive",
    "hf-flax-no-attention-dropout": "the case is of --cases exhaustive",
    "hf-flax-layer-drop-raises": "the case is of --cases exhaustive",
    "hf-flax-layer-drop-loses-the-state": "the case is of --cases exhaustive",
    "hf-min-new-tokens-ignored": "the cases are of --cases exhaustive",
    "keras-hub-inexpressible": "engines are not in the baseline; tests/keras_hub",
    "hf-config-two-labels-become-three": "the classifier of the fixtures has labels of its own names",
}
"""Entries that no fixture shows, and why; ``reports/divergences`` has a script for each cause."""


def record_of(path: Path, model_class: str | None = None) -> CheckpointRecord:
    """A checkpoint as a manifest has it."""
    found = inspect_checkpoint(path, model_class)
    return CheckpointRecord(
        name=found.name,
        path=str(path),
        digest=found.digest,
        config=found.config,
        documented_class=found.model_class,
        file_facts=found.facts,
    )


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.id)
def test_an_entry_has_a_condition_on_the_files_or_says_why_it_needs_none(entry):
    assert entry.conditional != bool(entry.always), "conditions, or `always` with a reason; not both and not neither"


@pytest.fixture(scope="module")
def kept():
    baseline = read_baseline(BASELINE)
    return baseline, {name: record_of(fixture(name)) for name in baseline.checkpoints}


def test_the_baseline_shows_what_each_entry_says(kept):
    baseline, records = kept
    assert [(entry.id, cell) for entry, cell in unshown(baseline, entries(), records)] == []


def test_an_entry_that_is_wider_than_its_cause_is_found(kept):
    baseline, records = kept
    (untied,) = (entry for entry in entries() if entry.id == "hf-torch-untied-tables-random")
    wide = untied.model_copy(update={"config": {}})
    assert any(cell.checkpoint == "bart-odd" for _, cell in unshown(baseline, (wide,), records))


def test_no_entry_is_narrower_than_what_it_explains(kept):
    baseline, records = kept
    by_id = {entry.id: entry for entry in entries()}
    environments = baseline.runs[-1].environments
    for cell, row in baseline.rows():
        if row.entry:
            record, who = records[cell.checkpoint], subject_of(cell, records[cell.checkpoint])
            versions = environments[who.stack]
            assert by_id[row.entry].covers(cell.check, cell.case, who, record, versions), (row.entry, cell)


def test_entries_that_no_fixture_shows_are_named(kept):
    assert set(never_met(kept[0], entries())) == set(SHOWN_ELSEWHERE)


FILES = {known.name: known.file for known in FORMATS}


def facts(*formats: tuple[str, str], **fields) -> FileFacts:
    files = [FILES[name] for name, _ in formats]
    return FileFacts(
        files=files, weights=[WeightFacts(format=name, framework=kind) for name, kind in formats], **fields
    )


@pytest.mark.parametrize(
    ("formats", "read"),
    [
        ([("safetensors", "pt")], {"hf-torch": "safetensors", "hf-tf": "safetensors", "hf-flax": "safetensors"}),
        ([("safetensors", "pt"), ("bin", "pt")], {"hf-torch": "safetensors", "hf-tf": "bin", "hf-flax": "safetensors"}),
        ([("bin", "pt"), ("h5", "tf")], {"hf-torch": "bin", "hf-tf": "h5", "hf-flax": "bin"}),
        ([("bin", "pt"), ("msgpack", "flax")], {"hf-torch": "bin", "hf-tf": "bin", "hf-flax": "msgpack"}),
        ([("safetensors", "flax"), ("msgpack", "flax")], {"hf-torch": "safetensors", "hf-flax": "msgpack"}),
        ([("safetensors", "tf")], {"hf-torch": "safetensors", "hf-tf": "safetensors"}),
        ([("h5", "tf")], {"hf-torch": "h5", "hf-tf": "h5"}),
    ],
)
def test_which_file_a_library_reads(formats, read):
    assert {backend: weights_read(facts(*formats), backend).format for backend in read} == read


def conditional(**fields) -> Entry:
    usual = {
        "id": "x",
        "severity": "low",
        "backends": ["hf-torch"],
        "versions": {"transformers": "==5.23.0"},
        "checks": ["NUM01"],
        "cause": "c",
        "upstream": "u",
        "effect": "e",
    }
    return Entry(**{**usual, **fields})


def saved(tmp_path: Path, *tables: str, source: str = "bart-untied") -> Path:
    """A fixture whose file holds the tokens' table under these names as well."""
    target = tmp_path / "saved"
    shutil.copytree(fixture(source), target)
    weights = load_file(target / "model.safetensors")
    weights |= {name: weights["model.shared.weight"].copy() for name in tables}
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.mark.parametrize(("tables", "random"), [((), True), ((ENCODER,), True), ((ENCODER, DECODER), False)])
def test_tables_are_random_only_where_the_file_lacks_one(tmp_path, tables, random):
    record = record_of(saved(tmp_path, *tables))
    untied = [entry for entry in entries() if "untied-tables" in entry.id and entry.lacks]
    for entry in untied:
        who = subject(entry.backends[0])
        case = entry.cases[0].replace("*", "x") if entry.cases else "load"
        assert entry.applies(entry.checks[0], case, who, record) == random, entry.id
    (apart,) = (entry for entry in entries() if entry.id == "hf-torch-untied-tables-apart")
    assert apart.applies("LOAD04", "load", subject(), record) != random, "there they are apart, and right"


def test_a_bin_file_under_all_names_is_no_cause_for_a_decoder_alone(tmp_path):
    (entry,) = (entry for entry in entries() if entry.id == "hf-torch-causal-of-a-whole-model-random")
    for tables, random in (((), True), ((ENCODER, DECODER), False)):
        record = record_of(saved(tmp_path / str(len(tables)), *tables, source="bart-odd"))
        assert entry.applies("LOAD05", "load-as.BartForCausalLM", subject(), record) == random


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"files": ["generation_config.json"]}, True),
        ({"files": ["vocab.json"]}, False),
        ({"formats": ["safetensors"]}, True),
        ({"formats": ["bin", "h5"]}, False),
        ({"converted": False}, True),
        ({"converted": True}, False),
        ({"written_by": ["pt"]}, True),
        ({"written_by": ["tf", "flax"]}, False),
        ({"holds": ["model.shared.weight"]}, True),
        ({"holds": ["model.shared.weight", ENCODER]}, False),
        ({"lacks": [ENCODER, "model.shared.weight"]}, True),
        ({"lacks": ["model.shared.weight"]}, False),
        ({"lacks": ["no.name.of.this.class"]}, False),
        ({"holds": ["no.name.of.this.class"]}, False),
        ({"generation": {"max_length": 28, "num_beams": [1, 4]}}, True),
        ({"generation": {"max_length": 20}}, False),
        ({"config": {"d_model": [8, 24]}}, True),
        ({"config": {"d_model": [8, 16]}}, False),
        ({"says_tensors": True, "tensors": ["num_*"]}, True),
        ({"says_tensors": True, "tensors": ["absent"]}, False),
    ],
)
def test_a_condition_on_the_files(condition, holds):
    record, entry = record_of(fixture("bart-odd")), conditional(**condition)
    assert entry.conditional and entry.applies("NUM01", "forward", subject(), record) == holds
    if not set(condition) <= {"config"}:
        unknown = record.model_copy(update={"file_facts": None})
        assert not entry.applies("NUM01", "forward", subject(), unknown), "of unknown files nothing is known"


def test_a_conversion_is_one_for_the_backend_that_makes_it():
    record, entry = record_of(fixture("bart-odd")), conditional(backends=["hf-torch", "hf-tf"], converted=True)
    assert [entry.applies("NUM01", "load", subject(name), record) for name in entry.backends] == [False, True]


def test_facts_are_those_of_every_format_and_shard(tmp_path):
    target = saved(tmp_path, source="bart-odd")
    weights = load_file(target / "model.safetensors")
    (target / "model.safetensors").unlink()
    names, half = sorted(weights), len(weights) // 2
    shards = {"model-1.safetensors": names[:half], "model-2.safetensors": names[half:]}
    for file, inside in shards.items():
        halved = {name: weights[name].astype(np.float16) for name in inside}
        save_file(halved, target / file, metadata={"format": "pt"})
    index = {name: file for file, inside in shards.items() for name in inside}
    (target / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (found,) = record_of(target).file_facts.weights
    assert (found.format, found.shards, found.dtypes) == ("safetensors", 2, ["float16"])
    assert set(found.lacks) == {ENCODER, DECODER, "lm_head.weight"} and set(found.holds) == set(names)
