"""Further cases of documented arguments, for ``--cases exhaustive``: each is the call of ``forward`` in another way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from parity.core.case import NOISE_FLOOR, Case, Rows
from parity.core.model_spec import ModelSpec

EMBEDDED = {"input_ids": "forward.inputs-embeds", "decoder_input_ids": "forward.decoder-inputs-embeds"}
"""By tokens, the case that passes embeddings in their place."""
REQUESTS = {"defaults": [], "hidden-states": ["output_hidden_states"], "attentions": ["output_attentions"]}
"""By the end of a case's name, the arguments ``output_*`` that are true."""
FIRST = ("list", "tuple", "dict")
"""Forms of the first argument, where it has all inputs."""
RATES = ("dropout", "attention_dropout", "activation_dropout")
"""Probabilities of dropout, by field of BartConfig."""
RATE = 0.25
SEEDS = [1, 1, 2]
"""Of the calls whose random numbers are compared; every other case makes the first call alone."""
ENCODED = {"output": "encoder-output", "tuple": "encoder-tuple", "states": "encoder-states"}
"""By form of ``encoder_outputs``, the end of a case's name."""
FORMS = ("own-parameters", "given-parameters", "vectorised", "parallel")
"""Forms of the whole call of a class that is a function of its parameters."""
OWN = "forward.own-decoder-inputs"
"""The call of a class that makes its decoder inputs from the source, with other decoder inputs."""


def exhaustive_cases(model_spec: ModelSpec, standard: Sequence[Case]) -> Iterator[Case]:
    """``forward.inputs-embeds`` and ``forward.decoder-inputs-embeds``: embeddings in place of the tokens of one half;
    ``forward.own-decoder-inputs`` and the same embeddings beside them, for classes that make their decoder inputs;
    ``forward.encoder-FORM``, or the same with those decoder inputs: with ``encoder_outputs`` in each form;
    ``forward.FORM``: the call in each form of ``FORMS``, and with given positions; ``forward.no-cache``: with
    ``use_cache=False``; ``forward.only-*``: with one ``output_*`` argument or none; ``forward.inputs-as-*``: with all
    inputs in the first argument; ``training.*``: in training mode, with other probabilities of dropout.

    Args:
        standard: the standard cases of the checkpoint.
    """
    case = next(case for case in standard if case.name == "forward")
    # From embeddings alone no class makes its decoder inputs.
    if "decoder_input_ids" in case.inputs or model_spec.decoder_only:
        for tokens in (each for each in EMBEDDED if each in case.inputs):
            needs = (*case.requires, "embedded")
            yield Case(EMBEDDED[tokens], "embedded", case.inputs, {"tokens": tokens}, needs)
    owned = model_spec.head in ("labels", "span")
    base, given = (OWN, {**case.inputs, **own_decoder_inputs(case.inputs)}) if owned else ("forward", case.inputs)
    if owned:
        yield Case(OWN, "forward", given, requires=case.requires, notes=NOISE_FLOOR)
        for tokens, name in EMBEDDED.items():
            needs = (*case.requires, "embedded")
            yield Case(f"{OWN}{name.removeprefix('forward')}", "embedded", given, {"tokens": tokens}, needs)
    if not model_spec.decoder_only:
        # Where the class documents nothing else, encode-decode passes the output object.
        for form in ENCODED if owned else [form for form in ENCODED if form != "output"]:
            needs = (*case.requires, "encode_decode", "encoder_forms")
            yield Case(f"{base}.{ENCODED[form]}", "encode_decode", given, {"form": form}, needs)
    for form in FORMS:
        needs = (*case.requires, "functional_calls")
        yield Case(f"forward.{form}", "in_form", case.inputs, {"form": form}, needs)
    # Decoder inputs made from the source have no positions of their own.
    if model_spec.speech is None:
        yield Case(f"{base}.positions", "in_form", given, {"form": "positions"}, (*case.requires, "positions"))
    needs = (*case.requires, "uncached")
    yield Case("forward.no-cache", "uncached", case.inputs, requires=needs)
    for name, requested in REQUESTS.items():
        needs = (*case.requires, "output_requests", *(each.removeprefix("output_") for each in requested))
        yield Case(f"forward.only-{name}", "requested", case.inputs, {"requested": requested}, needs)
    if model_spec.speech is None and not model_spec.decoder_only:
        for form in FIRST:
            needs = (*case.requires, "input_forms")
            yield Case(f"forward.inputs-as-{form}", "in_form", case.inputs, {"form": form}, needs)
    yield from _training_cases(model_spec, case)


def _training_cases(model_spec: ModelSpec, case: Case) -> Iterator[Case]:
    """The call in training mode, with one probability of dropout above 0, and with none."""
    if model_spec.composed:
        return
    drops = {"encoder_layerdrop": 1.0, "decoder_layerdrop": 1.0}
    given = {"without-dropout": {}, **{name.replace("_", "-"): {name: RATE} for name in RATES}, "layer-drop": drops}
    if not model_spec.decoder_only:
        # Without the encoder's layers nothing but the decoder's own changes its states.
        skipped = {"encoder_layerdrop": 1.0}
        given["decoder-alone"] = skipped
        given |= {f"decoder-{name.replace('_', '-')}": {**skipped, name: RATE} for name in RATES[1:]}
    if model_spec.head == "labels":
        given["classifier-dropout"] = {"classifier_dropout": RATE}
    needs = (*case.requires, "training_mode")
    none = dict.fromkeys((*RATES, *drops, "classifier_dropout"), 0.0)
    for name, rates in given.items():
        settings = {"rates": {**none, **rates}, "seeds": SEEDS if name == "dropout" else SEEDS[:1]}
        yield Case(f"training.{name}", "training", case.inputs, settings, needs)


def own_decoder_inputs(inputs: Mapping[str, Rows]) -> dict[str, Any]:
    """Decoder inputs as long as the source, since a classifier finds its state by the source's end token: the source
    backwards, with its second position masked."""
    tokens = np.array(inputs["input_ids"])
    mask = np.ones_like(tokens)
    mask[:, 1:2] = 0
    return {"decoder_input_ids": tokens[:, ::-1].tolist(), "decoder_attention_mask": mask.tolist()}
