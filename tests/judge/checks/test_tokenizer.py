"""What can be judged of a tokenizer from ``tokenizer.json`` or ``vocab.txt`` alone: ids, special tokens, lengths."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parity.backends.capabilities import capabilities
from parity.backends.reference import files
from parity.backends.registry import get_backend
from parity.capture.worker.exceptions import raised
from parity.capture.worker.operations import perform
from parity.capture.worker.session import Clock, Session
from parity.cases.files import file_cases
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.case import Case
from parity.core.records import Report, SubjectRecord
from parity.core.resources import fixture
from parity.core.subject import Variant
from parity.core.trace import Trace
from parity.judge.judge import judge
from reference.errors import CheckpointError
from tests.judge.sample_runs import cells, write_facts

Change = Callable[[dict[str, Any]], Any]
ROLES = ("bos_token", "eos_token", "sep_token", "cls_token", "unk_token", "pad_token", "mask_token")


def edited(path: Path, change: Change) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def copied(name: str, folder: Path) -> Path:
    shutil.copytree(fixture(name), folder / "checkpoint")
    return folder / "checkpoint"


def as_saved_by_5(folder: Path) -> Path:
    """A BART whose tokenizer is ``tokenizer.json`` and ``tokenizer_config.json`` alone."""
    place = copied("bart-tiny", folder)
    roles = json.loads((place / "special_tokens_map.json").read_text(encoding="utf-8"))
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json"):
        (place / name).unlink()
    named = {role: value["content"] if isinstance(value, dict) else value for role, value in roles.items()}
    edited(place / "tokenizer_config.json", lambda data: data.update(named, tokenizer_class="TokenizersBackend"))

    def pairs(data: dict[str, Any]) -> None:
        merges = data["model"]["merges"]
        data["model"]["merges"] = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]

    edited(place / "tokenizer.json", pairs)
    return place


def word_pieces(place: Path, count: int = 20, **roles: str) -> Path:
    """A BERT's tokenizer as 5.x saves it, of ``count`` tokens, the special ones in front."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    ids = {token: number for number, token in enumerate([*special, *(f"w{n}" for n in range(count - len(special)))])}
    frame = {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in ("[CLS]", "[SEP]")}
    added = [{"id": ids[token], "content": token, "special": True} for token in special]
    data = {
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "special_tokens": frame},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": ids},
    }
    (place / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", **roles}
    (place / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **named}))
    return place


def unigram(place: Path, count: int) -> Path:
    pieces = [[token, 0.0] for token in ("<s>", "<pad>", "</s>", "<unk>", *(f"▁{n}" for n in range(count - 4)))]
    data = {
        "added_tokens": [],
        "pre_tokenizer": {"type": "Metaspace"},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces},
    }
    (place / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    return place


def judged(place: Path) -> Report:
    """The claims about the files themselves."""
    checkpoint = inspect_checkpoint(place)
    kinds = ("tokenize", "tokenizer_files")
    cases = [case for case in file_cases(checkpoint.model_spec, place) if case.operation in kinds]
    backend = get_backend("file")
    model = backend.load(place, Variant(), device="cpu", dtype="float32", model_class=checkpoint.model_class)
    session = Session(lambda: model, lambda: model, Variant(), Clock())
    can, lacking = capabilities("file", "eager", {})
    answers = {(1, case.name): answered(case, session) for case in cases if {*case.requires} <= {*can}}
    kind = {"documented_class": checkpoint.model_class, "families": list(checkpoint.model_spec.model_types)}
    subjects = [
        SubjectRecord(
            backend=name,
            variant="eager",
            stack="main",
            device="cpu",
            dtype="float32",
            role=role,
            label=name,
            component=component,
            model_class=name,
            capabilities=can,
            lacking=lacking,
            environment="main",
            **kind,
        )
        for name, role, component in (
            ("reference-torch", "oracle", "model"),
            ("file", "file", "model"),
            ("hf-tokenizer", "candidate", "tokenizer"),
        )
    ]
    folder = place.parent / "run"
    folder.mkdir()
    write_facts(folder, checkpoint, subjects, cases, answers)
    return judge(folder, checks=["tokenizer"])


def answered(case: Case, session: Session) -> Trace:
    try:
        return perform(case, session)
    except CheckpointError as error:
        return Trace(raised=raised(error, "call"))


def statuses(place: Path, *checks: str) -> list[str]:
    report = judged(place)
    return [verdict.status for check in checks for verdict in cells(report, check)]


def reason(place: Path, check: str = "FILE02") -> str:
    (verdict,) = cells(judged(place), check, "fail")
    return verdict.reason


def test_a_tokenizer_as_5_saves_it_is_read_as_one_of_vocabulary_and_merges(tmp_path):
    place = as_saved_by_5(tmp_path)
    (case,) = (case for case in file_cases(inspect_checkpoint(place).model_spec, place) if case.operation == "tokenize")
    assert case.requires == ("tokenize", "serialised_tokenizer", "paired_merges") and not case.notes["lacking"]
    told = [
        files.tokenize(each, case.settings["texts"], case.settings["pairs"]) for each in (place, fixture("bart-tiny"))
    ]
    assert {**told[0], "serialised": None} == {**told[1], "serialised": None}
    assert statuses(place, "FILE02", "FILE03") == ["pass"]


def test_who_can_read_it_is_declared():
    lacking = capabilities("hf-tokenizer", "eager", {"transformers": "4.57.6"})[1]
    assert "not tokenizer.json" in lacking["serialised_tokenizer"]
    for name, version in (("hf-tokenizer", "5.23.0"), ("hf-tokenizer-fast", "4.37.2"), ("file", "")):
        assert "serialised_tokenizer" in capabilities(name, "eager", {"transformers": version} if version else {})[0]


def test_pairs_of_merges_are_no_question_to_a_reader_of_texts():
    for version, reads in (("0.15.2", False), ("0.22.2", True)):
        versions = {"transformers": "4.57.6", "tokenizers": version}
        assert ("paired_merges" in capabilities("hf-tokenizer-fast", "eager", versions)[0]) == reads


def another_model(place: Path) -> None:
    edited(place / "tokenizer.json", lambda data: data["model"]["vocab"].update({"new": 487}))


def frame_of_another(place: Path) -> None:
    edited(place / "tokenizer.json", lambda data: data["post_processor"].update(sep=["</s>", 3]))


def another_padding(place: Path) -> None:
    edited(place / "tokenizer_config.json", lambda data: data.update(pad_token="<unk>"))


def one_id_twice(place: Path) -> None:
    edited(place / "tokenizer.json", lambda data: data["model"]["vocab"].update(te=4))


def merge_of_nothing(place: Path) -> None:
    edited(place / "tokenizer.json", lambda data: data["model"]["merges"].append(["q", "qqq"]))


def added_twice(place: Path) -> None:
    tokens = {"5": {"content": "<mask>", "special": True}}
    edited(place / "tokenizer_config.json", lambda data: data.update(added_tokens_decoder=tokens))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (another_model, "token 487 has no row in an embedding of 487"),
        (frame_of_another, "'</s>' is added around a text with id 3, but its id is 2"),
        (another_padding, "pad_token_id is 1, but the tokenizer's pad_token is 3"),
        (one_id_twice, "have the same id 4"),
        (merge_of_nothing, "unknown token 'qqq'"),
        (added_twice, "'<mask>' has "),
    ],
)
def test_what_is_wrong_with_it_alone_is_found(tmp_path, change, words):
    place = as_saved_by_5(tmp_path)
    change(place)
    assert words in reason(place)


def test_half_of_the_two_files_is_named_unless_tokenizer_json_says_the_rest(tmp_path):
    place = copied("bart-tiny", tmp_path)
    (place / "merges.txt").unlink()
    assert statuses(place, "FILE02") == ["pass"]
    shutil.rmtree(place.parent / "run")
    (place / "tokenizer.json").unlink()
    assert "merges.txt" in reason(place) and "no such file" in reason_again(place)


def reason_again(place: Path) -> str:
    shutil.rmtree(place.parent / "run")
    return reason(place)


@pytest.mark.parametrize("name", ["bert2bert", "bert2gpt2"])
def test_a_composition_s_word_pieces_are_judged_by_their_ids_and_the_rest_is_skipped_by_name(tmp_path, name):
    report = judged(word_pieces(copied(name, tmp_path)))
    assert [verdict.status for verdict in cells(report, "FILE02")] == ["pass"]
    skipped = cells(report, "TOK01")
    assert [verdict.status for verdict in skipped] == ["skip"] and "its model is a WordPiece" in skipped[0].reason


def large(place: Path) -> None:
    word_pieces(place, 400)


def no_id(place: Path) -> None:
    word_pieces(place, mask_token="[MISSING]")


def other_end(place: Path) -> None:
    word_pieces(place, 59, sep_token="[CLS]")


def other_frame(place: Path) -> None:
    word_pieces(place)
    edited(place / "tokenizer.json", lambda data: data["post_processor"]["special_tokens"]["[SEP]"].update(ids=[7]))


def of_the_encoder(place: Path) -> None:
    word_pieces(place, 67, pad_token="[UNK]")
    edited(place / "config.json", lambda data: data["encoder"].update(pad_token_id=0))


def other_words(place: Path) -> None:
    word_pieces(place)
    (place / "vocab.txt").write_text("[PAD]\n[UNK]\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (large, "FILE02", "token 399 has no row in an embedding of"),
        (no_id, "FILE02", "mask_token is '[MISSING]', which has no id in any file"),
        (other_frame, "FILE02", "'[SEP]' is added around a text with id 7, but its id is 3"),
        (other_end, "FILE02", "eos_token_id is 3, but the tokenizer's sep_token is 2"),
        (of_the_encoder, "FILE02", "pad_token_id is 0, but the tokenizer's pad_token is 1"),
        (other_words, "FILE03", "'[CLS]' has id 2 in tokenizer.json and None in vocab.txt"),
    ],
)
def test_what_is_wrong_with_word_pieces_is_found(tmp_path, change, check, words):
    place = copied("bert2bert", tmp_path)
    ids = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 2}
    edited(place / "config.json", lambda data: data.update(ids))
    change(place)
    assert words in reason(place, check)


def test_a_list_of_words_alone_is_read(tmp_path):
    place = copied("bart-odd", tmp_path)
    (place / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]"] * 100), encoding="utf-8")
    assert "token 299 has no row in an embedding of" in reason(place)
    assert judged_skip(place) == "tokenizer_files: WordPiece tokenizers are not supported here"


def judged_skip(place: Path) -> str:
    shutil.rmtree(place.parent / "run")
    (skipped,) = cells(judged(place), "TOK01")
    return skipped.reason


def test_pieces_of_a_unigram_are_numbered_by_their_order(tmp_path):
    place = copied("wav2vec2-mbart", tmp_path)
    rows = json.loads((place / "config.json").read_text(encoding="utf-8"))["decoder"]["vocab_size"]
    assert statuses(unigram(place, rows), "FILE02") == ["pass"]
    shutil.rmtree(place.parent / "run")
    assert f"token {rows} has no row in an embedding of {rows} rows" in reason(unigram(place, rows + 1))


def test_a_composition_without_a_tokenizer_is_asked_nothing():
    path = fixture("bert2bert")
    assert not [case for case in file_cases(inspect_checkpoint(path).model_spec, path) if "token" in case.operation]
