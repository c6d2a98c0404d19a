"""Input files: what is read, and that each fault is named with its file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parity.cases.inputs import InputsFileError, read_inputs, tokenizer
from parity.checkpoint import tokenizer_process
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.model_spec import model_spec_of
from parity.core.resources import fixture

CONFIG = {"model_type": "bart", "vocab_size": 20, "max_position_embeddings": 6, "bos_token_id": 0, "eos_token_id": 2}
ALPHABET = {"<s>": 0, "<pad>": 1, "</s>": 2, "<mask>": 3, "a": 4, "b": 5, "ab": 6, "Ġ": 7}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A directory with a tokenizer of eight words, in BART's own two files."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(ALPHABET))
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    return folder


@pytest.fixture
def read(tmp_path: Path, checkpoint: Path):
    def read(*lines: str):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return read_inputs(path, checkpoint, model_spec_of(CONFIG))

    return read


def test_ids_are_taken_as_they_are_and_blank_lines_are_no_rows(read):
    rows = read('{"input_ids": [0, 4, 2]}', "", '{"input_ids": [19], "labels": [5, -100, 2]}')
    assert rows == [{"input_ids": [0, 4, 2]}, {"input_ids": [19], "labels": [5, -100, 2]}]


def test_texts_are_encoded_by_the_checkpoint_s_bpe_between_bos_and_eos(read):
    rows = read('{"text": "abb a", "target": "b"}', '{"text": "a<mask>"}')
    assert rows == [{"input_ids": [0, 6, 5, 7, 4, 2], "labels": [0, 5, 2]}, {"input_ids": [0, 4, 3, 2]}]


def test_a_tokenizer_json_comes_first(read, checkpoint):
    from tokenizers import Tokenizer, models, pre_tokenizers

    whole = Tokenizer(models.WordLevel({"hello": 9, "you": 8, "?": 7}, unk_token="?"))
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    whole.enable_padding(length=4, pad_id=5)
    whole.enable_truncation(max_length=1)
    whole.save(str(checkpoint / "tokenizer.json"))
    assert read('{"text": "hello you"}') == [{"input_ids": [9, 8]}]


def test_a_pair_has_two_ends_between_its_texts(checkpoint):
    assert tokenizer(checkpoint, CONFIG)("ab", "b") == [0, 6, 2, 2, 5, 2]


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('{"input_ids": [1, }', "invalid JSON at column 19"),
        ("[1, 2]", "a row must be a JSON object, not list"),
        ("{}", "a row must have text and target, or input_ids and labels"),
        ('{"input_ids": [1], "text": "a"}', "a row must have text and target, or input_ids and labels"),
        ('{"input_ids": [1], "label": [2]}', "unknown key 'label'"),
        ('{"labels": [1]}', "'labels' without 'input_ids'"),
        ('{"target": "a"}', "'target' without 'text'"),
        ('{"input_ids": []}', "input_ids is empty"),
        ('{"text": ""}', "text is empty"),
        ('{"text": 3}', "text must be a string, not int"),
        ('{"input_ids": "1 2"}', "input_ids must be a list of integers"),
        ('{"input_ids": [1.0]}', "input_ids must be a list of integers"),
        ('{"input_ids": [true]}', "input_ids must be a list of integers"),
        ('{"input_ids": [20]}', "input_ids[0] is 20, outside the vocabulary of 20"),
        ('{"input_ids": [1, -1]}', "input_ids[1] is -1, outside the vocabulary of 20"),
        ('{"input_ids": [-100]}', "input_ids[0] is -100, outside the vocabulary of 20"),
        ('{"input_ids": [1], "labels": [-1]}', "labels[0] is -1, outside the vocabulary of 20"),
        ('{"input_ids": [1, 1, 1, 1, 1, 1, 1]}', "input_ids has 7 ids, but the checkpoint has 6 positions"),
        ('{"text": "a a a"}', "input_ids has 7 ids, but the checkpoint has 6 positions"),
    ],
)
def test_a_fault_is_named_with_its_line(read, line, cause):
    with pytest.raises(InputsFileError, match=r"rows\.jsonl:2: ") as raised:
        read('{"input_ids": [1]}', line)
    assert cause in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_without_a_row_is_refused(read):
    with pytest.raises(InputsFileError, match="has no rows"):
        read("")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, checkpoint, content):
    path = tmp_path / "rows.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputsFileError, match=r"rows\.jsonl: cannot be read: "):
        read_inputs(path, checkpoint, model_spec_of(CONFIG))


def test_texts_without_tokenizer_files_are_refused(read, checkpoint):
    (checkpoint / "merges.txt").unlink()
    with pytest.raises(
        InputsFileError, match=r"rows\.jsonl:1: texts need .*tokenizer\.json, or vocab\.json and merges\.txt"
    ):
        read('{"text": "a"}')


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json"])
def test_broken_tokenizer_files_are_named(read, checkpoint, name):
    (checkpoint / name).write_text("{")
    with pytest.raises(InputsFileError, match=rf"rows\.jsonl:1: .*{name}: cannot be read"):
        read('{"text": "a"}')


def test_without_the_tokenizers_library_texts_say_what_to_install(read, monkeypatch, tmp_path):
    # It is read in a process of its own, which finds this in its place.
    (tmp_path / "tokenizers.py").write_text("raise ImportError('none here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputsFileError, match="pip install tokenizers"):
        read('{"text": "a"}')
    assert read('{"input_ids": [3]}') == [{"input_ids": [3]}]


def test_texts_are_not_read_for_a_model_that_hears(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"input_ids": [3]}', encoding="utf-8")
    speech = inspect_checkpoint(fixture("wav2vec2-bert"))
    with pytest.raises(InputsFileError, match="reads audio"):
        read_inputs(path, speech.path, speech.model_spec)


def test_ids_are_held_against_the_vocabulary_of_their_side(tmp_path):
    path, composed = tmp_path / "rows.jsonl", inspect_checkpoint(fixture("bert2bert"))
    source, target = composed.model_spec.source_vocab, composed.model_spec.vocab
    assert target < source
    path.write_text(json.dumps({"input_ids": [source - 1], "labels": [target - 1]}), encoding="utf-8")
    assert read_inputs(path, composed.path, composed.model_spec) == [
        {"input_ids": [source - 1], "labels": [target - 1]}
    ]
    path.write_text(json.dumps({"input_ids": [3], "labels": [source - 1]}), encoding="utf-8")
    with pytest.raises(InputsFileError, match="outside the vocabulary"):
        read_inputs(path, composed.path, composed.model_spec)


def test_a_tokenizer_that_never_answers_or_ends_its_process_is_one_line(tmp_path, monkeypatch):
    """``tokenizer.json`` is read by a library that may panic or search for ever; a stand-in of it does both here."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(tokenizer_process, "SECONDS", 2)
    (tmp_path / "tokenizer.json").write_text("{}")
    for does, cause in (
        ("import os; os.abort()", "the library that reads it ended"),
        ("raise BaseException('panicked\\nat line 1')", "cannot be read: panicked"),
        ("import time; time.sleep(60)", "gives no answer in 2 seconds"),
    ):
        (tmp_path / "tokenizers.py").write_text(f"class Tokenizer:\n    def from_file(file):\n        {does}\n")
        with pytest.raises(InputsFileError) as error:
            tokenizer(tmp_path, {})
        assert str(error.value).startswith(f"{tmp_path / 'tokenizer.json'}: ") and cause in str(error.value)
