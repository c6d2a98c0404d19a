"""Mutants of tokenizers: tokens, special tokens, masks, offsets, and decoding."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

from parity.backends.mutants.base import Patches, mutant

fault = partial(mutant, on="bart-tiny", backend="mutant-tokenizer")
TOKENIZER = "reference.tokenizer.tokenizer:"
OURS = TOKENIZER + "ByteLevelTokenizer."
HOST = "parity.backends.mutants.tokenizer_host:"


def _texts_first(patch: Patches, change) -> None:
    """Replaces every text, before it is encoded, by ``change`` of it and of ``add_prefix_space``."""
    patch(
        f"{OURS}_token_spans",
        lambda original: lambda self, text: original(self, change(text, self.add_prefix_space)),
    )


def _read_with(patch: Patches, prefix: bool) -> None:
    """Reads the tokenizer with a fixed ``add_prefix_space``, regardless of the argument."""

    def make(original):
        return classmethod(
            lambda kind, directory, prefix_space=None, *dialect: original.__func__(kind, directory, prefix, *dialect)
        )

    patch(f"{OURS}read", make)


def _ranks(patch: Patches, change) -> None:
    """Applies ``change`` to the list of merges, best first."""
    patch(
        f"{TOKENIZER}read_merges",
        lambda original: (
            lambda *arguments: {pair: rank for rank, pair in enumerate(change(list(original(*arguments))))}
        ),
    )


def _encoded(patch: Patches, change) -> None:
    """Applies ``change`` to rows with special tokens; rows without are unchanged."""

    def make(original):
        def encode(self, text, pair=None, add_special_tokens=True):
            found = original(self, text, pair, add_special_tokens)
            return change(self, found) if add_special_tokens else found

        return encode

    patch(f"{OURS}encode", make)


def _selected(found, indices):
    """An encoding restricted to the tokens at the indices ``indices``."""
    fields = ("ids", "special_tokens_mask", "token_type_ids", "offsets")
    return replace(found, **{name: tuple(getattr(found, name)[index] for index in indices) for name in fields})


@fault(
    "prefix-space-never",
    "add_prefix_space has no effect",
    "ids",
    history="transformers #2947, #11057: the setting had no effect on the fast tokenizer",
)
def prefix_never(patch: Patches) -> None:
    _read_with(patch, False)


@fault(
    "prefix-space-always",
    "a space is added before every text",
    "ids",
    history="transformers #2899, introduced by #2778: a space before every text with special tokens, by default",
)
def prefix_always(patch: Patches) -> None:
    _read_with(patch, True)


@fault(
    "prefix-space-doubled",
    "add_prefix_space adds a space even to a text that starts with one",
    "ids",
    history="simpletransformers #459: the space was added even if the text starts with one",
)
def prefix_doubled(patch: Patches) -> None:
    _texts_first(patch, lambda text, prefix: " " + text if prefix and text[:1].isspace() else text)


@fault("merges-exchanged", "two adjacent merges that compete for the same symbol are exchanged", "ids")
def merges_exchanged(patch: Patches) -> None:
    def change(merges):
        """The last two tokens of that kind."""
        beside = list(enumerate(pairwise(merges)))
        index = next(index for index, (one, other) in reversed(beside) if one[1] == other[0] or one[0] == other[1])
        return [*merges[:index], merges[index + 1], merges[index], *merges[index + 2 :]]

    _ranks(patch, change)


@fault(
    "merges-longest-first",
    "merges are applied by length of the result instead of rank",
    "ids",
    history="gigatoken #18: the rank of a merge was not its index in the list",
)
def merges_longest_first(patch: Patches) -> None:
    _ranks(patch, lambda merges: sorted(merges, key=lambda pair: -len("".join(pair))))


@fault(
    "last-merge-lost",
    "the last line of merges.txt is not read",
    "ids",
    history="tiktoken #598: the same for a file without a final newline",
)
def last_merge(patch: Patches) -> None:
    _ranks(patch, lambda merges: merges[:-1])


@fault("lower-cased", "texts are lower-cased before tokenisation", "ids")
def lower_cased(patch: Patches) -> None:
    _texts_first(patch, lambda text, prefix: text.lower())


@fault("unicode-composed", "texts are normalised to NFC before tokenisation", "ids")
def composed(patch: Patches) -> None:
    import unicodedata

    _texts_first(patch, lambda text, prefix: unicodedata.normalize("NFC", text))


@fault("characters-for-bytes", "characters are not mapped to UTF-8 bytes", "ids")
def characters_for_bytes(patch: Patches) -> None:
    from reference.tokenizer.alphabet import SPACE

    patch(f"{TOKENIZER}spelled", lambda original: lambda text: text.replace(" ", SPACE))


@fault(
    "spaces-kept-together",
    "a run of spaces includes the space that belongs to the next word",
    "ids",
    history="huggingface-tokenizer-in-cxx #10: RE2 has no lookahead; lattice #519",
)
def newlines_together(patch: Patches) -> None:
    def make(original):
        def pieces(text, letters):
            begin = None
            for start, stop in original(text, letters):
                start, begin = start if begin is None else begin, None
                run = text[start:stop].isspace() and text[stop : stop + 1] == " "
                begin = stop + run
                yield start, begin

        return pieces

    patch(f"{TOKENIZER}pieces", make)


@fault(
    "special-tokens-not-found",
    "special tokens in a text are tokenised as ordinary text",
    "ids",
    history="tokenizers #275: <mask> and <pad> split into characters",
)
def not_found(patch: Patches) -> None:
    def make(original):
        return lambda self, text: iter([(None, 0, len(text))] if text else [])

    patch("reference.tokenizer.added:Splitter.split", make)


@fault(
    "mask-leaves-its-space",
    "the space before the mask token is a separate token (lstrip ignored)",
    "ids",
    history="transformers #3057: the fast tokenizer returned <mask> and its preceding space as two tokens",
)
def leaves_space(patch: Patches) -> None:
    def make(original):
        def read_added(*arguments):
            found = original(*arguments)
            return replace(found, tokens=tuple(replace(token, lstrip=False) for token in found.tokens))

        return read_added

    patch(f"{TOKENIZER}read_added", make)


@fault("end-not-added", "the end token is not added", "ids")
def end_not_added(patch: Patches) -> None:
    _encoded(patch, lambda self, found: _selected(found, range(len(found.ids) - 1)))


@fault(
    "start-doubled",
    "the start token is added twice",
    "ids",
    history="vllm #27515, llama.cpp #7107: the template contains the start token, and the tokenizer adds another",
)
def start_doubled(patch: Patches) -> None:
    _encoded(patch, lambda self, found: _selected(found, (0, *range(len(found.ids)))))


@fault(
    "pair-with-one-end",
    "one separator between two texts instead of two",
    "ids",
    history="PreSumm #200, simpletransformers #163: one separator, as in BERT",
)
def one_end(patch: Patches) -> None:
    def change(self, found):
        end = self.ids[self.roles["sep_token"]]
        special = zip(found.ids, found.special_tokens_mask, strict=True)
        ends = [index for index, token in enumerate(special) if token == (end, 1)]
        dropped = ends[1:2] if len(ends) == 3 else []
        return _selected(found, [index for index in range(len(found.ids)) if index not in dropped])

    _encoded(patch, change)


@fault(
    "special-tokens-of-the-text-marked",
    "special_tokens_mask is 1 for special tokens that the text contains",
    "special_tokens_mask",
    history="transformers #7578, #12936: slow and fast tokenizers marked different ones",
)
def text_marked(patch: Patches) -> None:
    _encoded(patch, lambda self, found: replace(found, special_tokens_mask=self.special_tokens_mask(found.ids)))


@fault(
    "offsets-with-their-space",
    "a token's offsets include the space before its word",
    "offsets",
    history="transformers #3796, fixed by tokenizers #236",
)
def untrimmed(patch: Patches) -> None:
    patch(f"{TOKENIZER}_trimmed", lambda original: lambda start, end, leading, trailing: (start, end))


@fault(
    "cleaned-up-unasked",
    "decoding removes spaces before punctuation although clean-up is off",
    "decoded",
    history="transformers #21119, tokenizers #1164: decoding removes a space by default",
)
def cleaned_up(patch: Patches) -> None:
    def make(original):
        return lambda self, ids, skip_special_tokens=False, clean_up=None: original(
            self, ids, skip_special_tokens, True
        )

    patch(f"{OURS}decode", make)


@fault("special-tokens-not-skipped", "skip_special_tokens has no effect", "decoded_without_special_tokens")
def not_skipped(patch: Patches) -> None:
    def make(original):
        return lambda self, ids, skip_special_tokens=False, clean_up=None: original(self, ids, False, clean_up)

    patch(f"{OURS}decode", make)


@fault(
    "cut-through-the-frame",
    "truncation removes special tokens",
    "ids",
    history="trainite #161: the end token was truncated",
)
def through_the_frame(patch: Patches) -> None:
    def make(original):
        def fitted(tokenizer, text, short, cut, side):
            whole = list(tokenizer.encode(text).ids)
            if len(whole) <= short:
                return original(tokenizer, text, short, cut, side)
            return {"ids": whole[:short] if cut == "right" else whole[-short:], "attention_mask": [1] * short}

        return fitted

    patch(f"{HOST}fitted", make)


@fault(
    "cut-on-the-right-always",
    "truncation_side has no effect",
    "ids",
    history="transformers #12913, tokenizers #779: truncation on one side only",
)
def right_always(patch: Patches) -> None:
    patch(f"{HOST}shortened", lambda original: lambda bare, room, cut: original(bare, room, "right"))


@fault("padding-attended-to", "the attention mask is 1 for padding", "attention_mask")
def padding_attended(patch: Patches) -> None:
    def make(original):
        def fitted(*arguments):
            found = original(*arguments)
            return {**found, "attention_mask": [1] * len(found["ids"])}

        return fitted

    patch(f"{HOST}fitted", make)


@fault(
    "mask-s-space-lost-in-saving",
    "lstrip and rstrip of added tokens are not saved",
    "ids",
    history="transformers #13571, #26773: a saved tokenizer differs after loading",
)
def lost_in_saving(patch: Patches) -> None:
    patch(f"{HOST}as_json", lambda original: lambda token: original(replace(token, lstrip=False, rstrip=False)))


@fault(
    "padding-is-the-end",
    "the padding token is the end token",
    "pad_token",
    history="llm-course #33: end tokens were ignored in training, so generation did not stop",
)
def padding_is_end(patch: Patches) -> None:
    def make(original):
        def role_ids(tokenizer):
            found = original(tokenizer)
            return {**found, "pad_token": found["eos_token"]}

        return role_ids

    patch(f"{HOST}role_ids", make)


@fault("added-tokens-counted-twice", "the vocabulary size counts added tokens twice", "size")
def counted_twice(patch: Patches) -> None:
    patch(f"{HOST}size", lambda original: lambda tokenizer: original(tokenizer) + len(tokenizer.special))
