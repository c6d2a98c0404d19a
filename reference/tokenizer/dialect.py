"""Differences between implementations of BART's tokenizer: a field for each choice, a value for each variant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Letters(Enum):
    """The Unicode version of ``\\p{L}`` and ``\\p{N}`` in the pattern; not documented."""

    UNICODE_16 = "Unicode 16.0"
    UNICODE_18 = "Unicode 18.0"


class Prefix(Enum):
    """Where ``add_prefix_space`` inserts a space."""

    TEXT_START = "before the text, unless it starts with white space"
    EVERY_SEGMENT = "before each segment between added tokens, unless it starts with U+0020"


class WhiteSpace(Enum):
    """The white space that an added token with ``lstrip`` or ``rstrip`` absorbs."""

    PYTHON = "as in str.strip, which includes U+001C to U+001F"
    UNICODE = "the property White_Space of Unicode"


class MergeOrder(Enum):
    """When new pairs created by a merge are considered; relevant only if a merge is listed before those that create its
    parts."""

    AFTER_ALL_OCCURRENCES = "after all occurrences of the merge"
    AFTER_EACH_OCCURRENCE = "after each occurrence, before the next one if their rank is better"


class UnknownByte(Enum):
    """The treatment of a byte that is not in the vocabulary."""

    UNKNOWN_TOKEN = "the unknown token"
    DROPPED = "no token"


class EmptyPair(Enum):
    """The treatment of an empty second text."""

    ENCODED = "encoded with its special tokens, like any second text"
    IGNORED = "ignored if a single row is encoded"


class AddedText(Enum):
    """The text that an added token is decoded to."""

    LITERAL = "its text, with a space on each side if it is not special or not in vocab.json"
    BYTES = "the bytes that its characters represent, or its text if one of them represents none"


class Spans(Enum):
    """How spaces are removed from a token's span in the text."""

    TRIMMED = "all spaces at both ends of the span"
    COUNTED = "as many characters as the token has spaces; with add_prefix_space none at the start of the text"


@dataclass(frozen=True)
class Dialect:
    """One value for each choice. If the documentation does not define one, the default is that of ``BartTokenizer``."""

    letters: Letters = Letters.UNICODE_18
    prefix: Prefix = Prefix.TEXT_START
    white_space: WhiteSpace = WhiteSpace.PYTHON
    merge_order: MergeOrder = MergeOrder.AFTER_ALL_OCCURRENCES
    unknown_byte: UnknownByte = UnknownByte.UNKNOWN_TOKEN
    empty_pair: EmptyPair = EmptyPair.ENCODED
    added_text: AddedText = AddedText.LITERAL
    spans: Spans = Spans.TRIMMED


DOCUMENTED = Dialect()
"""The dialect of the BART page: an initial space *to the input*, the unknown token for symbols without an id, merges
as in Sennrich et al. (2016), algorithm 1. ``BartTokenizer`` of transformers 4.57.6 with regex 2026.11.15 uses it."""

FAST = Dialect(
    letters=Letters.UNICODE_16,
    prefix=Prefix.EVERY_SEGMENT,
    white_space=WhiteSpace.UNICODE,
    merge_order=MergeOrder.AFTER_EACH_OCCURRENCE,
    unknown_byte=UnknownByte.DROPPED,
    empty_pair=EmptyPair.IGNORED,
    added_text=AddedText.BYTES,
    spans=Spans.COUNTED,
)
"""``BartTokenizerFast`` of transformers 4.57.6 with tokenizers 0.22.2, as measured."""
