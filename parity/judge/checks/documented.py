"""Documented behaviour: what a class is called with, its mode after loading, and two halves made one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from parity.cases.documented_api import documented_calls
from parity.core.trace import Trace
from parity.judge.checks.loading import table_names
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence
from parity.judge.results import Finding, Result

_PAGES = "BART, encoder-decoder and speech-encoder-decoder pages, the signature of each class's call"
_COMPOSING = "encoder-decoder page, from_encoder_decoder_pretrained, and its way from PyTorch to TensorFlow"
_VALUES: dict[str, Any] = {"True": True, "False": False}


@check(
    "DOC01",
    claim="every documented argument of a class's call is taken by its name, with its default, in its documented place",
    source=_PAGES,
    likely_cause="an argument that a new release dropped, or swallows unread, so that what stood behind it moved "
    "forward",
    cases=("signature",),
    requires=("signature",),
    needs_oracle=False,
)
def calls_are_documented(evidence: Evidence) -> Iterator[Result]:
    """Arguments behind the documented ones are nobody's loss; one before them moves all that are given by place."""
    found = evidence.trace.facts["signatures"]
    documented = documented_calls()[evidence.subject.model_class]
    for method, arguments in documented.items():
        if method == "source":
            continue
        parameters = found.get(method)
        if parameters is None:
            yield Finding(False, f"there is no {method}", method)
            continue
        yield from _arguments(method, arguments, parameters)


def _arguments(method: str, documented: list[str], found: list[list[Any]]) -> Iterator[Result]:
    taken = {name: (default, must) for name, default, must in found}
    for place, text in enumerate(documented):
        name, _, written = text.removesuffix("!").partition("=")
        there = name in taken
        yield Finding(there, f"{method} has no argument {name}", f"{method}.{name}")
        if not there:
            continue
        wanted = (_VALUES.get(written), text.endswith("!"))
        if method != "from_encoder_decoder_pretrained":
            what = f"{method}: {name} has the default {taken[name][0]!r}, documented is {wanted[0]!r}"
            yield Finding(taken[name] == wanted, what, f"{method}.{name}")
        at = found[place][0] if place < len(found) else "nothing"
        yield Finding(at == name, f"{method}: argument {place} is {at}, documented is {name}", f"{method}.order")


@check(
    "DOC02",
    claim="a model that was loaded is in evaluation mode",
    source="main classes, PreTrainedModel.from_pretrained: the model is set in evaluation mode by default",
    likely_cause="a path through loading that builds the model and forgets model.eval()",
    cases=("load",),
    requires=("load", "modes"),
    needs_oracle=False,
)
def loaded_models_evaluate(evidence: Evidence) -> Iterator[Result]:
    """With dropout left on, every answer is another."""
    training = evidence.trace.facts["report"]["training"]
    yield Finding(training is False, "the model is in training mode after loading", "training")


@check(
    "DOC03",
    claim="two halves saved by their own classes and joined are the composition they came from: its bits, a causal "
    "decoder with cross-attention, in evaluation mode",
    source=_COMPOSING,
    likely_cause="a half loaded under another prefix, or a decoder whose cross-attention is made up anew",
    cases=("compose",),
    requires=("compose",),
    needs_oracle=False,
)
def halves_are_the_composition(evidence: Evidence) -> Iterator[Result]:
    """The map between two widths belongs to neither half, and is made up as documented."""
    facts, stored = evidence.trace.facts, evidence.file.facts["parameters"]
    for name, parameter in stored.items():
        if name.startswith("enc_to_dec_proj."):
            continue
        same_table = [each for each in table_names(evidence, name) if each in facts["parameters"]]
        if not same_table:
            yield Finding(False, f"{name} is in neither half", name)
        for each in same_table:
            same = facts["parameters"][each]["digest"] == parameter["digest"]
            yield Finding(same, f"{each} is not what the half was saved with", each)
    for flag, value in facts["flags"].items():
        yield Finding(value is True, f"{flag} is {value} of the joined model", flag)
    if facts["training"] is not None:
        yield Finding(facts["training"] is False, "a half of the joined model is in training mode", "training")


@check(
    "DOC04",
    claim="TFEncoderDecoderModel.from_pretrained raises where it is given from_pt=True",
    source="encoder-decoder page: initialising from a PyTorch checkpoint is not supported, and from_pt=True will raise",
    likely_cause="a restriction that was lifted and not taken out of the page",
    cases=("route",),
    requires=("load",),
    needs_oracle=False,
)
def the_documented_error_is_raised(evidence: Evidence) -> Iterator[Result]:
    """It is asked of checkpoints that hold PyTorch's weights alone; who loads plainly has nothing to convert."""
    route = evidence.trace.facts["route"]
    yield Finding(
        route == "plain", f"{route} is documented to raise, and it loads", "route", exercised=route != "plain"
    )


@check(
    "DOC05",
    claim="a published checkpoint answers what its document says: tokens, texts, labels, words and losses",
    source="the golden catalogue, fixtures/documented; each value names its document and place",
    likely_cause="another tokenizer, weights that were not loaded, a default of generate that changed, or an "
    "outdated page",
    cases=("documented.*",),
    needs_oracle=False,
)
def documented_values_hold(evidence: Evidence) -> Iterator[Result]:
    """Of a text the tokens are compared, which the checkpoint's own tokenizer makes of the documented one."""
    value, notes, trace = evidence.case.notes["value"], evidence.case.notes, evidence.trace
    tensor, answer = _ANSWERS[value["ask"]]
    found = answer(value, notes, trace)
    expected = notes.get("tokens", value["expected"])
    shown = "" if expected == value["expected"] else f" ({value['expected']!r})"
    what = f"the answer is {found!r}, documented is {expected!r}{shown} ({value['source']})"
    yield Finding(found == expected, what, tensor, {"found": found, "expected": expected})


def _tokens(value: Any, notes: Any, trace: Trace) -> list[int]:
    return trace.facts["texts"]["False"][0]["ids"]


def _text(value: Any, notes: Any, trace: Trace) -> list[int]:
    return [token for token in trace.arrays["sequences"][0].tolist() if token not in notes["special"]]


def _label(value: Any, notes: Any, trace: Trace) -> str:
    place = int(trace.arrays["logits"][0].argmax())
    return notes["names"].get(str(place), f"LABEL_{place}")


def _span(value: Any, notes: Any, trace: Trace) -> list[int]:
    start, end = (int(trace.arrays[f"{side}_logits"][0].argmax()) for side in ("start", "end"))
    return notes["source"][start : end + 1]


def _words(value: Any, notes: Any, trace: Trace) -> list[int]:
    scores = trace.arrays["logits"][0, notes["place"]]
    best = np.argsort(-scores, kind="stable")[: len(value["expected"])]
    return best.tolist()


def _loss(value: Any, notes: Any, trace: Trace) -> float:
    return round(float(np.mean(trace.arrays["loss"], dtype=np.float64)), value["digits"])


def _states(value: Any, notes: Any, trace: Trace) -> list[float]:
    numbers = trace.arrays["encoder.last"][0, 0, : len(value["expected"])]
    return [round(float(number), value["digits"]) for number in numbers]


_ANSWERS: dict[str, tuple[str, Callable[[Any, Any, Trace], Any]]] = {
    "tokens": ("ids", _tokens),
    "text": ("sequences", _text),
    "label": ("logits", _label),
    "span": ("start_logits", _span),
    "words": ("logits", _words),
    "loss": ("loss", _loss),
    "states": ("encoder.last", _states),
}
"""By what is asked: the tensor that the answer is read off, and how."""


FEATURE_ENCODER = "encoder.feature_extractor."


@check(
    "DOC06",
    claim="frozen as documented, the feature encoder has no gradient, and every other parameter has its own",
    source="speech-encoder-decoder page, freeze_feature_encoder: its parameters will not be updated during training",
    likely_cause="a freeze that stops at the projection behind the convolutions, or that the call swallows unread",
    cases=("frozen-gradients",),
    also=("gradients",),
    requires=("freeze", "gradients"),
    needs_oracle=False,
)
def the_frozen_encoder_stands_still(evidence: Evidence) -> Iterator[Result]:
    """Held against the class's own gradients without the freeze, which GRAD01 holds against the oracle."""
    moved = set(evidence.trace.facts["moved"])
    arrays = evidence.trace_of("gradients").arrays
    free = {name.removeprefix("gradient."): np.any(array) for name, array in arrays.items() if name != "loss"}
    for name in sorted(moved | set(free)):
        frozen = name.startswith(FEATURE_ENCODER)
        what = "has a gradient, though it is frozen" if frozen else "has lost its gradient"
        yield Finding(name not in moved if frozen else (name in moved) == free.get(name, False), f"{name} {what}", name)
    frozen = [name for name, moves in free.items() if moves and name.startswith(FEATURE_ENCODER)]
    yield Finding(bool(frozen), "no parameter of a feature encoder has a gradient without the freeze", "gradients")


PLAIN = "main classes, PreTrainedModel.from_pretrained: dtype, device_map, attn_implementation; model.eval() by default"


@check(
    "DOC07",
    claim="loaded with nothing but its directory, a model has the dtype, the device and the mode that its version "
    "documents, and those that it has in every other version",
    source=PLAIN,
    likely_cause="a default of from_pretrained that changed between versions: 5 keeps the dtype of the file, 4 "
    "widens it",
    cases=("plain-load",),
    requires=("load", "plain_load"),
    needs_oracle=False,
)
def plain_loads_are_documented(evidence: Evidence) -> Iterator[Result]:
    """Nobody who leaves an argument out is told that it means something else since an update.

    What differs between versions is said of the newer one, with how far the answers move. Two attentions are two orders
    of the same sums: they may differ where no answer does.
    """
    facts, older = evidence.trace.facts, _older(evidence)
    wanted = _documented_dtype(evidence)
    found = _phrase(facts["dtypes"])
    what = f"parameters are {found}; {_release(evidence.version)} documents {wanted}"
    yield Finding(wanted is None or found == wanted, what, "documented-dtype")
    yield Finding(_phrase(facts["devices"]) == "cpu", f"the model is on {_phrase(facts['devices'])}", "device")
    yield Finding(facts["training"] is False, "the model is in training mode", "training")
    for field, noun in (
        ("dtypes", "dtype"),
        ("devices", "device"),
        ("training", "training"),
        ("attention", "attention"),
    ):
        own = _phrase(facts[field])
        for label, trace in older:
            theirs = _phrase(trace.facts[field])
            moves, apart = _moves(evidence, trace, label)
            # In another dtype the answers move whatever the attention is.
            alike = facts["dtypes"].keys() == trace.facts["dtypes"].keys()
            ok = own == theirs or (field == "attention" and not (apart and alike))
            yield Finding(ok, f"{noun} is {own}, and {theirs} in {label}: {moves}", noun)


def _older(evidence: Evidence) -> list[tuple[str, Trace]]:
    """The same load in each older version of the run, and of one of the same version in the stack named before."""
    own = (evidence.version, evidence.subject.label)
    found = evidence.in_other_stacks(evidence.case.name)
    return [
        (f"{each.label} ({_release(version)})", trace) for each, version, trace in found if (version, each.label) < own
    ]


def _documented_dtype(evidence: Evidence) -> str | None:
    """Of a load without ``dtype``: float32 before 5.0, since then what the checkpoint states or is stored in."""
    return evidence.stated_dtype if evidence.version >= (5,) else "float32"


def _moves(evidence: Evidence, other: Trace, label: str) -> tuple[str, bool]:
    """How far the two answers are from the oracle's, in words; and whether the subject's own is out of tolerance."""
    name = next(iter(evidence.trace.arrays), "")
    own, theirs = (evidence.distance(trace, name, "forward") for trace in (evidence.trace, other))
    if own is None or theirs is None:
        return "how far the answers move cannot be said without the oracle's", True
    limit = own[1]
    tolerance = "" if limit is None else f" (tolerance in {evidence.subject.dtype}: {limit:.2g})"
    words = f"{name} are {own[0]:.2g} of their scale from the oracle's, {theirs[0]:.2g} in {label}{tolerance}"
    return words, limit is None or own[0] > limit


def _phrase(found: Any) -> str:
    """What most are, or one after the other where there are several."""
    return " and ".join(sorted(found)) if isinstance(found, dict) else str(found)


def _release(version: tuple[int, ...]) -> str:
    return f"transformers {'.'.join(map(str, version))}"
