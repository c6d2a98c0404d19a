"""The tokenizer by hand: a vocabulary small enough that every id below was worked out on paper."""

from __future__ import annotations

import json

import pytest

from reference.tokenizer import ByteLevelTokenizer
from reference.tokenizer.added import AddedToken, Splitter
from reference.tokenizer.alphabet import ALPHABET, bytes_of, spelled
from reference.tokenizer.dialect import Letters, MergeOrder, WhiteSpace
from reference.tokenizer.merging import merged
from reference.tokenizer.pieces import pieces

START, PAD, END, UNKNOWN = range(4)
AITCH, E, L, OH, SPACE, S, APOSTROPHE, EURO_0, EURO_1, EURO_2, HE, LL, SPACE_HE, MASK = range(4, 18)
TOKENS = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "h",
    "e",
    "l",
    "o",
    "Ġ",
    "s",
    "'",
    "â",
    "Ĥ",
    "¬",
    "he",
    "ll",
    "Ġhe",
    "<mask>",
]
MERGES = "#version: 0.2\nh e\nl l\nĠ he\n"


@pytest.fixture
def files(tmp_path):
    """A checkpoint's directory with that vocabulary and nothing else."""
    (tmp_path / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(TOKENS)}), "utf-8")
    (tmp_path / "merges.txt").write_text(MERGES, "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "prefix", "ids", "offsets"),
    [
        ("hello", False, [HE, LL, OH], [(0, 2), (2, 4), (4, 5)]),
        ("hello", True, [SPACE_HE, LL, OH], [(0, 2), (2, 4), (4, 5)]),
        (" hello", True, [SPACE_HE, LL, OH], [(1, 3), (3, 5), (5, 6)]),
        ("lll  he", False, [LL, L, SPACE, SPACE_HE], [(0, 2), (2, 3), (4, 4), (5, 7)]),
        ("he's", False, [HE, APOSTROPHE, S], [(0, 2), (2, 3), (3, 4)]),
        ("o€", False, [OH, EURO_0, EURO_1, EURO_2], [(0, 1), (1, 2), (1, 2), (1, 2)]),
        ("he \n <mask>he", False, [HE, MASK, HE], [(0, 2), (5, 11), (11, 13)]),
        ("<mask>", True, [MASK], [(0, 6)]),
        ("\nhe", True, [UNKNOWN, HE], [(0, 1), (1, 3)]),
        ("</s>he", True, [SPACE, END, HE], [(0, 0), (0, 4), (4, 6)]),
        ("hq", False, [AITCH, UNKNOWN], [(0, 1), (1, 2)]),
        ("", True, [], []),
    ],
)
def test_a_text_becomes_the_ids_that_the_merges_say(files, text, prefix, ids, offsets):
    encoding = ByteLevelTokenizer.read(files, prefix).encode(text)
    assert list(encoding.ids) == [START, *ids, END]
    assert list(encoding.offsets) == [(0, 0), *offsets, (0, 0)]
    assert encoding.special_tokens_mask == (1, *[0] * len(ids), 1)
    assert encoding.token_type_ids == (0,) * (len(ids) + 2)


def test_a_pair_has_two_ends_in_its_middle_and_type_zero_everywhere(files):
    tokenizer = ByteLevelTokenizer.read(files)
    encoding = tokenizer.encode("hello", "he<mask>")
    assert encoding.ids == (START, HE, LL, OH, END, END, HE, MASK, END)
    assert encoding.special_tokens_mask == (1, 0, 0, 0, 1, 1, 0, 0, 1)
    assert encoding.token_type_ids == (0,) * 9
    assert encoding.offsets == ((0, 0), (0, 2), (2, 4), (4, 5), (0, 0), (0, 0), (0, 2), (2, 8), (0, 0))
    assert tokenizer.special_tokens_mask(encoding.ids) == (1, 0, 0, 0, 1, 1, 0, 1, 1)
    assert tokenizer.encode("hello", "he", add_special_tokens=False).ids == (HE, LL, OH, HE)
    assert tokenizer.encode("he", "").ids == (START, HE, END, END, END)


def test_decoding_joins_bytes_before_it_reads_them(files):
    tokenizer = ByteLevelTokenizer.read(files)
    assert tokenizer.decode([START, EURO_0, EURO_1, EURO_2, SPACE_HE, END, PAD]) == "<s>€ he</s><pad>"
    assert tokenizer.decode([START, EURO_0, EURO_1, EURO_2, SPACE_HE, END, PAD], skip_special_tokens=True) == "€ he"
    assert tokenizer.decode([EURO_0, EURO_1, HE]) == "\ufffdhe"
    assert tokenizer.decode([]) == ""


def test_spaces_are_cleaned_up_only_where_asked(files):
    tokenizer = ByteLevelTokenizer.read(files)
    ids = [HE, SPACE, APOSTROPHE, S]
    assert [tokenizer.decode(ids, clean_up=clean) for clean in (None, False, True)] == ["he 's", "he 's", "he's"]
    (files / "tokenizer_config.json").write_text('{"clean_up_tokenization_spaces": true}')
    told = ByteLevelTokenizer.read(files)
    assert [told.decode(ids, clean_up=clean) for clean in (None, False)] == ["he's", "he 's"]


def test_an_id_without_a_token_is_refused_by_name(files):
    with pytest.raises(ValueError, match=r"^no token has the id 18; the vocabulary has 18$"):
        ByteLevelTokenizer.read(files).decode([HE, 18])


def test_half_a_surrogate_pair_is_refused_with_its_place(files):
    with pytest.raises(ValueError, match=r"^character 2 is U\+D800, an unpaired surrogate"):
        ByteLevelTokenizer.read(files).encode("he\ud800")


def test_the_alphabet_spells_every_byte_once_and_without_white_space():
    assert len(set(ALPHABET)) == 256
    assert not any(char.isspace() or not char.isprintable() for char in ALPHABET)
    assert spelled(" é\n") == "ĠÃ©Ċ"
    assert bytes_of("ĠÃ©Ċ") == " é\n".encode()
    assert bytes_of("日") == "日".encode()


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("I'll say 'S", ["I", "'ll", " say", " '", "S"]),
        ("  a \n b\n\n", [" ", " a", " \n", " b", "\n\n"]),
        ("\n\nc", ["\n", "\n", "c"]),
        ("a1²٣!?", ["a", "1²٣", "!?"]),
        ("e\u0301", ["e", "\u0301"]),
        ("\x1c\xa0x", ["\x1c", "\xa0", "x"]),
        ("👩\u200d👩 x", ["👩\u200d👩", " x"]),
    ],
)
def test_texts_are_cut_at_changes_of_kind(text, cut):
    assert [text[start:end] for start, end in pieces(text, Letters.UNICODE_18)] == cut


@pytest.mark.parametrize(
    ("order", "expected"),
    [(MergeOrder.AFTER_ALL_OCCURRENCES, ["ab", "ab"]), (MergeOrder.AFTER_EACH_OCCURRENCE, ["aba", "b"])],
)
def test_a_merge_listed_before_its_parts_tells_the_orders_apart(order, expected):
    assert merged("abab", {("ab", "a"): 0, ("a", "b"): 1}, order) == expected


@pytest.mark.parametrize("order", MergeOrder)
def test_overlapping_pairs_are_merged_from_the_left(order):
    ranks = {("x", "x"): 0, ("xx", "x"): 1, ("y", "xx"): 2}
    assert merged("xxxyxxxx", ranks, order) == ["xxx", "yxx", "xx"]
    assert merged("", ranks, order) == []


def test_the_leftmost_and_longest_added_token_is_found_and_takes_white_space_along():
    tokens = [AddedToken("<a>"), AddedToken("<a>b", rstrip=True), AddedToken("a>c", lstrip=True)]
    text = "x <a>b \t<a>cx \x1ca>c"
    for white_space, kept in ((WhiteSpace.PYTHON, "x"), (WhiteSpace.UNICODE, "cx \x1c")):
        found = list(Splitter(tokens, white_space).split(text))
        assert [text[start:end] for _, start, end in found] == [
            "x ",
            "<a>b",
            "<a>",
            kept if len(kept) > 1 else "cx",
            "a>c",
        ]
        assert [token and token.text for token, _, _ in found] == [None, "<a>b", "<a>", None, "a>c"]
