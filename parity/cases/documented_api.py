"""Cases about documented behaviour of model classes that is not a numeric output."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from typing import Any

from parity.core.backends import library_backends
from parity.core.case import Case, Notes
from parity.core.model_spec import ModelSpec
from parity.core.resources import data
from reference.config.classes import CLASSES

METHODS = ("forward", "call", "__call__", "encode", "decode", "generate", "from_encoder_decoder_pretrained")
"""Conversion flags; a class has those of the other frameworks."""


@cache
def documented_calls() -> dict[str, Any]:
    """``parity/cases/data/calls.toml``: per library class, its source and the arguments of its methods."""
    return tomllib.loads(data("cases/data/calls.toml").read_text(encoding="utf-8"))


def documented_cases(model_spec: ModelSpec, standard: Iterable[Case] = ()) -> list[Case]:
    """Cases about a class's documented calls and loads.

    ``signature``; ``plain-load``, a load without arguments and its output for the inputs of the standard forward pass;
    for a composition also ``compose``, its halves joined again, and each conversion flag; for BART ``load-as.CLASS``,
    the file loaded by each other class; for a speech model ``frozen-gradients``, the standard gradients with the
    feature encoder frozen.
    """
    notes: Notes = {"only": _eager()}
    settings = {"methods": list(METHODS)}
    cases = [Case("signature", "signature", settings=settings, requires=("signature",), notes=notes)]
    if model_spec.composed:
        cases.append(Case("compose", "compose", requires=("compose",), notes=notes))
    if model_spec.composed and model_spec.speech is None:
        cases.append(Case("route", "route", requires=("load",), notes={"only": _eager("tensorflow")}))
    for case in (case for case in standard if case.name == "forward"):
        needs = (*case.requires, "load", "plain_load")
        cases.append(Case("plain-load", "plain_load", case.inputs, requires=needs, notes={"only": _eager("torch")}))
    others = () if model_spec.composed else CLASSES[model_spec.config.model_type]
    for name in (name for name in others if name != model_spec.model_class):
        needs = ("load", f"as_{name}")
        cases.append(Case(f"load-as.{name}", "load_as", settings={"model_class": name}, requires=needs, notes=notes))
    for case in (case for case in standard if case.name == "gradients" and model_spec.speech is not None):
        needs = (*case.requires, "freeze")
        own_notes: Notes = {**notes}
        if "lacking" in case.notes:
            own_notes["lacking"] = case.notes["lacking"]
        cases.append(Case("frozen-gradients", "frozen_gradients", case.inputs, requires=needs, notes=own_notes))
    return cases


def _eager(framework: str = "") -> list[list[str]]:
    """The libraries' backends. Signatures and weights do not depend on the attention, so eager represents all
    variants."""
    return [[name, "eager"] for name in library_backends(framework=framework)]
