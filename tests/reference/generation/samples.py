"""Decoders whose probabilities are given outright, for tests of the searches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reference.generation import GenerationSettings

PAD, START, END, A, B, C = range(6)
VOCAB = 6


class Told:
    """A decoder that knows each text's next logits; it reads them from the texts that it was fed, row by row."""

    def __init__(self, sources: Sequence) -> None:
        self.sources = sources

    def start(self, rows_per_source: int) -> int:
        self.rows_per_source = rows_per_source
        self.texts = [()] * (len(self.sources) * rows_per_source)
        return len(self.texts)

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        self.texts = [(*text, int(token)) for text, token in zip(self.texts, tokens, strict=True)]
        return np.array([self.sources[row // self.rows_per_source](text) for row, text in enumerate(self.texts)])

    def reorder(self, rows: np.ndarray) -> None:
        self.texts = [self.texts[row] for row in rows]


def probabilities(table: dict[tuple[int, ...], dict[int, float]]):
    """A source by hand: after each text (without the start) the probabilities of tokens; all others impossible.

    After a text that is not in the table everything is equally likely; only rows that are over ask for that.
    """

    def after(text: tuple[int, ...]) -> np.ndarray:
        chances = np.zeros(VOCAB)
        for token, chance in table.get(text[1:], dict.fromkeys(range(VOCAB), 1 / VOCAB)).items():
            chances[token] = chance
        with np.errstate(divide="ignore"):
            return np.log(chances)

    return after


def drawn(seed: int, vocab: int = 11, end: float = 1.0):
    """A source by chance: logits depend on the last two tokens and on the length, the end's are raised by ``end``."""
    rng = np.random.default_rng(seed)
    last, before, place = (2 * rng.normal(size=(n, vocab)) for n in (vocab, vocab, 64))

    def after(text: tuple[int, ...]) -> np.ndarray:
        logits = last[text[-1]] + place[len(text)] + (before[text[-2]] if len(text) > 1 else 0)
        return logits + end * (np.arange(vocab) == END)

    return after


def given(**values) -> GenerationSettings:
    """Settings for these vocabularies."""
    tokens = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}
    return GenerationSettings(**{**tokens, **values})


def fed(source, tokens: Sequence[int]) -> np.ndarray:
    """The logits at every position of one text: [1, tgt, vocab], the last token not fed."""
    return np.array([[source(tuple(tokens[:n])) for n in range(1, len(tokens))]])
