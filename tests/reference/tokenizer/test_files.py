"""A tokenizer's files: which of them say what, and one line for each way in which they can be wrong."""

from __future__ import annotations

import json
import pickle
import re

import pytest

from parity.core.resources import fixture
from reference.errors import CheckpointError
from reference.tokenizer import ByteLevelTokenizer

TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "a", "b", "ab", "<mask>"]
GOOD = {
    "vocab.json": json.dumps({token: place for place, token in enumerate(TOKENS)}),
    "merges.txt": "#version: 0.2\na b\n",
}


@pytest.fixture
def written(tmp_path):
    """Writes the good files with some replaced; None leaves one out."""

    def write(changed):
        for name, text in {**GOOD, **changed}.items():
            if text is not None:
                (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


def vocabulary(**changed):
    return json.dumps(
        {token: place for token, place in {**json.loads(GOOD["vocab.json"]), **changed}.items() if place != -1}
    )


def config(**settings):
    return {"tokenizer_config.json": json.dumps(settings)}


@pytest.mark.parametrize(
    ("changed", "name", "cause"),
    [
        ({"vocab.json": None}, "vocab.json", "no such file"),
        ({"merges.txt": None}, "merges.txt", "no such file"),
        ({"vocab.json": '{"a": 1,\n}'}, "vocab.json", "not JSON: .* line 2, column 1"),
        ({"vocab.json": "[]"}, "vocab.json", "not a JSON object of tokens and ids"),
        ({"vocab.json": "{}"}, "vocab.json", "not a JSON object of tokens and ids"),
        ({"vocab.json": vocabulary(b="5")}, "vocab.json", "the id of 'b' is '5', not an integer of at least 0"),
        ({"vocab.json": vocabulary(b=True)}, "vocab.json", "the id of 'b' is True, not an integer of at least 0"),
        ({"vocab.json": vocabulary(c=-2)}, "vocab.json", "the id of 'c' is -2, not an integer of at least 0"),
        ({"vocab.json": vocabulary(b=4)}, "vocab.json", "'a' and 'b' have the same id 4"),
        ({"vocab.json": vocabulary(c=11)}, "vocab.json", "no token has the id 8: 9 tokens, the largest id is 11"),
        ({"vocab.json": vocabulary(ab=-1, c=6)}, "merges.txt", "line 2, 'a b': unknown token 'ab', not in vocab.json"),
        ({"merges.txt": "#version: 0.2\na b\nb z\n"}, "merges.txt", "line 3, 'b z': unknown token 'z', not in vocab"),
        ({"merges.txt": "a b\na b b\n"}, "merges.txt", "line 2 is not two words: 'a b b'"),
        ({"merges.txt": "a b\n\na b\n"}, "merges.txt", "line 2 is not two words: ''"),
        ({"merges.txt": "ab\n"}, "merges.txt", "line 1 is not two words: 'ab'"),
        ({"merges.txt": "a \n"}, "merges.txt", "line 1 is not two words: 'a '"),
        ({"merges.txt": "a b\na b\n"}, "merges.txt", "line 2 repeats an earlier one: 'a b'"),
        ({"merges.txt": b"a \xff\n"}, "merges.txt", "not UTF-8 text: byte 2 is 0xff"),
        ({"vocab.json": vocabulary(**{"<mask>": -1})}, "vocab.json", "unknown token '<mask>' has no id"),
        ({"tokenizer_config.json": "[1]"}, "tokenizer_config.json", "not a JSON object"),
        (config(errors="no-such"), "tokenizer_config.json", "errors is 'no-such', not an error handler"),
        (config(split_special_tokens=True), "tokenizer_config.json", "split_special_tokens is set, which is not"),
        (config(cls_token=None), "tokenizer_config.json", "cls_token is null; no text can be encoded without it"),
        (config(pad_token=5), "tokenizer_config.json", "pad_token is 5, neither a text nor an object"),
        (config(added_tokens_decoder=[]), "tokenizer_config.json", "added_tokens_decoder is not a JSON object"),
        (
            config(added_tokens_decoder={"x": {"content": "<n>"}}),
            "tokenizer_config.json",
            "the id of '<n>' is 'x', not an integer of at least 0",
        ),
        (
            config(added_tokens_decoder={"8": {"content": "<n>"}, "9": {"content": "<n>"}}),
            "tokenizer_config.json",
            "added token '<n>' has two ids, 8 and 9",
        ),
        (
            config(added_tokens_decoder={"5": {"content": "<n>"}}),
            "tokenizer_config.json",
            "'b' and '<n>' have the same id 5",
        ),
        (
            config(added_tokens_decoder={"8": {"content": "<n>", "single_word": True}}),
            "tokenizer_config.json",
            r"added_tokens_decoder\['8'\], '<n>', has single_word set, which is",
        ),
        ({"added_tokens.json": '{"a": 8}'}, "added_tokens.json", "added token 'a' has the id 8, but 4 in vocab.json"),
        ({"added_tokens.json": '{"<n>": 9}'}, "added_tokens.json", "no token has the id 8: 9 tokens, the largest"),
        ({"special_tokens_map.json": '{"unk_token": "<q>"}'}, "special_tokens_map.json", "unknown token '<q>'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_that_names_the_file(written, changed, name, cause):
    directory = written(changed)
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(directory / name))}: {cause}") as raised:
        ByteLevelTokenizer.read(directory)
    assert "\n" not in str(raised.value)


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere: no such directory$"):
        ByteLevelTokenizer.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "merges", ["#version: 0.2\na b\n", "#version: 0.2\na b", "a b\n", "a b", "#version: 0.2\r\na b\r\n\r\n", "a b\n\n"]
)
def test_no_merge_is_lost_whether_a_header_or_a_last_newline_is_there(written, merges):
    assert ByteLevelTokenizer.read(written({"merges.txt": merges})).encode("ab", add_special_tokens=False).ids == (6,)


@pytest.mark.parametrize("merges", ["", "#version: 0.2\n", "\n"])
def test_a_vocabulary_may_do_without_merges(written, merges):
    assert ByteLevelTokenizer.read(written({"merges.txt": merges})).encode("ab", add_special_tokens=False).ids == (4, 5)


def test_the_prefix_space_is_the_settings_unless_the_caller_s(written):
    directory = written({"vocab.json": vocabulary(Ġ=8), **config(add_prefix_space=True)})
    ids = [ByteLevelTokenizer.read(directory, prefix).encode("a").ids for prefix in (None, False, True)]
    assert ids == [(0, 8, 4, 2), (0, 4, 2), (0, 8, 4, 2)]


def test_older_files_name_roles_and_added_tokens(written):
    mask = {"content": "<mask>", "lstrip": False, "rstrip": True}
    directory = written(
        {
            "special_tokens_map.json": json.dumps({"mask_token": mask, "additional_special_tokens": ["<n>"]}),
            "added_tokens.json": '{"<n>": 8, "<o>": 9}',
            **config(mask_token="<unk>"),
        }
    )
    tokenizer = ByteLevelTokenizer.read(directory)
    assert tokenizer.roles["mask_token"] == "<mask>"
    assert tokenizer.encode("<n><mask> a<o>", add_special_tokens=False).ids == (8, 7, 4, 9)
    assert tokenizer.decode([8, 4, 9], skip_special_tokens=True) == "a <o>"


def test_the_newer_form_takes_the_older_files_place(written):
    tokens = {"7": {"content": "<mask>", "special": True}, "8": {"content": "<n>"}}
    older = {"special_tokens_map.json": '{"mask_token": "<pad>"}', "added_tokens.json": '{"<o>": 8}'}
    tokenizer = ByteLevelTokenizer.read(written({**older, **config(added_tokens_decoder=tokens)}))
    assert tokenizer.roles["mask_token"] == "<mask>"
    assert tokenizer.encode("a <mask>", add_special_tokens=False).ids == (4, 3, 7), "its lstrip is not set there"
    assert tokenizer.encode("<n>", add_special_tokens=False).ids == (8,)


def test_bytes_that_are_no_text_are_treated_as_the_settings_say(written):
    words = vocabulary(Ã=8)
    assert ByteLevelTokenizer.read(written({"vocab.json": words})).decode([8, 4]) == "\ufffda"
    assert ByteLevelTokenizer.read(written({"vocab.json": words, **config(errors="ignore")})).decode([8, 4]) == "a"


def test_the_fixture_is_read_and_its_error_survives_a_process_boundary():
    tokenizer = ByteLevelTokenizer.read(fixture("bart-tiny"))
    text = "she’s <s>there</s>\u2028 é"
    assert tokenizer.decode(tokenizer.encode(text).ids) == f"<s>{text}</s>"
    with pytest.raises(CheckpointError) as raised:
        ByteLevelTokenizer.read(fixture("bart-odd"))
    again = pickle.loads(pickle.dumps(raised.value))
    assert str(again) == str(raised.value)
    assert again.cause == "no such file"
