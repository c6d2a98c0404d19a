"""Differences between implementations of BART's tokenizer: a field for each choice, a value for each variant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Letters(Enum):
    """The Unicode version of ``\\p{L}`` and ``\\p{N}`` in the pattern; not documented."""

    UNICODE_16 = "those of Unicode 16.0"
    UNICODE_18 = "those of Unicode 18.0"


class Prefix(Enum):
    """Where ``add_prefix_space`` inserts a space."""

    ONCE = "before the whole text, unless that begins with white space"
    EVERY_STRETCH = "before each stretch between added tokens, unless that begins with U+0020"


class Blank(Enum):
    """The white space that an added token with ``lstrip`` or ``rstrip`` absorbs."""

    PYTHON = "white space as str.strip knows it: U+001C to U+001F belong to it"
    PROPERTY = "characters with Unicode's property White_Space"


class MergeOrder(Enum):
    """When new pairs created by a merge are considered; relevant only if a merge is listed before those that create its
    parts."""

    ALL_AT_ONCE = "when every occurrence of the merge is done"
    ONE_BY_ONE = "at once, and before the next occurrence where they rank better"


class Unknown(Enum):
    """The treatment of a byte that is not in the vocabulary."""

    TOKEN = "the unknown token"
    DROPPED = "nothing, as if the byte were not there"


class EmptyPair(Enum):
    """The treatment of an empty second text."""

    KEPT = "a second text, framed like any other"
    DROPPED = "none at all, where one row is encoded by itself"


class AddedText(Enum):
    """The text that an added token is decoded to."""

    OWN = "its own text, with a space on each side where it is not special or lies beyond vocab.json"
    BYTES = "the bytes its characters stand for, or its own text where one of them stands for none"


class Spans(Enum):
    """How spaces are removed from a token's span in the text."""

    TRIMMED = "every space at its ends, none of its other characters"
    COUNTED = "as many characters as the token has spaces; with add_prefix_space not a single one at the text's start"


@dataclass(frozen=True)
class Dialect:
    """One value for each choice. If the documentation does not define one, the default is that of ``BartTokenizer``."""

    letters: Letters = Letters.UNICODE_18
    prefix: Prefix = Prefix.ONCE
    blank: Blank = Blank.PYTHON
    merge_order: MergeOrder = MergeOrder.ALL_AT_ONCE
    unknown: Unknown = Unknown.TOKEN
    empty_pair: EmptyPair = EmptyPair.KEPT
    added_text: AddedText = AddedText.OWN
    spans: Spans = Spans.TRIMMED


DOCUMENTED = Dialect()
"""The dialect of the BART page: an initial space *to the input*, the unknown token for symbols without an id, merges
as in Sennrich et al. (2016), algorithm 1. ``BartTokenizer`` of transformers 4.57.6 with regex 2026.11.15 uses it."""

FAST = Dialect(
    letters=Letters.UNICODE_16,
    prefix=Prefix.EVERY_STRETCH,
    blank=Blank.PROPERTY,
    merge_order=MergeOrder.ONE_BY_ONE,
    unknown=Unknown.DROPPED,
    empty_pair=EmptyPair.DROPPED,
    added_text=AddedText.BYTES,
    spans=Spans.COUNTED,
)
"""``BartTokenizerFast`` of transformers 4.57.6 with tokenizers 0.22.2, as measured."""
