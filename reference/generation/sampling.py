"""Sampling: a uniform number selects a token by the cumulative sum of the probabilities, so the numbers determine the
text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.generation.dialect import DOCUMENTED, Dialect
from reference.generation.settings import GenerationSettings
from reference.generation.warpers import odds_distance


@dataclass(frozen=True)
class Draws:
    """The interval of each number: float64 [rows, steps], ``lower <= number < upper``; 0 and 1 where a row had
    ended."""

    numbers: np.ndarray
    lower: np.ndarray
    """The summed probability of tokens with lower ids than the one taken."""
    upper: np.ndarray
    """The same including the token taken, so ``upper - lower`` is its probability."""


def uniform_numbers(seed: int, batch: int, settings: GenerationSettings, dialect: Dialect = DOCUMENTED) -> np.ndarray:
    """As many uniform numbers as a text can need, by numpy's PCG64: float64 [steps, batch * num_return_sequences].

    The numbers of the first steps do not depend on how many steps there are.
    """
    steps = settings.resolved(dialect).max_length - 1
    return np.random.Generator(np.random.PCG64(seed)).random((steps, batch * settings.num_return_sequences))


def checked_numbers(numbers: np.ndarray | None, steps: int, rows: int) -> np.ndarray:
    """The uniform numbers, validated.

    Raises:
        ValueError: there are none or too few, or one is not in [0, 1).
    """
    if numbers is None:
        raise ValueError("do_sample is set, but no uniform numbers are given")
    numbers = np.asarray(numbers, dtype=np.float64)
    if numbers.ndim != 2 or len(numbers) < steps or numbers.shape[1] != rows:
        raise ValueError(f"uniform numbers have shape {list(numbers.shape)}, expected [{steps} or more, {rows}]")
    if not ((numbers >= 0) & (numbers < 1)).all():
        raise ValueError("uniform numbers are not all in [0, 1)")
    return numbers


def bounds(scores: np.ndarray) -> np.ndarray:
    """The cumulative probabilities in order of ids: float64 [rows, vocab], ending with 1.

    Args:
        scores: float64 [rows, vocab], log-probabilities up to a constant; every row allows a token.
    """
    sums = np.cumsum(np.exp(scores - scores.max(axis=-1, keepdims=True)), axis=-1)
    return sums / sums[:, -1:]


def drawn(upper: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The selected tokens: in each row the first whose bound is above the number. int64 [rows]."""
    return (upper <= numbers[:, None]).sum(axis=-1)


def interval(upper: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The intervals of numbers that select these tokens, lower and upper bound: float64 [rows] each."""
    rows = np.arange(len(upper))
    return np.where(tokens > 0, upper[rows, tokens - 1], 0.0), upper[rows, tokens]


def margin(numbers: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The change of the difference of two scores at which a number leaves its interval: [rows]."""
    return np.minimum(odds_distance(numbers, lower), odds_distance(numbers, upper))
