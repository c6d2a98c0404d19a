"""Greedy and beam search over a batch, driven through any ``Decoder``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.generation.decoder import Decoder
from reference.generation.dialect import DOCUMENTED, Dialect
from reference.generation.processors import log_softmax, processed
from reference.generation.search import Hypothesis, Search, advance, goes_on, started
from reference.generation.settings import GenerationSettings


@dataclass(frozen=True)
class Generated:
    """What was generated, and how near each step was to another choice."""

    sequences: np.ndarray
    """int64 [batch, length]: the start token first, filled after a row's end, as wide as the longest row."""
    lengths: np.ndarray
    """int64 [batch]: each row's tokens without what fills it."""
    scores: np.ndarray | None
    """float64 [batch]: the penalised score of each result; None in greedy search."""
    margins: np.ndarray
    """float64 [batch, steps]: greedy, the best score's lead over the runner-up; beams, the smallest gap that the choice
    of beams rests on. Infinite where there was no choice or the row was over."""
    hypotheses: tuple[tuple[Hypothesis, ...], ...] = ()
    """Of each row all that finished and were kept, best first; empty in greedy search."""


def generate(decoder: Decoder, batch: int, settings: GenerationSettings, dialect: Dialect = DOCUMENTED) -> Generated:
    """Greedy search where ``num_beams`` is 1, else beam search, as ``generate`` of a library is documented.

    Args:
        batch: sources that the decoder is set to.

    Raises:
        ValueError: the logits hold NaN, or every token is forbidden at some step.
    """
    settings = settings.resolved(dialect)
    search = _greedy if settings.num_beams == 1 else _beams
    return search(decoder, batch, settings, dialect)


def _greedy(decoder: Decoder, batch: int, settings: GenerationSettings, dialect: Dialect) -> Generated:
    fill = settings.fill(dialect)
    rows = decoder.start(1)
    tokens = np.full((rows, 1), settings.decoder_start_token_id, dtype=np.int64)
    lengths, open_, margins = np.ones(batch, dtype=np.int64), np.ones(batch, dtype=bool), []
    while open_.any() and tokens.shape[1] < settings.max_length:
        scores = processed(checked(decoder.logits(tokens[:, -1])), tokens, settings)
        best, lead = leads(scores)
        _check_allowed(scores[np.arange(rows), best][open_], tokens.shape[1])
        tokens = np.column_stack((tokens, np.where(open_, best, fill)))
        margins.append(np.where(open_, lead, np.inf))
        lengths += open_
        open_ = open_ & (tokens[:, -1] != settings.eos_token_id)
    return Generated(tokens, lengths, None, np.column_stack(margins))


def leads(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's best token, the lower id of equal ones, and its lead over the runner-up: int64, float64 [rows]."""
    best = scores.argmax(axis=-1)
    others = scores.copy()
    np.put_along_axis(others, best[..., None], -np.inf, axis=-1)
    top, second = np.take_along_axis(scores, best[..., None], axis=-1)[..., 0], others.max(axis=-1)
    return best, np.subtract(top, second, out=np.full(top.shape, np.inf), where=np.isfinite(second))


def _beams(decoder: Decoder, batch: int, settings: GenerationSettings, dialect: Dialect) -> Generated:
    rows_per_source, fill = settings.num_beams, settings.fill(dialect)
    rows = decoder.start(rows_per_source)
    searches, margins = [started(settings)] * batch, []
    tokens = np.full(rows, settings.decoder_start_token_id, dtype=np.int64)
    while any(going := goes_on(searches, settings, dialect)):
        log_probs = log_softmax(checked(decoder.logits(tokens)))
        for row, search in enumerate(searches):
            if going[row]:
                searches[row] = step(search, log_probs[row * rows_per_source :], settings, dialect)
        margins.append([search.margin if on else np.inf for search, on in zip(searches, going, strict=True)])
        parents, tokens = _rows(searches, going, rows_per_source, fill)
        decoder.reorder(parents)
    results = [search.finished[0] for search in searches]
    lengths = np.array([len(result.tokens) for result in results], dtype=np.int64)
    sequences = np.full((batch, lengths.max()), fill, dtype=np.int64)
    for row, result in enumerate(results):
        sequences[row, : len(result.tokens)] = result.tokens
    scores = np.array([result.score for result in results])
    return Generated(sequences, lengths, scores, np.array(margins).T, tuple(search.finished for search in searches))


def step(search: Search, log_probs: np.ndarray, settings: GenerationSettings, dialect: Dialect) -> Search:
    """One source's next state from the log-probabilities of its rows, of which the first are its open beams."""
    texts = np.array([beam.tokens for beam in search.beams], dtype=np.int64)
    scores = processed(log_probs[: len(texts)], texts, settings)
    _check_allowed(scores.max(axis=-1).max(keepdims=True), search.length)
    return advance(search, scores, settings, dialect)


def _rows(searches: list[Search], going: list[bool], rows_per_source: int, fill: int) -> tuple[np.ndarray, np.ndarray]:
    """For the decoder: which row each row continues, and its new token; rows without a beam get what fills rows."""
    parents = np.arange(len(searches) * rows_per_source, dtype=np.int64)
    tokens = np.full(parents.shape, fill, dtype=np.int64)
    for source, search in enumerate(searches):
        for place, beam in enumerate(search.beams if going[source] else ()):
            row = source * rows_per_source
            parents[row + place], tokens[row + place] = row + beam.parent, beam.tokens[-1]
    return parents, tokens


def checked(logits: np.ndarray) -> np.ndarray:
    """The logits, if they can be compared.

    Raises:
        ValueError: one of them is not a number.
    """
    if np.isnan(logits).any():
        raise ValueError("the decoder's logits hold NaN")
    return logits


def _check_allowed(best: np.ndarray, length: int) -> None:
    if np.isneginf(best).any():
        raise ValueError(f"every token is forbidden after {length} tokens")
