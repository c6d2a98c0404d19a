"""Which values the cases of sampling pass: limits that no rounding moves a token over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parity.core.case import Case
from parity.judge.followup.sampling_cases import FEWEST_DRAWS, MOST_DRAWS, SCORES, sampling_cases
from reference.generation import GenerationSettings, warped

SETTINGS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "decoder_start_token_id": 2}
RULES = ("top-k", "top-p", "min-p", "typical-p", "epsilon-cutoff", "eta-cutoff", "combined")


def cases_of(logits: np.ndarray, start: int = 2, mask: tuple[int, ...] = (1, 1, 1, 0), **settings) -> dict[str, Case]:
    """For a batch of two rows, of which the second is sampled."""
    held = GenerationSettings.from_dict({**SETTINGS, **settings}).to_dict()
    arguments = {"num_beams": 1, "do_sample": False, "max_length": 9}
    alone = Case(
        "generate.single-row",
        "generate",
        {"input_ids": [[5, 6, 2]], "attention_mask": [[1, 1, 1]]},
        {"arguments": arguments},
        ("generate", "padding_is_unseen"),
        notes={"row": 1, "settings": held},
    )
    target = {"decoder_input_ids": [[start, 4, 5, 6], [start, 7, 8, 1]], "decoder_attention_mask": [[1] * 4, [*mask]]}
    forward = Case("forward", "forward", {"input_ids": [[3, 4, 5, 2], [5, 6, 2, 1]], **target})
    vocab = logits.shape[-1]
    table = np.stack([np.full((4, vocab), np.nan), np.stack([logits * share for share in (1.2, 1.1, 1.0, 0.1)])])
    return {case.name: case for case in sampling_cases(alone, forward, table)}


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(5))
def test_every_rule_drops_tokens_keeps_several_and_is_far_from_its_limit(seed, scale):
    logits = np.random.default_rng(seed).normal(0, scale, 97)
    found = cases_of(logits)
    plain = {"sample.plain", "sample.temperature", "sample-seeds"}
    assert set(found) == {*plain, *(f"sample.{name}" for name in RULES)}
    for name in RULES:
        settings = GenerationSettings.from_dict(found[f"sample.{name}"].notes["settings"])
        scores, (lead,) = warped(logits[None], settings)
        assert 1 < np.isfinite(scores).sum() < 97 and lead > 1e-3 * scale, (name, lead)


def test_the_text_is_the_target_of_the_row_without_its_padding():
    (case, *_) = cases_of(np.arange(9.0)).values()
    assert case.inputs == {"input_ids": [[5, 6, 2]], "attention_mask": [[1, 1, 1]], "decoder_input_ids": [[2, 7, 8]]}
    assert case.settings["arguments"]["max_length"] == 4 and case.settings["draws"] == MOST_DRAWS
    assert case.requires == ("generate", "sampling")
    (case, *_) = cases_of(np.arange(9.0), mask=(1, 0, 0, 0)).values()
    assert case.inputs["decoder_input_ids"] == [[2]] and case.settings["arguments"]["max_length"] == 2


def test_the_text_ends_where_the_next_token_is_the_least_certain():
    """The padding would be less certain still."""
    (case, *_) = cases_of(np.arange(9.0), mask=(1, 1, 1, 1)).values()
    assert case.inputs["decoder_input_ids"] == [[2, 7, 8, 1]]


def test_a_nearly_certain_token_gets_a_temperature_that_makes_it_less_so():
    for logits, temperature in ((np.zeros(9), 0.7), (np.eye(9)[0] * 6, 1.3)):
        assert cases_of(logits)["sample.temperature"].settings["arguments"]["temperature"] == temperature


def test_a_text_that_does_not_start_with_the_start_token_has_no_case():
    """The library would put it before the text."""
    assert not cases_of(np.arange(9.0), start=3)


def test_where_one_token_has_all_the_probability_no_rule_is_asked():
    found = cases_of(np.array([0.0, 500.0, *np.full(30, -1e9)]))
    assert set(found) <= {"sample.plain", "sample.temperature", "sample-seeds", "sample.top-k", "sample.min-p"}


def test_a_setting_of_the_file_is_passed_only_where_it_is_in_force():
    plain, stored = cases_of(np.arange(9.0)), cases_of(np.arange(9.0), min_p=0.05, typical_p=0.9)
    assert not {"min_p", "typical_p"} & set(plain["sample.plain"].settings["arguments"])
    assert stored["sample.plain"].settings["arguments"]["min_p"] == 0.0
    assert stored["sample.plain"].settings["arguments"]["typical_p"] == 1.0
    needs = [found["sample.plain"].requires for found in (stored, plain)]
    assert "newer_arguments" in needs[0] and "newer_arguments" not in needs[1]


@pytest.mark.parametrize("vocab", [50_265, 400_000])
def test_draws_of_a_large_vocabulary_are_fewer(vocab):
    logits = np.random.default_rng(0).normal(0, 1, vocab)
    draws = next(iter(cases_of(logits).values())).settings["draws"]
    assert draws == max(FEWEST_DRAWS, SCORES // vocab)


def test_the_rules_are_those_of_the_settings():
    """With the limit of a rule moved by its margin, another token is kept."""
    logits = np.random.default_rng(7).normal(0, 2, 31)
    case = cases_of(logits)["sample.top-k"]
    settings = GenerationSettings.from_dict(case.notes["settings"])
    more = replace(settings, top_k=settings.top_k + 1)
    kept = [np.isfinite(warped(logits[None], each)[0]).sum() for each in (settings, more)]
    assert kept == [settings.top_k, settings.top_k + 1]
