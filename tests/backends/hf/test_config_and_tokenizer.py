"""The library's config and tokenizer classes as installed: what they answer, and what they cannot be asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from parity.backends.capabilities import capabilities
from parity.backends.hf.common import plain
from parity.backends.registry import get_backend
from parity.capture.worker.operations import perform
from parity.capture.worker.session import Clock, Session
from parity.cases.files import file_cases
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.backends import BACKENDS
from parity.core.resources import fixture
from parity.core.subject import Variant

transformers = pytest.importorskip("transformers", reason="asks the installed library's classes")

READERS = [name for name, entry in BACKENDS.items() if entry.component != "model"]
VERSIONS = {"transformers": transformers.__version__}


def facts_of(backend: str, directory: Path) -> dict:
    """The facts that a backend gives for its own case."""
    found = inspect_checkpoint(directory)
    (case,) = (
        case for case in file_cases(found.model_spec, directory) if case.component == BACKENDS[backend].component
    )
    asker = get_backend(backend)
    asker.setup(threads=1, device="cpu", cache=directory)
    model = asker.load(directory, Variant(), device="cpu", dtype="float32", model_class=found.model_class)
    return perform(case, Session(lambda: model, lambda: model, Variant(), Clock())).facts


@pytest.mark.parametrize("backend", READERS)
def test_a_reader_loads_the_class_it_is_listed_under(backend: str) -> None:
    facts = facts_of(backend, fixture("bart-tiny"))
    kind = getattr(transformers, BACKENDS[backend].class_for("BartForConditionalGeneration"))
    assert facts["class"] == kind.__name__
    assert json.loads(json.dumps(facts)) == facts, "a trace's facts are JSON"


def test_a_composition_s_halves_are_read_with_every_field() -> None:
    facts = facts_of("hf-config", fixture("bert2gpt2"))
    raw = json.loads((fixture("bert2gpt2") / "config.json").read_text(encoding="utf-8"))
    for way in ("read", "saved", "json"):
        for half in ("encoder", "decoder"):
            assert set(facts[way][half]) == set(raw[half])
    assert set(facts["joined"]) == {"encoder", "decoder"}


def test_what_every_save_writes_anew_is_no_field_and_a_dtype_is_its_name(tmp_path: Path) -> None:
    directory = tmp_path / "published"
    shutil.copytree(fixture("bart-tiny"), directory)
    raw = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    notes = {"_name_or_path": "a/b", "transformers_version": "4.7.0.dev0", "torch_dtype": "float32", "prefix": " "}
    (directory / "config.json").write_text(json.dumps({**raw, **notes}), encoding="utf-8")
    facts = facts_of("hf-config", directory)
    assert not {"_name_or_path", "transformers_version"} & set(facts["read"]["own"])
    assert {facts[way]["own"]["torch_dtype"] for way in ("read", "saved", "json")} == {"float32"}
    assert facts["read"]["own"]["prefix"] == " "


def test_values_are_those_of_json() -> None:
    torch = pytest.importorskip("torch", reason="spells a dtype")
    assert plain({1: torch.bfloat16, "b": (1, None)}) == {"1": "bfloat16", "b": [1, None]}


def test_offsets_are_lacking_where_the_class_raises() -> None:
    for backend in ("hf-tokenizer", "hf-tokenizer-fast"):
        kind = getattr(transformers, BACKENDS[backend].class_for("BartModel")).from_pretrained(fixture("bart-tiny"))
        if "offsets" in capabilities(backend, "eager", VERSIONS)[0]:
            assert kind("a b", return_offsets_mapping=True)["offset_mapping"]
        else:
            with pytest.raises(NotImplementedError, match="return_offset"):
                kind("a b", return_offsets_mapping=True)


@pytest.mark.parametrize("backend", READERS)
def test_what_the_library_raises_goes_through_unchanged(backend: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    asker = get_backend(backend)
    asker.setup(threads=1, device="cpu", cache=tmp_path)
    with pytest.raises((OSError, TypeError)) as raised:
        asker.load(tmp_path, Variant(), device="cpu", dtype="float32", model_class="BartModel")
    assert "transformers" in str(raised.traceback[-1].path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda directory: [(directory / name).unlink() for name in ("vocab.json", "merges.txt", "tokenizer.json")],
            "no vocab.json and no",
        ),
        (lambda directory: [(directory / name).unlink() for name in ("vocab.json", "merges.txt")], ""),
        (
            lambda directory: (directory / "tokenizer_config.json").write_text(
                '{"tokenizer_class": "BertTokenizerFast"}'
            ),
            "tokenizers of type BertTokenizerFast are not supported here",
        ),
        (lambda directory: (directory / "vocab.json").unlink(), ""),
        (lambda directory: (directory / "tokenizer_config.json").write_text("{"), ""),
        (lambda directory: (directory / "tokenizer_config.json").unlink(), ""),
    ],
)
def test_another_tokenizer_is_not_asked_about_and_half_a_one_is(change, why: str, tmp_path: Path) -> None:
    directory = tmp_path / "changed"
    shutil.copytree(fixture("bart-tiny"), directory)
    change(directory)
    cases = file_cases(inspect_checkpoint(fixture("bart-tiny")).model_spec, directory)
    (case,) = (each for each in cases if each.operation == "tokenize")
    assert why in case.notes["lacking"].get("tokenizer_files", "") and bool(case.notes["lacking"]) == bool(why)


def test_the_file_says_where_its_two_forms_differ(tmp_path: Path) -> None:
    directory = tmp_path / "swapped"
    shutil.copytree(fixture("bart-tiny"), directory)
    data = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary, merges = data["model"]["vocab"], data["model"]["merges"]
    vocabulary["te"], vocabulary["he"] = vocabulary["he"], vocabulary["te"]
    merges[3], merges[4] = merges[4], merges[3]
    (directory / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    found = serialised_facts(directory)
    assert {token for token, _, _ in found["tokens"]} == {"te", "he"} and found["merge"][0] == 3
    assert serialised_facts(fixture("bart-tiny")) == {"tokens": [], "merge": None}


@pytest.mark.parametrize("content", ['{"model": {"vocab": [], "merges": []}}', '{"model": {"vocab": {}}}'])
def test_a_serialised_tokenizer_without_a_token_lacks_all_of_them(content: str, tmp_path: Path) -> None:
    directory = tmp_path / "other"
    shutil.copytree(fixture("bart-tiny"), directory)
    vocabulary = json.loads((directory / "vocab.json").read_text(encoding="utf-8"))
    (directory / "tokenizer.json").write_text(content, encoding="utf-8")
    found = serialised_facts(directory)["tokens"]
    assert {token for token, there, _ in found if there is None} >= set(vocabulary)


@pytest.mark.parametrize("content", ["{}", "[]"])
def test_a_serialised_tokenizer_of_another_kind_is_named(content: str, tmp_path: Path) -> None:
    from reference.errors import CheckpointError

    directory = tmp_path / "other"
    shutil.copytree(fixture("bart-tiny"), directory)
    (directory / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: has no vocabulary with merges"):
        serialised_facts(directory)


def serialised_facts(directory: Path) -> dict:
    from parity.backends.reference import files

    return files.tokenize(directory, ["hello"], [])["serialised"]
