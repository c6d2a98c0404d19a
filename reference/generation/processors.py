"""What may come next: the documented rules that forbid or force tokens, applied to scores."""

from __future__ import annotations

import numpy as np

from reference.generation.settings import GenerationSettings


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis in float64; those of log-probabilities are themselves, up to rounding."""
    logits = np.asarray(logits, dtype=np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def processed(scores: np.ndarray, tokens: np.ndarray, settings: GenerationSettings) -> np.ndarray:
    """The scores of the next token under the documented processors, in the order in which the library lists them.

    Args:
        scores: float64 [rows, vocab]; logits in greedy search, log-probabilities in beam search.
        tokens: int64 [rows, length], each row's text so far, the start token first.
        settings: resolved ones.

    Returns:
        float64 [rows, vocab]: -inf where a token is forbidden; where one is forced, 0 for it and -inf for the others.
        Probabilities are not normalised again (``renormalize_logits`` is documented as off).
    """
    scores = np.array(scores, dtype=np.float64)
    length = tokens.shape[1]
    if settings.no_repeat_ngram_size:
        for row, text in enumerate(tokens.tolist()):
            scores[row, repeated(text, settings.no_repeat_ngram_size)] = -np.inf
    if length < settings.min_length and settings.eos_token_id is not None:
        scores[:, settings.eos_token_id] = -np.inf
    if settings.forced_bos_token_id is not None and length == 1:
        scores = _only(settings.forced_bos_token_id, scores)
    if settings.forced_eos_token_id is not None and length == settings.max_length - 1:
        scores = _only(settings.forced_eos_token_id, scores)
    return scores


def repeated(text: list[int], size: int) -> list[int]:
    """Tokens that would end an n-gram of ``size`` which the text already has ("can only occur once")."""
    if len(text) + 1 < size:
        return []
    last = text[len(text) - size + 1 :]
    return [text[i + size - 1] for i in range(len(text) - size + 1) if text[i : i + size - 1] == last]


def _only(token: int, scores: np.ndarray) -> np.ndarray:
    forced = np.full_like(scores, -np.inf)
    forced[:, token] = 0
    return forced
