"""Questions about documented behaviour of model classes that no number answers."""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Any

from parity.anatomy import Anatomy
from parity.cases import Case
from parity.resources import data

METHODS = ("forward", "call", "__call__", "encode", "decode", "from_encoder_decoder_pretrained")
"""Of which a class has those of its framework."""


@cache
def documented_calls() -> dict[str, Any]:
    """``parity/documented/calls.toml``: by class of the library, its source and the arguments of its methods."""
    return tomllib.loads(data("documented/calls.toml").read_text(encoding="utf-8"))


def documented_cases(anatomy: Anatomy) -> list[Case]:
    """``signature``; of a composition also ``compose``, its halves joined again, and what a conversion flag does."""
    notes, settings = {"only": LIBRARIES}, {"methods": list(METHODS)}
    cases = [Case("signature", "signature", settings=settings, requires=("signature",), notes=notes)]
    if anatomy.composed:
        cases.append(Case("compose", "compose", requires=("compose",), notes=notes))
    if anatomy.composed and anatomy.speech is None:
        cases.append(Case("route", "route", requires=("load",), notes={"only": [["hf-tf", "eager"]]}))
    return cases


LIBRARIES = [["hf-torch", "eager"], ["hf-tf", "eager"], ["hf-flax", "eager"]]
"""Attention changes neither a signature nor a weight: the eager variant speaks for the others."""
