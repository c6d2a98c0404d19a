"""The standard cases of every model: one batch, and variations of it in one respect each.

The set of cases depends on the model spec: a decoder-only model has no source, a classifier takes no decoder inputs,
and only generative models generate text. Decoding cases are in ``parity.cases.decoding``, loss cases in
``parity.cases.losses``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from parity.cases.batch import Sequence, as_single, labels_of, ordinary_tokens, source_of, synthetic_rows
from parity.cases.decoding import generation_cases, step_cases
from parity.cases.losses import loss_cases
from parity.core.case import IGNORED, NOISE_FLOOR, Case, Notes, shift_right
from parity.core.model_spec import ModelSpec
from reference.generation import GenerationSettings

SEED = 20261121
ALONE = 1
"""The row that is run alone without its padding and with other rows: the shortest of the standard batch."""


@dataclass(frozen=True)
class CaseInputs:
    """The inputs that the standard cases are made from.

    Args:
        source: the encoder's input; for a decoder-only model, hidden states in place of an encoder's.
        target: the decoder's input; None where the class makes it from the source.
        labels: int ``[batch, tgt]``, -100 where ignored.
    """

    model_spec: ModelSpec
    source: Sequence
    target: Sequence | None
    labels: np.ndarray

    @property
    def sequences(self) -> list[Sequence]:
        """In the order of the documented call: without an encoder, the decoder's tokens come first."""
        both = [self.target, self.source] if self.model_spec.decoder_only else [self.source, self.target]
        return [each for each in both if each is not None]

    @property
    def full(self) -> dict[str, Any]:
        """The documented call with every argument given that the class accepts."""
        return {name: value for sequence in self.sequences for name, value in sequence.inputs.items()}

    @property
    def row(self) -> int:
        return min(ALONE, len(self.labels) - 1)

    @cached_property
    def alone(self) -> dict[str, Any]:
        """The checked row alone, without its padding."""
        return {name: value for sequence in self.sequences for name, value in sequence.row(self.row).inputs.items()}

    @property
    def base_notes(self) -> Notes:
        """That row's index, and its lengths by axis."""
        found: Notes = {"row": self.row, **_lengths(self.model_spec, int(self.source.lengths[self.row]))}
        # A class that takes no decoder inputs feeds its decoder the shifted source.
        fed = self.source if self.target is None else self.target
        return {**found, "tgt": int(fed.lengths[self.row])}

    def changed(self, name: str, where: Any, rng: np.random.Generator) -> dict[str, Any]:
        """``full`` with one sequence changed wherever ``where`` is true."""
        sequence = self.source if name == "source" or self.target is None else self.target
        return {**self.full, **sequence.changed(where, rng)}


def _lengths(model_spec: ModelSpec, source: int) -> Notes:
    """A source's length along the axes of tensors (``src``, ``frames``)."""
    if model_spec.speech is None:
        return {"src": source}
    return {"frames": model_spec.frames(source, adapted=False), "src": model_spec.frames(source)}


def standard_cases(
    model_spec: ModelSpec, rows: list[dict[str, Any]] | None = None, generation: dict[str, Any] | None = None
) -> list[Case]:
    """The standard cases of one checkpoint.

    Args:
        rows: each with ``input_ids`` (or ``input_values``) and optionally ``labels``, the targets (default: the source
            itself, as in denoising). Without rows the standard synthetic batch is used.
        generation: the generation settings in force, by documented name; those in the config where not given.
    """
    rng = np.random.default_rng(SEED)
    case_inputs = _questions(model_spec, rows, rng)
    cases = [each.without(_lacking(case_inputs, each)) for each in _forward_cases(case_inputs, rng)]
    other_rows = next((case.inputs for case in cases if case.name == "forward.perturbed-batch"), case_inputs.full)
    if case_inputs.target is not None:
        cases += step_cases(case_inputs.full, other_rows, case_inputs.base_notes, decoder_only=model_spec.decoder_only)
    if model_spec.generates:
        if generation is None:
            generation = GenerationSettings.from_dict(dict(model_spec.raw)).to_dict()
        ordinary = ordinary_tokens(model_spec, model_spec.vocab)
        inputs = (case_inputs.full, other_rows, case_inputs.alone, case_inputs.base_notes)
        cases += generation_cases(*inputs, generation, model_spec, ordinary)
    return [*cases, *loss_cases(model_spec, case_inputs.full, case_inputs.labels)]


def documented_call(model_spec: ModelSpec) -> dict[str, np.ndarray]:
    """The inputs of the case ``forward``: the documented call, with every argument that the class accepts."""
    inputs = _questions(model_spec, None, np.random.default_rng(SEED)).full
    case = Case("forward", "forward", inputs)
    return {name: case.array(name) for name in case.inputs}


def _lacking(case_inputs: CaseInputs, case: Case) -> dict[str, str]:
    """Special tokens that a forward pass needs and the config lacks.

    A class without decoder inputs makes them from the source, shifted right; a classifier pools at the end tokens.
    """
    model_spec, named = case_inputs.model_spec, {"decoder_input_ids", "encoder_hidden_states"} & set(case.inputs)
    if case.operation == "load" or named or case.notes.get("no_encoder"):
        return {}
    ends = model_spec.lacking("eos_token_id") if model_spec.head == "labels" else {}
    return {**model_spec.lacking_to_shift, **ends}


def _questions(model_spec: ModelSpec, rows: list[dict[str, Any]] | None, rng: np.random.Generator) -> CaseInputs:
    given = rows or synthetic_rows(model_spec, rng)
    labels, mask = labels_of(given)
    if not rows:
        # RoBERTa counts positions without padding, which stepwise decoding cannot reproduce for padding among earlier
        # tokens. So its ignored label is the last one, which is never a decoder input.
        counted = getattr(getattr(model_spec.config, "decoder", None), "model_type", "") == "roberta"
        labels[0, -1 if counted else min(2, labels.shape[1] - 1)] = IGNORED
    source = source_of(model_spec, given)
    if model_spec.decoder_only:
        states = as_single(rng.normal(0.0, 1.0, (*source.mask.shape, model_spec.decoder.d_model)))
        beside = Sequence("encoder_hidden_states", "encoder_attention_mask", states, source.mask)
        words = ordinary_tokens(model_spec, model_spec.vocab)
        fed = np.where(mask > 0, np.where(labels == IGNORED, words[0], labels), model_spec.pad or 0)
        return CaseInputs(model_spec, beside, Sequence("input_ids", "attention_mask", fed, mask, words), labels)
    if model_spec.head in ("labels", "span"):
        return CaseInputs(model_spec, source, None, labels)
    words = ordinary_tokens(model_spec, model_spec.vocab)
    # Where the config has no start token or padding, a decoder that is given its inputs can use any other token.
    start = words[0] if model_spec.start is None else model_spec.start
    fed = shift_right(labels, model_spec.pad or 0, start)
    target = Sequence("decoder_input_ids", "decoder_attention_mask", fed, mask, words)
    return CaseInputs(model_spec, source, target, labels)


def _forward_cases(case_inputs: CaseInputs, rng: np.random.Generator) -> Iterator[Case]:
    full, model_spec = case_inputs.full, case_inputs.model_spec
    yield Case("load", "load", requires=("load",))
    yield Case("forward", "forward", full, notes=NOISE_FLOOR)
    yield Case("forward.repeated", "repeat", full)
    yield Case("forward.tuple", "tuple", full, requires=("tuple",))
    if model_spec.decoder_only and case_inputs.target is not None:
        notes: Notes = {**NOISE_FLOOR, "no_encoder": True}
        yield Case("forward.no-encoder", "forward", dict(case_inputs.target.inputs), notes=notes)
    if model_spec.head in ("language", "none") and not model_spec.decoder_only:
        yield Case("encode-decode", "encode_decode", full, requires=("encode_decode",))
    if not (model_spec.decoder_only or model_spec.composed):
        needs = ("default_decoder_inputs",)
        yield Case("forward.defaults", "forward", {"input_ids": full["input_ids"]}, requires=needs, notes=NOISE_FLOOR)
    yield from _row_cases(case_inputs, rng)
    yield from _changed_cases(case_inputs, rng)
    if not model_spec.composed:
        silenced = {**full, **head_masks(model_spec)}
        notes: Notes = {**NOISE_FLOOR, "head": 1}
        yield Case("forward.head-masks", "forward", silenced, requires=("head_masks",), notes=notes)


def _row_cases(case_inputs: CaseInputs, rng: np.random.Generator) -> Iterator[Case]:
    """One row alone, and with other rows."""
    base_notes, shown = case_inputs.base_notes, case_inputs.model_spec.padding_shows
    needs = ("padding_is_unseen",) if shown else ()
    notes: Notes = {**NOISE_FLOOR, **base_notes}
    if shown:
        notes["lacking"] = {"padding_is_unseen": shown}
    yield Case("forward.single-row", "forward", case_inputs.alone, requires=needs, notes=notes)
    others = (np.arange(len(case_inputs.labels)) != case_inputs.row)[:, None]
    other_rows = dict(case_inputs.full)
    for sequence in case_inputs.sequences:
        other_rows |= sequence.changed(others & (sequence.mask > 0), rng)
    yield Case("forward.perturbed-batch", "forward", other_rows, notes={**NOISE_FLOOR, **base_notes})
    if len(case_inputs.labels) > 1 and case_inputs.model_spec.speech is None:
        yield _fully_masked_row(case_inputs)


def _fully_masked_row(case_inputs: CaseInputs) -> Case:
    """One row's source is fully masked. No document defines the result, so it sets no tolerance.

    Not for audio: without samples the number of frames would be negative.
    """
    masked = int(case_inputs.row == 0)
    source = case_inputs.source
    mask = np.where(np.arange(len(source.mask))[:, None] == masked, 0, source.mask)
    inputs = {**case_inputs.full, source.mask_name: mask.tolist()}
    return Case("forward.fully-masked-row", "forward", inputs, requires=("empty_source",), notes={"masked": masked})


def _changed_cases(case_inputs: CaseInputs, rng: np.random.Generator) -> Iterator[Case]:
    """The whole batch with one part changed: later target positions, the end of the source, masked positions."""
    source, target, model_spec = case_inputs.source, case_inputs.target, case_inputs.model_spec
    if target is not None:
        width = target.mask.shape[1]
        position = max(1, width // 2)
        inputs = case_inputs.changed("target", (np.arange(width) >= position)[None, :], rng)
        yield Case("forward.perturbed-future", "forward", inputs, notes={**NOISE_FLOOR, "tgt": position})
    # A classifier's last token is its end token, which may be the whole text. Of audio, all samples of a frame change,
    # because the encoder might ignore fewer.
    last = source.lengths - 1 - (model_spec.head == "labels")
    first = last if model_spec.speech is None else last + 1 - model_spec.speech.receptive_field
    if (last >= 0).all():
        positions = np.arange(source.mask.shape[1])
        inputs = case_inputs.changed("source", (positions >= first[:, None]) & (positions <= last[:, None]), rng)
        lengths = [_lengths(model_spec, int(length)) for length in source.lengths]
        yield Case("forward.perturbed-source", "forward", inputs, notes={**NOISE_FLOOR, "rows": lengths})
    hidden = dict(case_inputs.full)
    for sequence in case_inputs.sequences:
        hidden |= sequence.changed(sequence.mask == 0, rng)
    shown = model_spec.padding_shows
    needs = ("padding_is_unseen",) if shown else ()
    notes: Notes = {**NOISE_FLOOR}
    if shown:
        notes["lacking"] = {"padding_is_unseen": shown}
    yield Case("forward.perturbed-padding", "forward", hidden, requires=needs, notes=notes)


def head_masks(model_spec: ModelSpec) -> dict[str, Any]:
    """Silences the second head (or the only one) of the first layer of each attention."""
    if model_spec.decoder_only:
        names = {"head_mask": model_spec.decoder, "cross_attn_head_mask": model_spec.decoder}
    else:
        decoder = model_spec.decoder
        names = {"head_mask": model_spec.encoder, "decoder_head_mask": decoder, "cross_attn_head_mask": decoder}
    masks = {}
    for name, stack in names.items():
        mask = np.ones((stack.layers, stack.heads))
        mask[0, min(1, stack.heads - 1)] = 0.0
        masks[name] = mask.tolist()
    return masks
