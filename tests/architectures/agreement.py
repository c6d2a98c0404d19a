"""One example of a family: what the library answers, held against what a reference answers, within measured tolerances.

With ``torch`` the truth is the torch reference in float64, and the library is judged in float64 and in float32. With
``flax`` it is judged against the Flax reference in float64, and that one against the torch reference: the two agree.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.architectures import texts
from tests.architectures.answers import Answers, kind_of, of_library, of_reference
from tests.architectures.example import Example
from tests.architectures.judging import Compared, judged, logit_error

MEMBERS = ("sdpa", "eager+reversed-widths", "eager+permuted", "eager+permuted+reversed-widths", "sdpa+reversed-widths")
"""Those of ``parity.core.subject.noise_floor_ensemble`` that torch has, and their combinations: fused attention returns
no attentions, for which the other three are all there is (one alone is one sample of what conforming rounding does)."""
BY_LOSS_UTILS = ("BertLMHeadModel", "RobertaForCausalLM", "GPT2LMHeadModel", "BertGenerationDecoder")
"""Classes of the library that take their loss of the logits in float32, whatever the model's precision
(transformers 4.57.6, loss/loss_utils.py, ForCausalLMLoss)."""

Judgement = Iterator[tuple[str, Compared]]
"""What was judged, and how."""


def compared(asked: Example, reference: str) -> Judgement:
    """Every comparison of one example."""
    yield from (_with_torch if reference == "torch" else _with_flax)(asked)


def _with_torch(asked: Example) -> Judgement:
    truth, members = _torch(asked, "float64", "eager"), _members(asked, "float64")
    yield from _library(asked, truth, members)
    found, singles = _comparable(asked, of_library(asked, "float32")), _members(asked, "float32", "eager")
    truth, singles = _comparable(asked, truth), [_comparable(asked, each) for each in singles]
    # Behind a kink no gradient is claimed where roundings come near to it (parity.core.tensors.gradient_tensors).
    names = [n for n in truth if n in found and not (asked.has_kinks and kind_of(n) == "gradient")]
    for each in judged(asked, found, truth, singles, "float32", names):
        yield "library float32", each
    if asked.writes_text:
        yield from (("texts float64", each) for each in texts.equal(asked, "torch"))
        error = logit_error(truth, singles, "float32")
        yield from (("texts float32", each) for each in texts.equal_or_tied(asked, error))


def _with_flax(asked: Example) -> Judgement:
    flax, torch = of_reference(asked, "flax", "float64"), _torch(asked, "float64", "eager")
    members = _members(asked, "float64")
    assert set(flax) == set(torch)
    yield from (("flax against torch", each) for each in judged(asked, flax, torch, members, "float64", torch))
    yield from _library(asked, flax, [torch, *members])
    if asked.writes_text:
        yield from (("texts float64", each) for each in texts.equal(asked, "flax"))


def _library(asked: Example, truth: Answers, members: list[Answers]) -> Judgement:
    """The library in float64: every answer of its own, and that it has all there are."""
    found = of_library(asked, "float64")
    assert not set(found) - set(truth), sorted(set(found) - set(truth))
    for name in sorted(set(truth) - set(found)):
        # A parameter without a part in the loss has no gradient there, and one of zero here.
        note = "" if kind_of(name) == "gradient" and not truth[name].any() else "the library does not answer this"
        yield "library float64", Compared(name, 0.0, note)
    single = {n for n in found if kind_of(n) in ("loss", "gradient")} if asked.model_class in BY_LOSS_UTILS else set()
    found, truth = _comparable(asked, found), _comparable(asked, truth)
    members = [_comparable(asked, each) for each in members]
    double = [name for name in found if name not in single]
    yield from (("library float64", each) for each in judged(asked, found, truth, members, "float64", double))
    if single:
        # What such a loss and its gradients may be off is what the reference's are with its loss taken so.
        members = [_comparable(asked, _torch(asked, "float64", each, True)) for each in ("eager", *MEMBERS)]
        yield from (("library float64", each) for each in judged(asked, found, truth, members, "float32", single))


def _torch(asked: Example, dtype: str, variant: str, loss_in_float32: bool = False) -> Answers:
    return of_reference(asked, "torch", dtype, variant, loss_in_float32)


def _members(asked: Example, dtype: str, *others: str) -> list[Answers]:
    return [_torch(asked, dtype, variant) for variant in (*others, *MEMBERS)]


def _comparable(asked: Example, answers: Answers) -> Answers:
    """Without what the library leaves out by a quirk (``Example.masked_rows``)."""
    masked = {f"gradient of {name}" for name in asked.masked_rows}
    return {name: np.delete(array, 1, axis=0) if name in masked else array for name, array in answers.items()}
