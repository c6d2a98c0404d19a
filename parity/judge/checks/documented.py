"""Documented behaviour: call signatures, the mode after loading, composing two halves, published values."""

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
_COMPOSING = "encoder-decoder page, from_encoder_decoder_pretrained, and its conversion from PyTorch to TensorFlow"
_VALUES: dict[str, Any] = {"True": True, "False": False}


@check(
    "DOC01",
    claim="every documented argument of a class's call exists with its name, default and position",
    source=_PAGES,
    likely_cause="an argument that a new release removed or ignores, so that later arguments moved forward",
    cases=("signature",),
    requires=("signature",),
    needs_oracle=False,
)
def calls_are_documented(evidence: Evidence) -> Iterator[Result]:
    """Additional arguments after the documented ones are harmless; one before them shifts all positional arguments."""
    found = evidence.trace.facts["signatures"]
    documented = documented_calls()[evidence.subject.model_class]
    for method, arguments in documented.items():
        if method == "source":
            continue
        parameters = found.get(method)
        if parameters is None:
            yield Finding(False, f"method {method} is missing", method)
            continue
        yield from _arguments(method, arguments, parameters)


def _arguments(method: str, documented: list[str], found: list[list[Any]]) -> Iterator[Result]:
    accepted = {name: (default, required) for name, default, required in found}
    for position, text in enumerate(documented):
        name, _, written = text.removesuffix("!").partition("=")
        exists = name in accepted
        yield Finding(exists, f"{method} has no argument {name}", f"{method}.{name}")
        if not exists:
            continue
        wanted = (_VALUES.get(written), text.endswith("!"))
        if method != "from_encoder_decoder_pretrained":
            what = f"{method}: {name} has the default {accepted[name][0]!r}, documented is {wanted[0]!r}"
            yield Finding(accepted[name] == wanted, what, f"{method}.{name}")
        at = found[position][0] if position < len(found) else "missing"
        yield Finding(at == name, f"{method}: argument {position} is {at}, documented is {name}", f"{method}.order")


@check(
    "DOC02",
    claim="a loaded model is in evaluation mode",
    source="main classes, PreTrainedModel.from_pretrained: the model is set in evaluation mode by default",
    likely_cause="a loading path that builds the model without calling model.eval()",
    cases=("load",),
    requires=("load", "modes"),
    needs_oracle=False,
)
def loaded_models_evaluate(evidence: Evidence) -> Iterator[Result]:
    """With dropout left on, every call returns other values."""
    training = evidence.trace.facts["report"]["training"]
    yield Finding(training is False, "the model is in training mode after loading", "training")


@check(
    "DOC03",
    claim="two halves saved by their own classes and composed again equal the original composition bit for bit; the "
    "decoder is causal with cross-attention, and the model is in evaluation mode",
    source=_COMPOSING,
    likely_cause="a half loaded under another prefix, or a decoder whose cross-attention is randomly initialised",
    cases=("compose",),
    requires=("compose",),
    needs_oracle=False,
)
def halves_are_the_composition(evidence: Evidence) -> Iterator[Result]:
    """The projection between two widths belongs to neither half. It is randomly initialised, as documented."""
    facts, stored = evidence.trace.facts, evidence.file.facts["parameters"]
    for name, parameter in stored.items():
        if name.startswith("enc_to_dec_proj."):
            continue
        aliases = [each for each in table_names(evidence, name) if each in facts["parameters"]]
        if not aliases:
            yield Finding(False, f"{name} is in neither half", name)
        for each in aliases:
            same = facts["parameters"][each]["digest"] == parameter["digest"]
            yield Finding(same, f"{each} differs from the saved half", each)
    for flag, value in facts["flags"].items():
        yield Finding(value is True, f"{flag} of the composed model is {value}", flag)
    if facts["training"] is not None:
        yield Finding(facts["training"] is False, "a half of the composed model is in training mode", "training")


@check(
    "DOC04",
    claim="TFEncoderDecoderModel.from_pretrained raises if from_pt=True is passed",
    source="encoder-decoder page: initialising from a PyTorch checkpoint is not supported, and from_pt=True will raise",
    likely_cause="a restriction that was lifted, but is still documented",
    cases=("route",),
    requires=("load",),
    needs_oracle=False,
)
def the_documented_error_is_raised(evidence: Evidence) -> Iterator[Result]:
    """Judged on checkpoints with PyTorch weights only; a checkpoint that loads without a flag needs no conversion."""
    route = evidence.trace.facts["route"]
    yield Finding(
        route == "plain", f"{route} is documented to raise, but it loads", "route", exercised=route != "plain"
    )


@check(
    "DOC05",
    claim="a published checkpoint reproduces its documented values: tokens, texts, labels, words and losses",
    source="the golden catalogue, fixtures/documented; each value names its document and section",
    likely_cause="another tokenizer, weights that were not loaded, a changed default of generate, or an outdated page",
    cases=("documented.*",),
    needs_oracle=False,
)
def documented_values_hold(evidence: Evidence) -> Iterator[Result]:
    """Texts are compared as tokens: the checkpoint's own tokenizer encodes the documented text."""
    value, notes, trace = evidence.case.notes["value"], evidence.case.notes, evidence.trace
    tensor, answer = _ANSWERS[value["ask"]]
    found = answer(value, notes, trace)
    expected = notes.get("tokens", value["expected"])
    shown = "" if expected == value["expected"] else f" ({value['expected']!r})"
    what = f"the result is {found!r}, documented is {expected!r}{shown} ({value['source']})"
    yield Finding(found == expected, what, tensor, {"found": found, "expected": expected})


def _tokens(value: Any, notes: Any, trace: Trace) -> list[int]:
    return trace.facts["texts"]["False"][0]["ids"]


def _text(value: Any, notes: Any, trace: Trace) -> list[int]:
    return [token for token in trace.arrays["sequences"][0].tolist() if token not in notes["special"]]


def _label(value: Any, notes: Any, trace: Trace) -> str:
    index = int(trace.arrays["logits"][0].argmax())
    return notes["names"].get(str(index), f"LABEL_{index}")


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
"""By the kind of documented value: the tensor to read, and the function that reads it."""


FEATURE_ENCODER = "encoder.feature_extractor."


@check(
    "DOC06",
    claim="a frozen feature encoder has no gradients, and every other parameter still has one",
    source="speech-encoder-decoder page, freeze_feature_encoder: its parameters will not be updated during training",
    likely_cause="a freeze that covers only part of the feature encoder, or an argument that the call ignores",
    cases=("frozen-gradients",),
    depends_on=("gradients",),
    requires=("freeze", "gradients"),
    needs_oracle=False,
)
def frozen_encoder_has_no_gradients(evidence: Evidence) -> Iterator[Result]:
    """Compared with the class's own gradients without the freeze, which GRAD01 compares with the oracle."""
    moved = set(evidence.trace.facts["moved"])
    arrays = evidence.trace_of("gradients").arrays
    free = {name.removeprefix("gradient."): np.any(array) for name, array in arrays.items() if name != "loss"}
    for name in sorted(moved | set(free)):
        frozen = name.startswith(FEATURE_ENCODER)
        what = "has a gradient, although it is frozen" if frozen else "has lost its gradient"
        yield Finding(name not in moved if frozen else (name in moved) == free.get(name, False), f"{name} {what}", name)
    frozen = [name for name, moves in free.items() if moves and name.startswith(FEATURE_ENCODER)]
    yield Finding(bool(frozen), "no parameter of a feature encoder has a gradient without the freeze", "gradients")


PLAIN = "main classes, PreTrainedModel.from_pretrained: dtype, device_map, attn_implementation; model.eval() by default"


@check(
    "DOC07",
    claim="loaded with only its directory, a model has the documented dtype, device and mode, and the same ones in "
    "every other version of the library",
    source=PLAIN,
    likely_cause="a changed default of from_pretrained: version 5 loads in the dtype of the file, version 4 in float32",
    cases=("plain-load",),
    requires=("load", "plain_load"),
    needs_oracle=False,
)
def plain_loads_are_documented(evidence: Evidence) -> Iterator[Result]:
    """A changed default of an omitted argument is not announced to the user.

    A difference between versions is reported for the newer one, with its effect on the outputs. Another attention
    implementation only reorders the same sums: it is no difference while the outputs are within tolerance.
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
            effect, out_of_tolerance = _effect(evidence, trace, label)
            # In another dtype the outputs change whatever the attention is.
            alike = facts["dtypes"].keys() == trace.facts["dtypes"].keys()
            ok = own == theirs or (field == "attention" and not (out_of_tolerance and alike))
            yield Finding(ok, f"{noun} is {own}, and {theirs} in {label}: {effect}", noun)


def _older(evidence: Evidence) -> list[tuple[str, Trace]]:
    """The same load in each older version of the run; of two stacks with one version, in the stack whose label sorts
    first."""
    own = (evidence.version, evidence.subject.label)
    found = evidence.in_other_stacks(evidence.case.name)
    return [
        (f"{each.label} ({_release(version)})", trace) for each, version, trace in found if (version, each.label) < own
    ]


def _documented_dtype(evidence: Evidence) -> str | None:
    """The dtype of a load without ``dtype``: float32 before 5.0, since then the checkpoint's stated or stored dtype."""
    return evidence.stated_dtype if evidence.version >= (5,) else "float32"


def _effect(evidence: Evidence, other: Trace, label: str) -> tuple[str, bool]:
    """The error of both outputs against the oracle, as text; and whether the subject's own is out of tolerance."""
    name = next(iter(evidence.trace.arrays), "")
    own, theirs = (evidence.distance(trace, name, "forward") for trace in (evidence.trace, other))
    if own is None or theirs is None:
        return "the effect on the outputs is unknown without the oracle", True
    limit = own[1]
    tolerance = "" if limit is None else f" (tolerance in {evidence.subject.dtype}: {limit:.2g})"
    words = f"relative error of {name} against the oracle: {own[0]:.2g}, in {label} {theirs[0]:.2g}{tolerance}"
    return words, limit is None or own[0] > limit


def _phrase(found: Any) -> str:
    """The values as text, sorted and joined by "and"."""
    return " and ".join(sorted(found)) if isinstance(found, dict) else str(found)


def _release(version: tuple[int, ...]) -> str:
    return f"transformers {'.'.join(map(str, version))}"
