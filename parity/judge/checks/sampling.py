"""Sampling: the distribution that ``generate`` draws from, and the draws themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence
from parity.judge.generated_text import settings_of
from parity.judge.results import Comparison, Finding, Result
from reference.generation import DOCUMENTED, GenerationSettings, log_softmax, processed, repeated_sources, warped
from reference.generation.processors import ruled

_CONFIG = "text generation page, GenerationConfig"
_CASES = ("sample.*",)
LEVEL = 1e-9
"""The probability with which correct draws are reported as wrong."""
CLASSES = 16
"""The most classes of tokens whose frequencies are compared: the most probable tokens, and all others together."""
SETTINGS = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")


@check(
    "SAMPLE01",
    claim="the probabilities that a token is sampled from are those of the float64 oracle after temperature, top_k, "
    "top_p, min_p, typical_p, epsilon_cutoff and eta_cutoff",
    source=f"{_CONFIG}: do_sample and these fields; scores of the output of generate",
    likely_cause="a rule that is ignored, applied in another order, or one token off at its limit",
    cases=_CASES,
    requires=("sampling_scores",),
)
def distribution(evidence: Evidence) -> Iterator[Result]:
    """Differences of two scores may be off by twice the error of a logit, divided by the temperature. Which tokens are
    kept must be equal, except where rounding alone can move a token over a limit."""
    settings, tolerance = settings_of(evidence.case).resolved(DOCUMENTED), evidence.choice_tolerance()
    if tolerance is None:
        yield Finding(False, "logits has no tolerance: no reference returned finite values", "scores")
        return
    expected, lead = _expected(evidence, settings)
    actual = evidence.trace.arrays.get("scores")
    if actual is None or actual.shape != expected.shape:
        shape = "not returned" if actual is None else f"of shape {list(actual.shape)}"
        yield Finding(False, f"scores are {shape}, documented is one tensor [batch, vocab] for each token", "scores")
        return
    actual = actual.astype(np.float64)
    if np.isnan(actual).any() or np.isposinf(actual).any() or np.isneginf(actual).all():
        yield Finding(False, "scores are not finite", "scores", {"at": {"batch": 0}})
        return
    ours, theirs = log_softmax(expected)[0], log_softmax(actual)[0]
    kept, left = np.isfinite(ours), np.isfinite(theirs)
    bound = tolerance / settings.temperature
    if lead <= tolerance:
        yield _at_a_limit(tolerance, "scores")
        kept = left = kept & left
    if (kept != left).any() or not kept.any():
        yield Finding(False, _other_tokens(ours, theirs), "scores", _details(evidence, settings, theirs, bound))
        return
    errors = _differences(ours, theirs, kept)
    token, error = int(errors.argmax()), float(errors.max())
    what = f"token {token}: probability {np.exp(theirs[token]):.6g}, the oracle's is {np.exp(ours[token]):.6g}"
    yield Comparison(
        "scores",
        error,
        bound,
        "gap",
        {"batch": 0, "vocab": token},
        {"index": {"batch": 0, "vocab": token}, "actual": float(theirs[token]), "expected": float(ours[token])},
        against_oracle=True,
        vacuous=tolerance >= evidence.choice_threshold(),
        what=what,
        evidence=_details(evidence, settings, theirs, bound) if error > bound else {},
    )


def _differences(ours: np.ndarray, theirs: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """By token, the error of its score's difference from that of the oracle's best token; 0 where it is not kept."""
    best = int(np.where(kept, ours, -np.inf).argmax())
    shifts = np.where(kept, theirs, 0.0) - np.where(kept, ours, 0.0)
    return np.where(kept, np.abs(shifts - shifts[best]), 0.0)


def _at_a_limit(tolerance: float, tensor: str) -> Finding:
    what = f"a token is within {tolerance:.3g} of a limit, so more than one set of tokens is right"
    return Finding(True, what, tensor, exercised=False)


def _other_tokens(ours: np.ndarray, theirs: np.ndarray) -> str:
    kept, left = np.isfinite(ours), np.isfinite(theirs)
    token = int((kept != left).argmax())
    count = f"{left.sum()} tokens can be sampled, the documented rules keep {kept.sum()}"
    if kept[token]:
        return f"{count}; token {token}, whose probability is {np.exp(ours[token]):.4g}, is dropped"
    return f"{count}; token {token} has the probability {np.exp(theirs[token]):.4g}"


def _details(evidence: Evidence, settings: GenerationSettings, theirs: np.ndarray, bound: float) -> dict:
    """The settings that, each left out, explain the scores."""
    ignored = []
    for name, without in _each_left_out(settings):
        ours = log_softmax(_expected(evidence, without)[0])[0]
        kept = np.isfinite(ours)
        bound_without = bound * settings.temperature / without.temperature
        if (kept == np.isfinite(theirs)).all() and _differences(ours, theirs, kept).max() <= bound_without:
            ignored.append(name)
    return {"ignored": ignored}


def _each_left_out(settings: GenerationSettings) -> Iterator[tuple[str, GenerationSettings]]:
    for name in SETTINGS:
        neutral = 0 if name == "top_k" else getattr(GenerationSettings, name)
        if getattr(settings, name) != neutral:
            yield name, replace(settings, **{name: neutral})


def _expected(evidence: Evidence, settings: GenerationSettings) -> tuple[np.ndarray, float]:
    """The oracle's scores after all rules, ``[1, vocab]``, and the distance of the nearest token from a limit."""
    logits = evidence.oracle().arrays["next_logits"]
    text = np.array(evidence.case.inputs["decoder_input_ids"])
    sources = repeated_sources(evidence.case.inputs.get("input_ids"), 1)
    _, (lead,) = warped(ruled(logits, text, settings, sources), settings)
    return processed(logits, text, settings, sources), float(lead)


@check(
    "SAMPLE02",
    claim="tokens are drawn as often as their documented probability says",
    source=f"{_CONFIG}: do_sample; sampling",
    likely_cause="a search that is not random, draws from other scores than those returned, or an ignored setting",
    cases=_CASES,
)
def draws(evidence: Evidence) -> Iterator[Result]:
    """The relative entropy of the frequencies and the oracle's probabilities. Correct draws are beyond the bound with a
    probability below ``LEVEL`` (Agrawal 2020, "Finite-Sample Concentration of the Multinomial in Relative Entropy",
    theorem 1.2). A token that the rules drop must not be drawn."""
    settings, tokens = settings_of(evidence.case).resolved(DOCUMENTED), evidence.trace.arrays.get("draws")
    wanted = (1, evidence.case.settings["draws"])
    if tokens is None or tokens.shape != wanted:
        shape = "not returned" if tokens is None else f"of shape {list(tokens.shape)}"
        yield Finding(False, f"sequences are {shape}, expected {list(wanted)}", "draws")
        return
    tolerance = evidence.choice_tolerance()
    scores, lead = _expected(evidence, settings)
    if tolerance is not None and lead <= tolerance:
        yield _at_a_limit(tolerance, "draws")
        return
    vocab = scores.shape[-1]
    if tokens.min() < 0 or tokens.max() >= vocab:
        yield Finding(False, f"token {tokens.min() if tokens.min() < 0 else tokens.max()} is not in the vocabulary")
        return
    probabilities = np.exp(log_softmax(scores)[0])
    counts = np.bincount(tokens[0], minlength=vocab)
    # The probabilities themselves may be off by this factor's logarithm.
    error = (tolerance or 0.0) / settings.temperature
    found, bound = divergence(counts, probabilities), largest_divergence(int(counts.sum()), probabilities) + error
    ignored = _explaining_draws(evidence, settings, counts, error) if found > bound else {}
    impossible = np.flatnonzero((counts > 0) & (probabilities == 0))
    if impossible.size:
        times = int(counts[impossible].sum())
        what = f"{times} of {counts.sum()} draws are of tokens that the rules drop, such as token {impossible[0]}"
        yield Finding(False, what, "draws", {"at": {"batch": 0}, **ignored})
        return
    token = int(np.abs(counts / counts.sum() - probabilities).argmax())
    what = (
        f"token {token} was drawn {counts[token]} times of {counts.sum()}, expected is "
        f"{counts.sum() * probabilities[token]:.1f}"
    )
    if found <= bound and bound >= -math.log(float(probabilities.max())):
        # One token is so probable that taking it always could not be told from draws.
        yield Finding(True, what, "draws", exercised=False)
        return
    yield Comparison(
        "draws",
        found,
        bound,
        "gap",
        {"batch": 0, "vocab": token},
        against_oracle=True,
        what=what,
        evidence=ignored,
    )


def _explaining_draws(evidence: Evidence, settings: GenerationSettings, counts: np.ndarray, error: float) -> dict:
    """The settings that, each left out, explain the draws."""
    found = []
    for name, without in _each_left_out(settings):
        probabilities = np.exp(log_softmax(_expected(evidence, without)[0])[0])
        if divergence(counts, probabilities) <= largest_divergence(int(counts.sum()), probabilities) + error:
            found.append(name)
    return {"ignored": found}


def divergence(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """The relative entropy of the frequencies of classes of tokens to their probabilities, in nats; infinite if an
    impossible token was drawn.

    Args:
        counts: int ``[vocab]``. probabilities: float64 ``[vocab]``.
    """
    if ((counts > 0) & (probabilities == 0)).any():
        return math.inf
    frequencies, expected = _classes(counts / counts.sum(), probabilities)
    seen = frequencies > 0
    return float((frequencies[seen] * np.log(frequencies[seen] / expected[seen])).sum())


def largest_divergence(count: int, probabilities: np.ndarray) -> float:
    """The ``divergence`` that ``count`` correct draws exceed with a probability of at most ``LEVEL``.

    With k + 1 classes, P(divergence > x) <= exp(-n x) (e n x / k) ** k for x > k / n.
    """
    classes = len(_classes(probabilities, probabilities)[0]) - 1
    if classes == 0:
        return 1e-12  # the rounding of a sum
    low, high = classes / count, 1.0
    while _log_chance(high, count, classes) > math.log(LEVEL):
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _log_chance(middle, count, classes) <= math.log(LEVEL) else (middle, high)
    return high


def _log_chance(limit: float, count: int, classes: int) -> float:
    return -count * limit + classes * (1 + math.log(count * limit / classes))


def _classes(values: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and probabilities summed over the classes: the most probable tokens one by one, the others together."""
    order = np.argsort(-probabilities, kind="stable")
    order = order[probabilities[order] > 0]
    alone, others = order[: CLASSES - 1], order[CLASSES - 1 :]
    found = [
        np.append(array[alone], array[others].sum()) if others.size else array[alone]
        for array in (values, probabilities)
    ]
    return found[0], found[1]


@check(
    "SAMPLE03",
    claim="the same seed draws the same tokens again, and another seed others",
    source="text generation page: the seed argument of TensorFlow, prng_key of Flax, and the generator of torch",
    likely_cause="a seed that is ignored, or a generator that is not reset",
    cases=("sample-seeds",),
    needs_oracle=False,
)
def seeds(evidence: Evidence) -> Iterator[Result]:
    """Of two independent calls all draws are equal with the probability of one pair, to the power of their number;
    where that is above ``LEVEL`` other draws are not required."""
    first, again, other = (np.array(tokens) for tokens in evidence.trace.facts["draws"])
    at = int((first != again).argmax())
    what = f"draw {at} is token {first[at]}, and token {again[at]} with the same seed"
    yield Finding(bool((first == again).all()), what, "draws")
    frequencies = np.unique(first, return_counts=True)[1] / first.size
    by_chance = float((frequencies**2).sum()) ** first.size
    differ = bool((first != other).any())
    what = f"all {first.size} draws are those of another seed"
    yield Finding(differ or by_chance > LEVEL, what, "draws", exercised=by_chance <= LEVEL)
