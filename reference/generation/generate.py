"""Greedy search, sampling and beam search over a batch, driven through any ``Decoder``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.generation.decoder import Decoder
from reference.generation.dialect import DOCUMENTED, Dialect, EncoderPenalty
from reference.generation.processors import Sources, SourceTokens, log_softmax, processed, ruled
from reference.generation.sampling import Draws, bounds, checked_numbers, drawn, interval, margin
from reference.generation.search import Hypothesis, Search, advance, goes_on, started
from reference.generation.settings import GenerationSettings, conflict
from reference.generation.warpers import warped

Choice = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""For each row the token taken (int64), its margin, and the interval of its number (float64); [rows] each."""


@dataclass(frozen=True)
class Generated:
    """Generated texts, and the margin of each step to another choice.

    ``rows`` is ``batch * num_return_sequences``; results of one source are adjacent, best first in beam search.
    """

    sequences: np.ndarray
    """int64 [rows, length]: the start token first, filled after a row's end, as wide as the longest row."""
    lengths: np.ndarray
    """int64 [rows]: each row's length without filling."""
    scores: np.ndarray | None
    """float64 [rows]: the penalised score of each result; None where beams were not searched."""
    margins: np.ndarray
    """float64 [rows, steps]: the change of the difference of two scores that leads to another choice. Greedy: the lead
    over the runner-up. Beam search: the smallest gap that decides the source's beams. Sampling: the change that moves
    the number over a bound of its token, or other tokens into ``top_k`` or ``top_p``. Measured after
    the penalties of repetition. Infinite where there was no choice or the row had ended."""
    hypotheses: tuple[tuple[Hypothesis, ...], ...] = ()
    """For each source all stored finished hypotheses, best first; empty without beam search."""
    draws: Draws | None = None
    """The intervals of the uniform numbers; None without sampling."""


def generate(
    decoder: Decoder,
    batch: int,
    settings: GenerationSettings,
    dialect: Dialect = DOCUMENTED,
    uniforms: np.ndarray | None = None,
    sources: SourceTokens | None = None,
) -> Generated:
    """Generates text as ``generate`` is documented: sampling if ``do_sample`` is set, greedy search if ``num_beams`` is
    1, else beam search.

    Args:
        batch: the number of sources that the decoder was set to.
        uniforms: numbers in [0, 1) for sampling, float64 [steps, rows], one step for each token that a text may have
            (``uniform_numbers`` creates them from a seed). Required if ``do_sample`` is set, otherwise ignored.
        sources: the tokens of each source, padding included, which ``encoder_repetition_penalty`` and
            ``encoder_no_repeat_ngram_size`` depend on; None if it is not text.

    Raises:
        ValueError: the logits have NaN, a setting depends on the tokens of the sources and there are none, every token
            is forbidden at some step, fewer texts are possible than are to be returned, settings contradict each other,
            or the uniform numbers are missing, too few or out of range.
    """
    if (found := conflict(settings)) is not None:
        raise ValueError(found[1])
    settings = settings.resolved(dialect)
    if settings.num_beams > 1:
        return _beams(decoder, batch, settings, dialect, repeated_sources(sources, settings.num_beams, dialect))
    rows, steps = batch * settings.num_return_sequences, settings.max_length - 1
    numbers = checked_numbers(uniforms, steps, rows) if settings.do_sample else None
    expanded = repeated_sources(sources, settings.num_return_sequences, dialect)
    return _one_by_one(decoder, settings, dialect, numbers, expanded)


def repeated_sources(
    sources: SourceTokens | None, rows_per_source: int, dialect: Dialect = DOCUMENTED
) -> Sources | None:
    """The sources of a batch in which each has several rows."""
    if sources is None:
        return None
    each = [list(source) for source in sources for _ in range(rows_per_source)]
    if dialect.encoder_repetition_penalty is EncoderPenalty.FIRST_ROWS:
        return Sources(each, [*map(list, sources), *[[]] * (len(each) - len(sources))])
    return Sources(each, each)


def _one_by_one(
    decoder: Decoder,
    settings: GenerationSettings,
    dialect: Dialect,
    numbers: np.ndarray | None,
    sources: Sources | None,
) -> Generated:
    """Generates token by token: sampled if numbers are given, else the best."""
    rows, fill = decoder.start(settings.num_return_sequences), settings.fill(dialect)
    rules = processed if numbers is None else ruled  # sampling warps the scores too, with margins of its own
    tokens = np.full((rows, 1), settings.decoder_start_token_id, dtype=np.int64)
    open_, lengths, steps = np.ones(rows, dtype=bool), np.ones(rows, dtype=np.int64), []
    while open_.any() and tokens.shape[1] < settings.max_length:
        here = None if sources is None else sources.rows(np.flatnonzero(open_).tolist())
        scores = rules(checked(decoder.logits(tokens[:, -1]))[open_], tokens[open_], settings, here)
        check_allowed(scores.max(axis=-1), tokens.shape[1])
        step = [np.full(rows, fill), np.full(rows, np.inf), np.zeros(rows), np.ones(rows)]
        choice = _best(scores) if numbers is None else _drawn(scores, numbers[len(steps), open_], settings)
        for whole, part in zip(step, choice, strict=True):
            whole[open_] = part
        steps.append(step)
        tokens = np.column_stack((tokens, step[0]))
        lengths += open_
        open_ &= ~np.isin(tokens[:, -1], settings.ends)
    _, margins, lower, upper = (np.column_stack(values) for values in zip(*steps, strict=True))
    draws = None if numbers is None else Draws(numbers[: len(steps)].T, lower, upper)
    return Generated(tokens, lengths, None, margins, draws=draws)


def _best(scores: np.ndarray) -> Choice:
    """The best token with its lead; the interval covers all numbers, because greedy search uses none."""
    best, lead = leads(scores)
    return best, lead, np.zeros(len(scores)), np.ones(len(scores))


def _drawn(scores: np.ndarray, numbers: np.ndarray, settings: GenerationSettings) -> Choice:
    warped_scores, lead = warped(scores, settings)
    upper = bounds(warped_scores)
    tokens = drawn(upper, numbers)
    between = interval(upper, tokens)
    return tokens, np.minimum(lead, settings.temperature * margin(numbers, *between)), *between


def leads(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's best token, the lower id of equal ones, and its lead over the runner-up: int64, float64 [rows]."""
    best = scores.argmax(axis=-1)
    others = scores.copy()
    np.put_along_axis(others, best[..., None], -np.inf, axis=-1)
    top, second = np.take_along_axis(scores, best[..., None], axis=-1)[..., 0], others.max(axis=-1)
    return best, np.subtract(top, second, out=np.full(top.shape, np.inf), where=np.isfinite(second))


def _beams(
    decoder: Decoder, batch: int, settings: GenerationSettings, dialect: Dialect, sources: Sources | None
) -> Generated:
    rows_per_source, fill = settings.num_beams, settings.fill(dialect)
    rows = decoder.start(rows_per_source)
    searches, margins = [started(settings)] * batch, []
    tokens = np.full(rows, settings.decoder_start_token_id, dtype=np.int64)
    while any(going := goes_on(searches, settings, dialect)):
        log_probs = log_softmax(checked(decoder.logits(tokens)))
        for row, search in enumerate(searches):
            if going[row]:
                first = row * rows_per_source
                here = None if sources is None else sources.rows(range(first, first + len(search.beams)))
                searches[row] = step(search, log_probs[first:], settings, dialect, here)
        margins.append([search.margin if on else np.inf for search, on in zip(searches, going, strict=True)])
        parents, tokens = _rows(searches, going, rows_per_source, fill)
        decoder.reorder(parents)
    wanted = settings.num_return_sequences
    results = [result for row, search in enumerate(searches) for result in _returned(row, search, wanted)]
    lengths = np.array([len(result.tokens) for result in results], dtype=np.int64)
    sequences = np.full((len(results), lengths.max()), fill, dtype=np.int64)
    for row, result in enumerate(results):
        sequences[row, : len(result.tokens)] = result.shown(settings, dialect)
    scores, each = np.array([result.score for result in results]), np.repeat(np.array(margins).T, wanted, axis=0)
    return Generated(sequences, lengths, scores, each, tuple(search.finished for search in searches))


def _returned(row: int, search: Search, wanted: int) -> tuple[Hypothesis, ...]:
    if len(search.finished) < wanted:
        raise ValueError(f"row {row} has {len(search.finished)} possible texts, num_return_sequences is {wanted}")
    return search.finished[:wanted]


def step(
    search: Search,
    log_probs: np.ndarray,
    settings: GenerationSettings,
    dialect: Dialect,
    sources: Sources | None = None,
) -> Search:
    """One source's next state from the log-probabilities of its rows, of which the first are its open beams.

    Args:
        sources: of its open beams.
    """
    texts = np.array([beam.tokens for beam in search.beams], dtype=np.int64)
    scores = processed(log_probs[: len(texts)], texts, settings, sources)
    check_allowed(scores.max(axis=-1).max(keepdims=True), search.length)
    return advance(search, scores, settings, dialect)


def _rows(searches: list[Search], going: list[bool], rows_per_source: int, fill: int) -> tuple[np.ndarray, np.ndarray]:
    """For the decoder: the row that each row continues, and its new token; rows without a beam get the filling
    token."""
    parents = np.arange(len(searches) * rows_per_source, dtype=np.int64)
    tokens = np.full(parents.shape, fill, dtype=np.int64)
    for source, search in enumerate(searches):
        for offset, beam in enumerate(search.beams if going[source] else ()):
            row = source * rows_per_source
            parents[row + offset], tokens[row + offset] = row + beam.parent, beam.tokens[-1]
    return parents, tokens


def checked(logits: np.ndarray) -> np.ndarray:
    """The logits, checked for NaN.

    Raises:
        ValueError: one of them is not a number.
    """
    if np.isnan(logits.max(axis=-1, initial=-np.inf)).any():  # a row with a NaN has a NaN maximum
        raise ValueError("the decoder's logits hold NaN")
    return logits


def check_allowed(best: np.ndarray, length: int) -> None:
    """Raises ValueError if the best score of a row is that of a forbidden token."""
    if np.isneginf(best).any():
        raise ValueError(f"every token is forbidden after {length} tokens")
