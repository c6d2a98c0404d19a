"""The tokenizer against BartTokenizer and BartTokenizerFast: over arbitrary Unicode, exhaustively where it ends."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parity.core.resources import fixture
from reference.tokenizer import DOCUMENTED, FAST, ByteLevelTokenizer
from reference.tokenizer.characters import LETTER, NUMBER, WHITE, kinds
from reference.tokenizer.dialect import Letters
from reference.tokenizer.pieces import pieces
from tests.profiles import examples
from tests.reference.tokenizer.samples import LACKING, TEXTS, odd_vocabulary

transformers = pytest.importorskip("transformers", reason="compares with the installed library's tokenizers")

EVERY = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
CATEGORIES = {LETTER: r"\p{L}", NUMBER: r"\p{N}", WHITE: r"\s"}
PREFIXES = pytest.mark.parametrize("prefix", [False, True], ids=["as it is", "prefix space"])
VOCABULARIES = pytest.mark.parametrize("vocabulary", ["bart-tiny", "odd"])
BOTH = ["BartTokenizer", "BartTokenizerFast"]


class Peer(NamedTuple):
    """Ours and theirs on one vocabulary."""

    ours: ByteLevelTokenizer
    theirs: Any


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    """Vocabulary, prefix and class to the two tokenizers."""
    places: dict[str, Path] = {"bart-tiny": fixture("bart-tiny"), "odd": odd_vocabulary(tmp_path_factory.mktemp("odd"))}
    return {
        (name, prefix, cls): Peer(
            ByteLevelTokenizer.read(place, prefix, DOCUMENTED if cls == BOTH[0] else FAST),
            getattr(transformers, cls).from_pretrained(place, add_prefix_space=prefix),
        )
        for (name, place), prefix, cls in product(places.items(), (False, True), BOTH)
    }


@VOCABULARIES
@PREFIXES
@pytest.mark.parametrize("cls", BOTH)
def test_texts_and_pairs_are_encoded_alike(peers, vocabulary, prefix, cls):
    ours, theirs = peers[vocabulary, prefix, cls]

    @examples(150)
    @given(TEXTS, st.none() | TEXTS, st.booleans())
    def alike(text, pair, framed):
        got = ours.encode(text, pair, add_special_tokens=framed)
        told = theirs(
            text, pair, add_special_tokens=framed, return_special_tokens_mask=True, return_token_type_ids=framed or None
        )
        assert list(got.ids) == told["input_ids"]
        assert list(got.special_tokens_mask) == told["special_tokens_mask"]
        assert list(got.token_type_ids) == told.get("token_type_ids", [0] * len(got.ids))
        already = theirs.get_special_tokens_mask(list(got.ids), already_has_special_tokens=True)
        assert list(ours.special_tokens_mask(got.ids)) == already

    alike()


@VOCABULARIES
@PREFIXES
def test_offsets_are_those_of_the_fast_one(peers, vocabulary, prefix):
    ours, theirs = peers[vocabulary, prefix, "BartTokenizerFast"]

    @examples(150)
    @given(TEXTS, st.none() | TEXTS)
    @example("  ", "  \n  a")
    @example(" <mask>", "  <mask>")
    def alike(text, pair):
        text, pair = _without_dropped(text), pair and _without_dropped(pair)
        assert (
            list(ours.encode(text, pair).offsets) == theirs(text, pair, return_offsets_mapping=True)["offset_mapping"]
        )

    alike()


def _without_dropped(text: str) -> str:
    """The fast one's spans behind a byte that it drops lie too far left, and not even whole characters."""
    return text.translate({ord(char): None for char in LACKING})


@VOCABULARIES
@pytest.mark.parametrize("cls", BOTH)
def test_rows_of_any_ids_are_decoded_alike(peers, vocabulary, cls):
    ours, theirs = peers[vocabulary, False, cls]

    numbers = sorted(ours.tokens)

    @examples(200)
    @given(
        st.lists(st.sampled_from(numbers) | st.sampled_from(numbers[-9:]), max_size=15),
        st.booleans(),
        st.sampled_from([None, False, True]),
    )
    def alike(ids, skip, clean):
        theirs_says = theirs.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=clean)
        assert ours.decode(ids, skip_special_tokens=skip, clean_up=clean) == theirs_says

    alike()


def kinds_of_every(letters: Letters) -> str:
    """A kind for each character of ``EVERY``: what the pattern names by itself belongs to a kind too."""
    return kinds(EVERY, letters).translate({**dict.fromkeys(map(ord, "strevmld"), LETTER), ord(" "): WHITE})


def test_every_character_has_the_kind_that_the_regex_module_finds():
    regex = pytest.importorskip("regex", reason="what BartTokenizer splits with")
    got = kinds_of_every(Letters.UNICODE_18)
    for kind, pattern in CATEGORIES.items():
        kept = "".join(char for char, of in zip(EVERY, got, strict=True) if of != kind)
        assert regex.sub(pattern, "", EVERY) == kept, pattern


def test_every_character_has_the_kind_that_the_fast_one_s_expressions_find():
    from tokenizers import Regex, pre_tokenizers

    got = kinds_of_every(Letters.UNICODE_16)
    for kind, pattern in CATEGORIES.items():
        kept = "".join(char for char, of in zip(EVERY, got, strict=True) if of != kind)
        splitter = pre_tokenizers.Split(Regex(pattern), "removed")
        # In blocks, because the time of one call grows with the square of the text's length.
        cut = [splitter.pre_tokenize_str(EVERY[start : start + 512]) for start in range(0, len(EVERY), 512)]
        assert "".join(text for block in cut for text, _ in block) == kept, pattern


def test_every_short_string_of_the_pattern_s_kinds_is_cut_alike(peers):
    """With the kinds of all characters right, these are all the ways in which five characters can stand together."""
    slow = peers["bart-tiny", False, "BartTokenizer"].theirs
    for length in range(6):
        for chars in product(" \n'séٳ!", repeat=length):
            text = "".join(chars)
            assert [text[start:end] for start, end in pieces(text, Letters.UNICODE_18)] == slow.pat.findall(text), text


@pytest.mark.parametrize("text", ["'s't're've'm'll'd'r'v'l", "a's 'S ’s 'LL", " 's 'st", "we'll've", "'\u017f"])
def test_contractions_are_cut_alike(peers, text):
    slow = peers["bart-tiny", False, "BartTokenizer"].theirs
    assert [text[start:end] for start, end in pieces(text, Letters.UNICODE_18)] == slow.pat.findall(text)


APART = {
    "letters": ("x\U0003d000", False),
    "prefix": ("a<mask>b", True),
    "white_space": ("a\x1c<mask>", False),
    "merge_order": ("abab", False),
    "unknown_byte": ("hqe", False),
    "empty_pair": ("hello", False),
    "added_text": ("a«é»", False),
    "spans": (" hello", True),
}
"""For each choice of the dialect, a text on which the library's two tokenizers differ by that choice alone."""


@pytest.mark.parametrize("choice", [field.name for field in fields(DOCUMENTED)])
def test_each_choice_tells_the_library_s_two_apart(peers, tmp_path, choice):
    text, prefix = APART[choice]
    slow, fast = (peers["odd", prefix, cls] for cls in BOTH)
    assert _said_by_theirs(slow.theirs, text, choice) == _said_by_ours(slow.ours, text, choice) or choice == "spans"
    assert _said_by_theirs(fast.theirs, text, choice) == _said_by_ours(fast.ours, text, choice)
    other = replace(DOCUMENTED, **{choice: getattr(FAST, choice)})
    alone = ByteLevelTokenizer.read(odd_vocabulary(tmp_path / "odd"), prefix, other)
    assert _said_by_ours(alone, text, choice) == _said_by_ours(fast.ours, text, choice)
    assert _said_by_ours(alone, text, choice) != _said_by_ours(slow.ours, text, choice)


def _said_by_ours(tokenizer: ByteLevelTokenizer, text: str, choice: str) -> Any:
    encoding = tokenizer.encode(text, "" if choice == "empty_pair" else None)
    said = {"added_text": tokenizer.decode(encoding.ids), "spans": list(encoding.offsets)}
    return said.get(choice, list(encoding.ids))


def _said_by_theirs(tokenizer: Any, text: str, choice: str) -> Any:
    if choice == "spans":
        return tokenizer(text, return_offsets_mapping=True)["offset_mapping"] if tokenizer.is_fast else None
    ids = tokenizer(text, "" if choice == "empty_pair" else None)["input_ids"]
    return tokenizer.decode(ids) if choice == "added_text" else ids
