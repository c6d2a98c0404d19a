"""The checks of sampling on distributions by hand: what passes, what fails, and which setting explains it."""

from __future__ import annotations

from dataclasses import replace
from math import e, exp, log
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from parity.core.case import Case
from parity.judge.checks.sampling import LEVEL, distribution, divergence, draws, largest_divergence
from parity.judge.results import Comparison, Finding
from reference.generation import DOCUMENTED, GenerationSettings, log_softmax, processed

LOGITS = np.log([[0.3, 0.25, 0.2, 0.12, 0.08, 0.05]])
TOLERANCE = 1e-4
COUNT = 4096
RULES = {"temperature": 0.7, "top_k": 3, "top_p": 0.6, "min_p": 0.5, "typical_p": 0.3, "epsilon_cutoff": 0.1}
RULES |= {"eta_cutoff": 0.5}


def evidence(given: dict[str, Any], scores: np.ndarray | None = None, tokens: np.ndarray | None = None, **other: Any):
    """A cell whose subject returned these scores and draws."""
    wanted = {"do_sample": True, "top_k": 0, "max_length": 2, "decoder_start_token_id": 0, **given}
    settings = GenerationSettings.from_dict({}, **wanted)
    case = Case(
        "sample.case",
        "sample",
        {"input_ids": [[3]], "decoder_input_ids": [[0]]},
        {"draws": COUNT},
        notes={"settings": settings.to_dict()},
    )
    arrays = {name: array for name, array in (("scores", scores), ("draws", tokens)) if array is not None}
    found = {"case": case, "trace": SimpleNamespace(arrays=arrays), "choice_tolerance": lambda: TOLERANCE}
    found |= {"choice_threshold": lambda: 1.0, "oracle": lambda: SimpleNamespace(arrays={"next_logits": LOGITS})}
    return SimpleNamespace(**{**found, **other})


def scores_of(given: dict[str, Any]) -> np.ndarray:
    settings = GenerationSettings.from_dict({}, **{"do_sample": True, "top_k": 0, "decoder_start_token_id": 0, **given})
    return processed(LOGITS, np.array([[0]]), settings.resolved(DOCUMENTED))


def drawn_of(given: dict[str, Any], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice(LOGITS.shape[-1], (1, COUNT), p=np.exp(log_softmax(scores_of(given))[0]))


@pytest.mark.parametrize("name", RULES)
def test_each_rule_passes_and_fails_where_it_is_ignored(name):
    given = {name: RULES[name]}
    right, wrong = evidence(given, scores_of(given), drawn_of(given)), evidence(given, scores_of({}), drawn_of({}))
    for check in (distribution, draws):
        (result,) = check(right)
        assert isinstance(result, Comparison) and result.ok and not result.vacuous, (name, result)
        (result,) = check(wrong)
        assert not result.ok and result.evidence["ignored"] == [name], (name, result)


@pytest.mark.parametrize(
    ("given", "other"),
    [
        ({"top_k": 3}, {"top_k": 2}),
        ({"top_k": 3}, {"top_k": 4}),
        ({"top_p": 0.6}, {"top_p": 0.5}),
        ({"temperature": 0.7}, {"temperature": 0.701}),
        ({"temperature": 2.0, "top_p": 0.7}, {"temperature": 2.0, "top_k": 3}),
    ],
)
def test_another_value_fails_and_no_setting_explains_it(given, other):
    (result,) = distribution(evidence(given, scores_of(other)))
    assert not result.ok and result.evidence["ignored"] == []


def test_an_order_of_the_rules_that_keeps_other_tokens_fails():
    """top_p before the temperature."""
    given = {"temperature": 2.0, "top_p": 0.7}
    settings = GenerationSettings.from_dict({}, do_sample=True, top_k=0, decoder_start_token_id=0, **given)
    first = processed(LOGITS, np.array([[0]]), replace(settings.resolved(DOCUMENTED), temperature=1.0))
    (result,) = distribution(evidence(given, first / 2.0))
    assert not result.ok and result.what.startswith("3 tokens can be sampled, the documented rules keep 4; token 3,")


def test_a_constant_added_to_all_scores_changes_nothing():
    (result,) = distribution(evidence({}, scores_of({}) + 5.0))
    assert result.ok


def test_errors_within_the_tolerance_pass_and_beyond_it_name_the_token():
    moved = scores_of({}).copy()
    moved[0, 4] += 0.5 * TOLERANCE
    assert all(result.ok for result in distribution(evidence({}, moved)))
    moved[0, 4] += 2 * TOLERANCE
    (result,) = distribution(evidence({}, moved))
    assert not result.ok and result.at == {"batch": 0, "vocab": 4} and "token 4: probability 0.08" in result.what


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (None, "scores are not returned"),
        (np.zeros((1, 3)), "scores are of shape [1, 3]"),
        (np.full((1, 6), np.nan), "scores are not finite"),
        (np.full((1, 6), -np.inf), "scores are not finite"),
    ],
)
def test_scores_that_cannot_be_read_are_one_line(scores, said):
    (result,) = distribution(evidence({}, scores))
    assert isinstance(result, Finding) and not result.ok and result.what.startswith(said)


def test_a_token_at_a_limit_may_be_kept_or_dropped_and_the_others_are_compared():
    given, near = {"min_p": 0.2 / 0.3 * (1 + TOLERANCE / 4)}, {"min_p": 0.2 / 0.3 * (1 - TOLERANCE / 4)}
    for other in (given, near):
        limit, compared = distribution(evidence(given, scores_of(other)))
        assert limit.exercised is False and compared.ok
    moved = scores_of(near).copy()
    moved[0, 1] += 3 * TOLERANCE
    assert [each.ok for each in distribution(evidence(given, moved))] == [True, False]
    (result,) = draws(evidence(given, tokens=drawn_of(near)))
    assert result.ok and result.exercised is False


def test_at_a_limit_another_set_without_any_common_token_fails():
    given = {"min_p": 0.2 / 0.3 * (1 + TOLERANCE / 4)}
    alone = np.full((1, 6), -np.inf)
    alone[0, 5] = 0.0
    _, result = distribution(evidence(given, alone))
    assert not result.ok


def test_without_a_tolerance_nothing_passes():
    (result,) = distribution(evidence({}, scores_of({}), choice_tolerance=lambda: None))
    assert not result.ok


def test_a_search_in_place_of_draws_fails():
    (result,) = draws(evidence({}, tokens=np.zeros((1, COUNT), np.int64)))
    assert not result.ok and result.what == f"token 0 was drawn {COUNT} times of {COUNT}, expected is {COUNT * 0.3:.1f}"


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (None, "sequences are not returned"),
        (np.zeros((1, 5), np.int64), "sequences are of shape [1, 5]"),
        (np.full((1, COUNT), 6), "token 6 is not in the vocabulary"),
        (np.full((1, COUNT), -1), "token -1 is not in the vocabulary"),
    ],
)
def test_draws_that_cannot_be_read_are_one_line(tokens, said):
    (result,) = draws(evidence({}, tokens=tokens))
    assert isinstance(result, Finding) and not result.ok and result.what.startswith(said)


def test_one_draw_of_a_dropped_token_fails():
    given = {"top_k": 3}
    tokens = drawn_of(given)
    tokens[0, 7] = 5
    (result,) = draws(evidence(given, tokens=tokens))
    assert not result.ok and result.what == f"1 of {COUNT} draws are of tokens that the rules drop, such as token 5"


def test_draws_of_a_nearly_certain_token_decide_nothing_and_are_no_alarm():
    (result,) = draws(evidence({"temperature": 0.02}, tokens=np.zeros((1, COUNT), np.int64)))
    assert isinstance(result, Finding) and result.ok and result.exercised is False


def test_correct_draws_pass_whatever_the_seed():
    largest = max(draws_ratio(seed) for seed in range(200))
    assert largest < 0.6, "LEVEL is far beyond what 200 runs reach"


def draws_ratio(seed: int) -> float:
    (result,) = draws(evidence({}, tokens=drawn_of({}, seed)))
    return result.ratio


def test_the_bound_is_that_of_the_theorem():
    """Of two classes: exp(-n x) (e n x) at the bound is the level."""
    bound = largest_divergence(1000, np.array([0.4, 0.6]))
    assert exp(-1000 * bound) * e * 1000 * bound == pytest.approx(LEVEL, rel=1e-6)
    assert divergence(np.array([400, 600]), np.array([0.4, 0.6])) == pytest.approx(0.0, abs=1e-15)
    assert divergence(np.array([10, 0]), np.array([0.5, 0.5])) == pytest.approx(log(2))
    assert divergence(np.array([10, 1]), np.array([1.0, 0.0])) == float("inf")


def test_many_tokens_are_compared_in_classes():
    probabilities = np.full(1000, 1e-3)
    counts = np.bincount(np.random.default_rng(1).integers(0, 1000, COUNT), minlength=1000)
    assert divergence(counts, probabilities) < largest_divergence(COUNT, probabilities) < 0.02
