"""BART's tokenizer: byte-level byte pair encoding, with ``<s>`` and ``</s>`` around each text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from reference.errors import CheckpointError, brief
from reference.tokenizer.added import CONFIG_FILE, Added, Splitter, read_added, read_settings
from reference.tokenizer.alphabet import SPACE, bytes_of, spelled
from reference.tokenizer.dialect import DOCUMENTED, AddedText, Dialect, EmptyPair, Prefix, Spans, UnknownByte
from reference.tokenizer.merging import Ranks, merged
from reference.tokenizer.pieces import pieces
from reference.tokenizer.serialised import SERIALISED_FILE, is_alone, ranks_of, read_serialised
from reference.tokenizer.vocabulary import VOCABULARY_FILE, check_ids, read_merges, read_vocabulary

_CACHED_WORDS = 1 << 16
_WAYS = ("strict", "ignore", "replace", "backslashreplace", "surrogateescape", "surrogatepass")
"""Error handlers of ``bytes.decode`` for invalid UTF-8 (Python's ``codecs`` page, "Error Handlers")."""
_ARTEFACTS = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)
"""Replacements of ``clean_up_tokenization_spaces``, in this order (``tokenization_utils_base.py:4112`` of 4.57.6)."""

Part = tuple[int, int, int, int, int]
"""A token of a piece: id, start and end in the piece in characters, number of leading and trailing spaces."""
TokenSpan = tuple[int, int, int]
"""A token of a text: id, start and end in characters."""


@dataclass(frozen=True)
class Encoding:
    """One or two texts as model input; all four fields have the same length.

    ``special_tokens_mask`` is 1 for tokens added around the texts and 0 for tokens of a text, ``token_type_ids`` are
    all 0 (BART has none), ``offsets`` are start and end of each token in its text, (0, 0) for tokens added around it.
    """

    ids: tuple[int, ...]
    special_tokens_mask: tuple[int, ...]
    token_type_ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]


class ByteLevelTokenizer:
    """Encodes texts to ids and decodes ids to text (BART page, ``BartTokenizer``); created by ``read``."""

    def __init__(
        self, vocabulary: Mapping[str, int], ranks: Ranks, added: Added, settings: Mapping[str, Any], dialect: Dialect
    ) -> None:
        self.ids = {**vocabulary, **added.ids}
        self.tokens = {number: token for token, number in self.ids.items()}
        self.roles, self.special = added.roles, added.special
        self.add_prefix_space = bool(settings.get("add_prefix_space", False))
        self.errors = settings.get("errors", "replace")
        self.clean_up = bool(settings.get("clean_up_tokenization_spaces", False))
        self.dialect = dialect
        self._ranks = ranks
        self._added = {token.text for token in added.tokens}
        more = self.special - set(added.roles.values())
        self._apart = self._added - self.special | {text for text in more if text not in vocabulary}
        self._unknown = self._id("unk_token")
        self._splitter = Splitter(added.tokens, dialect.white_space)
        self._parts = lru_cache(_CACHED_WORDS)(self._parts_of)

    @classmethod
    def read(
        cls, directory: Path | str, add_prefix_space: bool | None = None, dialect: Dialect = DOCUMENTED
    ) -> ByteLevelTokenizer:
        """Reads ``vocab.json`` and ``merges.txt``, or ``tokenizer.json`` if one of them is missing, and the optional
        tokenizer files.

        Args:
            directory: the directory of the checkpoint.
            add_prefix_space: whether an initial space is added to a text; None for the value in
                ``tokenizer_config.json``.
            dialect: the variant of each behaviour in which implementations differ.

        Raises:
            CheckpointError: a file is missing or malformed, ids have gaps or duplicates, or a special token has no id.
        """
        settings = read_settings(directory)
        if add_prefix_space is not None:
            settings = {**settings, "add_prefix_space": add_prefix_space}
        if is_alone(directory):
            vocabulary, ranks, added = _of_serialised(directory, settings)
        else:
            vocabulary = read_vocabulary(directory)
            ranks = read_merges(directory, vocabulary)
            added = read_added(directory, settings)
        _check(Path(directory), vocabulary, added, settings)
        return cls(vocabulary, ranks, added, settings, dialect)

    def _id(self, role: str) -> int:
        """The id of a role's token; ``read`` checks that it exists."""
        token = self.roles[role]
        if token is None:
            raise KeyError(role)
        return self.ids[token]

    def encode(self, text: str, pair: str | None = None, add_special_tokens: bool = True) -> Encoding:
        """``<s> text </s>``, or ``<s> text </s></s> pair </s>``; without special tokens, the concatenated texts.

        Raises:
            ValueError: a text has an unpaired surrogate, which UTF-8 cannot encode.
        """
        spans = list(self._token_spans(text))
        if pair == "" and self.dialect.empty_pair is EmptyPair.IGNORED:
            pair = None
        second = None if pair is None else list(self._token_spans(pair))
        if not add_special_tokens:
            spans += second or []
            return _encoding(spans, [0] * len(spans))
        start, end = ((self._id(role), 0, 0) for role in ("cls_token", "sep_token"))
        special = [1, *[0] * len(spans), 1]
        spans = [start, *spans, end]
        if second is not None:
            special += [1, *[0] * len(second), 1]
            spans += [end, *second, end]
        return _encoding(spans, special)

    def special_tokens_mask(self, ids: Iterable[int]) -> tuple[int, ...]:
        """1 for each special token of a row that already has special tokens, including those from its text; else 0."""
        return tuple(int(self._token(number) in self.special) for number in ids)

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False, clean_up: bool | None = None) -> str:
        """The text of a row of ids; bytes that are not valid UTF-8 become U+FFFD (or as the setting ``errors``).

        Args:
            ids: token ids, with or without special tokens.
            skip_special_tokens: whether to omit special tokens.
            clean_up: whether to remove the space before punctuation and English abbreviations, which is part of BART's
                tokens; None for ``clean_up_tokenization_spaces`` of the settings, by default False (the base class's
                page documents True; since 4.45 the library uses False, in a warning and in its code).

        Raises:
            ValueError: an id is not in the vocabulary.
        """
        tokens = [self._token(number) for number in ids]
        if skip_special_tokens:
            tokens = [token for token in tokens if token not in self.special]
        text = " ".join(segment.decode(errors=self.errors) for segment in self._segments(tokens))
        if self.clean_up if clean_up is None else clean_up:
            for artefact, plain in _ARTEFACTS:
                text = text.replace(artefact, plain)
        return text

    def _segments(self, tokens: list[str]) -> Iterator[bytes]:
        """The segments that the decoder joins by spaces; the bytes of a segment are joined before they are decoded."""
        own = self.dialect.added_text is AddedText.LITERAL
        joined: list[bytes] = []
        for token in tokens:
            if own and token in self._apart:
                if joined:
                    yield b"".join(joined)
                yield token.encode()
                joined = []
            else:
                joined.append(token.encode() if own and token in self._added else bytes_of(token))
        if joined:
            yield b"".join(joined)

    def _token(self, number: int) -> str:
        if number not in self.tokens:
            raise ValueError(f"no token has the id {number}; the vocabulary has {len(self.tokens)}")
        return self.tokens[number]

    def _token_spans(self, text: str) -> Iterator[TokenSpan]:
        _check_text(text)
        once = self.add_prefix_space and self.dialect.prefix is Prefix.TEXT_START
        prefixed = once and text != "" and not text[0].isspace()
        text = " " * prefixed + text
        behind = 0
        for token, start, end in self._splitter.split(text):
            if token is None:
                # The prefix is not part of the text: spans that start in it start at 0.
                spans = self._stretch(text[start:end], start)
            else:
                spans = [(self.ids[token.text], start - self._leading_kept(start, behind), end)]
            yield from ((number, max(0, a - prefixed), max(0, b - prefixed)) for number, a, b in spans)
            behind = end

    def _leading_kept(self, start: int, behind: int) -> int:
        """The number of absorbed characters that remain in an added token's span with ``Spans.COUNTED``."""
        counted = self.dialect.spans is Spans.COUNTED and self.add_prefix_space
        return int(counted and behind == 0 and start == 1)

    def _stretch(self, text: str, offset: int) -> Iterator[TokenSpan]:
        """The tokens of a segment between added tokens, which starts at ``offset``."""
        every = self.add_prefix_space and self.dialect.prefix is Prefix.EVERY_SEGMENT and not text.startswith(" ")
        counted = self.dialect.spans is Spans.COUNTED
        text = " " * every + text
        for begin, stop in pieces(text, self.dialect.letters):
            shift = offset - every + begin
            for number, start, end, leading, trailing in self._parts(text[begin:stop]):
                if counted:
                    # The prefix has the span of the character after it.
                    start, end = max(offset, start + shift), max(offset + 1, end + shift)
                    in_text = self.add_prefix_space and leading == 1 and start == 0
                    yield number, *_trimmed(start, end, leading - in_text, trailing)
                else:
                    start, end = _trimmed(start, end, leading, trailing)
                    yield number, max(offset, start + shift), max(offset, end + shift)

    def _parts_of(self, piece: str) -> tuple[Part, ...]:
        symbols = list(spelled(piece))
        if self.dialect.unknown_byte is UnknownByte.DROPPED:
            symbols = [symbol for symbol in symbols if symbol in self.ids]
        char_indices = [index for index, char in enumerate(piece) for _ in char.encode()]
        parts: list[Part] = []
        byte = 0
        for symbol in merged(symbols, self._ranks, self.dialect.merge_order):
            start, end = char_indices[byte], char_indices[byte + len(symbol) - 1] + 1
            byte += len(symbol)
            leading = len(symbol) - len(symbol.lstrip(SPACE))
            trailing = len(symbol) - len(symbol.rstrip(SPACE))
            parts.append((self.ids.get(symbol, self._unknown), start, end, leading, trailing))
        return tuple(parts)


def _trimmed(start: int, end: int, leading: int, trailing: int) -> tuple[int, int]:
    start = min(start + leading, end)
    return start, max(end - trailing, start)


def _encoding(spans: list[TokenSpan], special: list[int]) -> Encoding:
    return Encoding(
        ids=tuple(number for number, _, _ in spans),
        special_tokens_mask=tuple(special),
        token_type_ids=(0,) * len(spans),
        offsets=tuple((start, end) for _, start, end in spans),
    )


def _of_serialised(
    directory: Path | str, settings: Mapping[str, Any]
) -> tuple[dict[str, int], dict[tuple[str, str], int], Added]:
    """Vocabulary, ranks and added tokens of a checkpoint that has only ``tokenizer.json``.

    Raises:
        CheckpointError: it is malformed, or is a tokenizer of another kind.
    """
    file = Path(directory) / SERIALISED_FILE
    found = read_serialised(directory)
    if found is None:
        raise CheckpointError(file, "no such file")
    if found.not_byte_level:
        raise CheckpointError(file, f"not a byte-level BPE: {found.not_byte_level}")
    # The library adds the tokens in tokenizer_config.json to those in the file itself.
    listed = settings.get("added_tokens_decoder")
    held = {**found.added_tokens_decoder(), **listed} if isinstance(listed, Mapping) else found.added_tokens_decoder()
    added = read_added(directory, {**settings, "added_tokens_decoder": held}, older_roles=listed is None)
    ids = {**found.added, **added.ids}
    for token, number in found.added.items():
        if ids[token] != number:
            raise CheckpointError(
                file, f"added token {brief(token)} has the id {number}, but {ids[token]} in {CONFIG_FILE}"
            )
    return found.vocabulary, ranks_of(found, file), replace(added, ids=ids, location=file)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        cause = f"character {error.start} is U+{ord(text[error.start]):04X}, an unpaired surrogate"
        raise ValueError(cause) from error


def _check(directory: Path, vocabulary: Mapping[str, int], added: Added, settings: Mapping[str, Any]) -> None:
    """Cross-file checks: the files agree, and every special token has an id."""
    config = directory / CONFIG_FILE
    if settings.get("errors", "replace") not in _WAYS:
        raise CheckpointError(config, f"errors is {brief(settings['errors'])}, not an error handler of bytes.decode")
    for token, number in added.ids.items():
        if vocabulary.get(token, number) != number:
            own = SERIALISED_FILE + "'s vocabulary" if added.location.name == SERIALISED_FILE else VOCABULARY_FILE
            cause = f"added token {brief(token)} has the id {number}, but {vocabulary[token]} in {own}"
            raise CheckpointError(added.location, cause)
    ids = {**vocabulary, **added.ids}
    check_ids(ids, added.location if added.ids else directory / VOCABULARY_FILE)
    for role in ("cls_token", "sep_token", "unk_token"):
        if added.roles[role] is None:
            raise CheckpointError(added.location, f"{role} is null; no text can be encoded without it")
    for token in added.tokens:
        if token.text not in ids:
            raise CheckpointError(added.location, f"unknown token {brief(token.text)} has no id in any file")
