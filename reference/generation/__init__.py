"""Greedy search, sampling and beam search from their description, in plain numpy, for any decoder of any framework.

``generate`` searches or samples, ``score_tokens`` and ``score_draws`` score a given text, ``reachable`` lists the
results that near ties could have led to, and a ``Dialect`` contains the choices in which implementations differ.
"""

from __future__ import annotations

from reference.generation.decoder import Decoder
from reference.generation.dialect import DOCUMENTED, Dialect
from reference.generation.generate import Generated, generate, repeated_sources
from reference.generation.judging import TokenDraws, TokenScores, score_draws, score_tokens
from reference.generation.processors import log_softmax, processed
from reference.generation.reachable import Outcome, Reachable, reachable
from reference.generation.sampling import Draws, uniform_numbers
from reference.generation.search import Beam, Hypothesis, Search, advance
from reference.generation.settings import (
    GENERATION_FILE,
    GenerationSettings,
    held_settings,
    settings_in_config,
    stored_settings,
)
from reference.generation.validation import NEUTRAL_ARGUMENTS, SettingError, shown
from reference.generation.warpers import warped

__all__ = [
    "DOCUMENTED",
    "GENERATION_FILE",
    "NEUTRAL_ARGUMENTS",
    "Beam",
    "Decoder",
    "Dialect",
    "Draws",
    "Generated",
    "GenerationSettings",
    "Hypothesis",
    "Outcome",
    "Reachable",
    "Search",
    "SettingError",
    "TokenDraws",
    "TokenScores",
    "advance",
    "generate",
    "held_settings",
    "log_softmax",
    "processed",
    "reachable",
    "repeated_sources",
    "score_draws",
    "score_tokens",
    "settings_in_config",
    "shown",
    "stored_settings",
    "uniform_numbers",
    "warped",
]
