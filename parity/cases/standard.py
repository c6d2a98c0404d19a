"""The standard questions put to every model: one batch, and what changes when one thing of it does.

Which questions there are follows from the model's anatomy: a decoder alone has no source, a classifier is given no
decoder inputs, only a model that writes text is asked to. Those about decoding stand in ``parity.cases.decoding``,
those about losses in ``parity.cases.losses``.
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
from parity.core.case import IGNORED, YARDSTICK, Case, Notes, shift_right
from parity.core.model_spec import Anatomy
from reference.generation import GenerationSettings

SEED = 20261121
ALONE = 1
"""The row asked again without its padding and with other mates: the shortest of the standard batch."""


@dataclass(frozen=True)
class Questions:
    """What the standard questions are made of.

    Args:
        source: what the encoder reads; for a decoder alone, states that an encoder might have made.
        target: what the decoder is fed; None where the class makes it of the source.
        labels: int ``[batch, tgt]``, -100 where ignored.
    """

    anatomy: Anatomy
    source: Sequence
    target: Sequence | None
    labels: np.ndarray

    @property
    def sequences(self) -> list[Sequence]:
        """In the order of the documented call: a decoder's own tokens come first where it stands alone."""
        both = [self.target, self.source] if self.anatomy.alone else [self.source, self.target]
        return [each for each in both if each is not None]

    @property
    def full(self) -> dict[str, Any]:
        """The documented call with nothing left to a default that the class lets be given."""
        return {name: value for sequence in self.sequences for name, value in sequence.inputs.items()}

    @property
    def row(self) -> int:
        return min(ALONE, len(self.labels) - 1)

    @cached_property
    def alone(self) -> dict[str, Any]:
        """One row by itself, without its padding."""
        return {name: value for sequence in self.sequences for name, value in sequence.row(self.row).inputs.items()}

    @property
    def kept(self) -> Notes:
        """That row, and its lengths by axis."""
        found: Notes = {"row": self.row, **_lengths(self.anatomy, int(self.source.lengths[self.row]))}
        # A class that is given no decoder inputs feeds its decoder the source, shifted.
        fed = self.source if self.target is None else self.target
        return {**found, "tgt": int(fed.lengths[self.row])}

    def changed(self, name: str, where: Any, rng: np.random.Generator) -> dict[str, Any]:
        """``full`` with one sequence changed wherever ``where`` says."""
        sequence = self.source if name == "source" or self.target is None else self.target
        return {**self.full, **sequence.changed(where, rng)}


def _lengths(anatomy: Anatomy, source: int) -> Notes:
    """Of a source, along the axes of tensors (``src``, ``frames``)."""
    if anatomy.speech is None:
        return {"src": source}
    return {"frames": anatomy.frames(source, adapted=False), "src": anatomy.frames(source)}


def standard_cases(
    anatomy: Anatomy, rows: list[dict[str, Any]] | None = None, generation: dict[str, Any] | None = None
) -> list[Case]:
    """The cases asked of every backend about one checkpoint.

    Args:
        rows: each with ``input_ids`` (or ``input_values``) and, if the caller has them, ``labels`` (then the targets;
            otherwise the source itself, as in denoising); without rows the standard synthetic batch.
        generation: the generation settings in force, by documented name; those in the config where not given.
    """
    rng = np.random.default_rng(SEED)
    questions = _questions(anatomy, rows, rng)
    cases = [each.without(_lacking(questions, each)) for each in _forward_cases(questions, rng)]
    mates = next((case.inputs for case in cases if case.name == "forward.other-mates"), questions.full)
    if questions.target is not None:
        cases += step_cases(questions.full, mates, questions.kept, alone=anatomy.alone)
    if anatomy.generates:
        if generation is None:
            generation = GenerationSettings.from_dict(dict(anatomy.raw)).to_dict()
        ordinary = ordinary_tokens(anatomy, anatomy.vocab)
        inputs = (questions.full, mates, questions.alone, questions.kept)
        cases += generation_cases(*inputs, generation, anatomy, ordinary)
    return [*cases, *loss_cases(anatomy, questions.full, questions.labels)]


def _lacking(questions: Questions, case: Case) -> dict[str, str]:
    """Tokens that a pass needs and the config lacks.

    A class that is not given decoder inputs makes them of the source, shifted right; a classifier reads off the ends.
    """
    anatomy, named = questions.anatomy, {"decoder_input_ids", "encoder_hidden_states"} & set(case.inputs)
    if case.operation == "load" or named or case.notes.get("no_encoder"):
        return {}
    ends = anatomy.lacking("eos_token_id") if anatomy.head == "labels" else {}
    return {**anatomy.lacking_to_shift, **ends}


def _questions(anatomy: Anatomy, rows: list[dict[str, Any]] | None, rng: np.random.Generator) -> Questions:
    given = rows or synthetic_rows(anatomy, rng)
    labels, mask = labels_of(given)
    if not rows:
        # RoBERTa counts positions without padding, and in steps it cannot know of padding among the tokens before:
        # there the label that is ignored is the last, which the decoder is never fed.
        counted = getattr(getattr(anatomy.config, "decoder", None), "model_type", "") == "roberta"
        labels[0, -1 if counted else min(2, labels.shape[1] - 1)] = IGNORED
    source = source_of(anatomy, given)
    if anatomy.alone:
        states = as_single(rng.normal(0.0, 1.0, (*source.mask.shape, anatomy.decoder.d_model)))
        beside = Sequence("encoder_hidden_states", "encoder_attention_mask", states, source.mask)
        words = ordinary_tokens(anatomy, anatomy.vocab)
        fed = np.where(mask > 0, np.where(labels == IGNORED, words[0], labels), anatomy.pad or 0)
        return Questions(anatomy, beside, Sequence("input_ids", "attention_mask", fed, mask, words), labels)
    if anatomy.head in ("labels", "span"):
        return Questions(anatomy, source, None, labels)
    words = ordinary_tokens(anatomy, anatomy.vocab)
    # Where the config has no start or padding, a decoder that is given its inputs computes with any other token.
    start = words[0] if anatomy.start is None else anatomy.start
    fed = shift_right(labels, anatomy.pad or 0, start)
    target = Sequence("decoder_input_ids", "decoder_attention_mask", fed, mask, words)
    return Questions(anatomy, source, target, labels)


def _forward_cases(questions: Questions, rng: np.random.Generator) -> Iterator[Case]:
    full, anatomy = questions.full, questions.anatomy
    yield Case("load", "load", requires=("load",))
    yield Case("forward", "forward", full, notes=YARDSTICK)
    yield Case("forward.repeated", "repeat", full)
    yield Case("forward.tuple", "tuple", full, requires=("tuple",))
    if anatomy.alone and questions.target is not None:
        notes: Notes = {**YARDSTICK, "no_encoder": True}
        yield Case("forward.no-encoder", "forward", dict(questions.target.inputs), notes=notes)
    if anatomy.head in ("language", "none") and not anatomy.alone:
        yield Case("encode-decode", "encode_decode", full, requires=("encode_decode",))
    if not (anatomy.alone or anatomy.composed):
        needs = ("default_decoder_inputs",)
        yield Case("forward.defaults", "forward", {"input_ids": full["input_ids"]}, requires=needs, notes=YARDSTICK)
    yield from _row_cases(questions, rng)
    yield from _changed_cases(questions, rng)
    if not anatomy.composed:
        silenced = {**full, **head_masks(anatomy)}
        notes: Notes = {**YARDSTICK, "head": 1}
        yield Case("forward.head-masks", "forward", silenced, requires=("head_masks",), notes=notes)


def _row_cases(questions: Questions, rng: np.random.Generator) -> Iterator[Case]:
    """One row by itself, and with other mates."""
    kept, shown = questions.kept, questions.anatomy.padding_shows
    needs = ("padding_is_unseen",) if shown else ()
    notes: Notes = {**YARDSTICK, **kept}
    if shown:
        notes["lacking"] = {"padding_is_unseen": shown}
    yield Case("forward.alone", "forward", questions.alone, requires=needs, notes=notes)
    others = (np.arange(len(questions.labels)) != questions.row)[:, None]
    mates = dict(questions.full)
    for sequence in questions.sequences:
        mates |= sequence.changed(others & (sequence.mask > 0), rng)
    yield Case("forward.other-mates", "forward", mates, notes={**YARDSTICK, **kept})
    if len(questions.labels) > 1 and questions.anatomy.speech is None:
        yield _masked_mate(questions)


def _masked_mate(questions: Questions) -> Case:
    """One row may look at nothing of its source. What it then is no page says, so that it sets no budget.

    Audio is not asked: of no samples the number of frames is negative.
    """
    masked = int(questions.row == 0)
    source = questions.source
    mask = np.where(np.arange(len(source.mask))[:, None] == masked, 0, source.mask)
    inputs = {**questions.full, source.mask_name: mask.tolist()}
    return Case("forward.masked-mate", "forward", inputs, notes={"masked": masked})


def _changed_cases(questions: Questions, rng: np.random.Generator) -> Iterator[Case]:
    """The whole batch with one part of it exchanged: what comes later, the source's end, what is masked."""
    source, target, anatomy = questions.source, questions.target, questions.anatomy
    if target is not None:
        width = target.mask.shape[1]
        position = max(1, width // 2)
        inputs = questions.changed("target", (np.arange(width) >= position)[None, :], rng)
        yield Case("forward.other-future", "forward", inputs, notes={**YARDSTICK, "tgt": position})
    # A classifier's last token is its end, and a text may hold nothing else; of audio one frame's samples are changed,
    # or none of it might be seen.
    last = source.lengths - 1 - (anatomy.head == "labels")
    first = last if anatomy.speech is None else last + 1 - anatomy.speech.receptive_field
    if (last >= 0).all():
        places = np.arange(source.mask.shape[1])
        inputs = questions.changed("source", (places >= first[:, None]) & (places <= last[:, None]), rng)
        lengths = [_lengths(anatomy, int(length)) for length in source.lengths]
        yield Case("forward.other-source", "forward", inputs, notes={**YARDSTICK, "rows": lengths})
    hidden = dict(questions.full)
    for sequence in questions.sequences:
        hidden |= sequence.changed(sequence.mask == 0, rng)
    shown = anatomy.padding_shows
    needs = ("padding_is_unseen",) if shown else ()
    notes: Notes = {**YARDSTICK}
    if shown:
        notes["lacking"] = {"padding_is_unseen": shown}
    yield Case("forward.other-padding", "forward", hidden, requires=needs, notes=notes)


def head_masks(anatomy: Anatomy) -> dict[str, Any]:
    """Silences the second head (the only one, if there is but one) of the first layer of each attention."""
    if anatomy.alone:
        names = {"head_mask": anatomy.decoder, "cross_attn_head_mask": anatomy.decoder}
    else:
        decoder = anatomy.decoder
        names = {"head_mask": anatomy.encoder, "decoder_head_mask": decoder, "cross_attn_head_mask": decoder}
    masks = {}
    for name, stack in names.items():
        mask = np.ones((stack.layers, stack.heads))
        mask[0, min(1, stack.heads - 1)] = 0.0
        masks[name] = mask.tolist()
    return masks
