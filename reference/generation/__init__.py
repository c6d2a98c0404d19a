"""Greedy and beam search from their description, in plain numpy, for any decoder of any framework.

``generate`` searches, ``score_tokens`` judges a given text, ``reachable`` says what near ties could have led to, and
a ``Dialect`` is what implementations decide differently.
"""

from __future__ import annotations

from reference.generation.decoder import Decoder
from reference.generation.dialect import DOCUMENTED, Dialect
from reference.generation.generate import Generated, generate
from reference.generation.judging import TokenScores, score_tokens
from reference.generation.processors import log_softmax, processed
from reference.generation.reachable import Outcome, Reachable, reachable
from reference.generation.search import Beam, Hypothesis, Search, advance
from reference.generation.settings import GENERATION_FILE, GenerationSettings

__all__ = [
    "DOCUMENTED",
    "GENERATION_FILE",
    "Beam",
    "Decoder",
    "Dialect",
    "Generated",
    "GenerationSettings",
    "Hypothesis",
    "Outcome",
    "Reachable",
    "Search",
    "TokenScores",
    "advance",
    "generate",
    "log_softmax",
    "processed",
    "reachable",
    "score_tokens",
]
