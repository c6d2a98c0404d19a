"""The documented logits processors that forbid, force or reweight the next token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reference.generation.settings import GenerationSettings
from reference.generation.warpers import warped

SourceTokens = Sequence[Sequence[int]] | np.ndarray
"""The tokens of each source, padding included."""


@dataclass(frozen=True)
class Sources:
    """The tokens of the source of each row, padding included, as the two settings read them that depend on it.

    Attributes:
        repeated: for ``encoder_no_repeat_ngram_size``.
        raised: for ``encoder_repetition_penalty``; an empty row is not changed.
    """

    repeated: Sequence[Sequence[int]]
    raised: Sequence[Sequence[int]]

    def rows(self, rows: Iterable[int]) -> Sources:
        """Those of these rows, in this order."""
        each = list(rows)
        return Sources([self.repeated[row] for row in each], [self.raised[row] for row in each])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis in float64; those of log-probabilities are themselves, up to rounding."""
    logits = np.asarray(logits, dtype=np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def processed(
    scores: np.ndarray, tokens: np.ndarray, settings: GenerationSettings, sources: Sources | None = None
) -> np.ndarray:
    """The scores of the next token under all settings: ``ruled``, then ``warped`` for sampling.

    Args:
        scores: float64 [rows, vocab]; log-probabilities in beam search, else logits.
        tokens: int64 [rows, length], each row's text so far, the start token first.
        settings: resolved ones.
        sources: of each row; None for a model whose source is not text.

    Returns:
        float64 [rows, vocab]: -inf where a token is forbidden. With ``renormalize_logits`` they are normalised again
        "after applying all the logits processors".

    Raises:
        ValueError: a setting depends on the source, and there is none, or it is of a larger vocabulary.
    """
    scores = ruled(scores, tokens, settings, sources)
    if settings.do_sample or settings.renormalize_logits:
        allowed = ~np.isneginf(scores).all(axis=-1)
        if settings.do_sample:
            scores[allowed] = warped(scores[allowed], settings)[0]
        if settings.renormalize_logits:
            scores[allowed] = log_softmax(scores[allowed])
    return scores


def ruled(
    scores: np.ndarray, tokens: np.ndarray, settings: GenerationSettings, sources: Sources | None = None
) -> np.ndarray:
    """The scores under the documented processors, in the order in which the library lists them.

    A single end token in ``bad_words_ids`` is ignored, as in transformers 4.57.6 (``NoBadWordsLogitsProcessor``): no
    text could end.

    Args, result and errors as ``processed``; where tokens are forced, 0 for them and -inf for the others.
    """
    scores = np.array(scores, dtype=np.float64)
    if settings.reads_source:
        _check_sources(sources, scores.shape[1], settings.reads_source[0])
    length = tokens.shape[1]
    for word, bias in settings.sequence_bias or ():
        scores[completing(word, tokens), word[-1]] += bias
    if sources is not None and settings.encoder_repetition_penalty != 1:
        for row, source in enumerate(sources.raised):
            # "Tokens that are not in the original input" are penalised by raising the score of those that are.
            scores[row] = penalised(scores[row], np.array(source, np.int64), 1 / settings.encoder_repetition_penalty)
    if settings.repetition_penalty != 1:
        scores = penalised(scores, tokens, settings.repetition_penalty)
    if settings.no_repeat_ngram_size:
        for row, text in enumerate(tokens.tolist()):
            text = text if settings.start_in_ngrams else text[1:]
            scores[row, repeated(text, settings.no_repeat_ngram_size)] = -np.inf
    if sources is not None and settings.encoder_no_repeat_ngram_size:
        for row, (text, source) in enumerate(zip(tokens.tolist(), sources.repeated, strict=True)):
            scores[row, following(text, source, settings.encoder_no_repeat_ngram_size)] = -np.inf
    for word in settings.bad_words_ids or ():
        if word not in [(end,) for end in settings.ends]:
            scores[completing(word, tokens), word[-1]] = -np.inf
    if length < settings.min_length:
        scores[:, list(settings.ends)] = -np.inf
    if settings.forced_bos_token_id is not None and length == 1:
        scores = _only((settings.forced_bos_token_id,), scores)
    if settings.forced_ends and length == settings.max_length - 1:
        scores = _only(settings.forced_ends, scores)
    if settings.exponential_decay_length_penalty is not None:
        start, factor = settings.exponential_decay_length_penalty
        steps = length - 1 - start
        if steps > 0:
            ends = list(settings.ends)
            allowed = np.where(np.isneginf(scores[:, ends]), 0.0, scores[:, ends])  # what is forbidden stays forbidden
            scores[:, ends] += np.abs(allowed) * (factor**steps - 1)
    if settings.suppress_tokens:
        scores[:, list(settings.suppress_tokens)] = -np.inf
    # A forced first token is not the model's choice; the beginning is then the token after it.
    if settings.begin_suppress_tokens and length == 1 + (settings.forced_bos_token_id is not None):
        scores[:, list(settings.begin_suppress_tokens)] = -np.inf
    return scores


def _check_sources(sources: Sources | None, vocabulary: int, setting: str) -> None:
    """Raises ValueError if there are no sources, or they are of a larger vocabulary than the text."""
    if sources is None:
        raise ValueError(f"{setting} is set, and the source has no tokens")
    largest = max((max(source) for source in sources.repeated if len(source)), default=0)
    if largest >= vocabulary:
        raise ValueError(f"{setting} is set, and the source has token {largest}, the text {vocabulary} tokens")


def completing(word: tuple[int, ...], tokens: np.ndarray) -> np.ndarray:
    """Whether the last token of a word would complete it.

    Args:
        word: token ids.
        tokens: int64 [rows, length], the start token first; it is no part of a word.

    Returns:
        bool [rows].
    """
    before = len(word) - 1
    if before == 0:
        return np.ones(len(tokens), dtype=bool)
    if tokens.shape[1] - 1 < before:
        return np.zeros(len(tokens), dtype=bool)
    return (tokens[:, -before:] == np.array(word[:-1])).all(axis=1)


def penalised(scores: np.ndarray, tokens: np.ndarray, penalty: float) -> np.ndarray:
    """Lowers the scores of tokens that are already in the text, once per token regardless of its count.

    Keskar et al. 2019, section 4.1, divide a score by the penalty. That would increase a negative score, which is
    multiplied instead, as in transformers 4.57.6 (``RepetitionPenaltyLogitsProcessor``); the start token is included.
    """
    said = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(said, tokens, True, axis=-1)
    return np.where(said, np.where(scores < 0, scores * penalty, scores / penalty), scores)


def repeated(text: list[int], size: int) -> list[int]:
    """Tokens that would complete an n-gram of length ``size`` that the text already has ("can only occur once")."""
    return following(text, text, size)


def following(text: Sequence[int], source: Sequence[int], size: int) -> list[int]:
    """Tokens that would complete an n-gram of length ``size`` that the source has: ``encoder_no_repeat_ngram_size``,
    "all ngrams of that size that occur in the encoder_input_ids cannot occur in the decoder_input_ids"."""
    if len(text) + 1 < size:
        return []
    source, last = list(source), list(text[len(text) - size + 1 :])
    return [source[i + size - 1] for i in range(len(source) - size + 1) if source[i : i + size - 1] == last]


def _only(tokens: tuple[int, ...], scores: np.ndarray) -> np.ndarray:
    forced = np.full_like(scores, -np.inf)
    forced[:, list(tokens)] = 0
    return forced
