"""Drawing text by given numbers: by hand, and what holds whatever is drawn."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log

import numpy as np
import pytest
from hypothesis import given as over
from hypothesis import strategies as st

from reference.generation import generate, processed, reachable, score_draws, score_tokens, uniform_numbers, warpers
from tests.profiles import examples
from tests.reference.generation.samples import END, PAD, START, VOCAB, A, B, C, Told, drawn, fed, given, probabilities

# In the order of ids: the end up to .25, a up to .5, b up to .875, c up to 1.
CHANCES = {END: 0.25, A: 0.25, B: 0.375, C: 0.125}
SAMPLED = given(do_sample=True, top_k=0, max_length=4)


def sampled(table, numbers, rows=1, **settings):
    return generate(
        Told([probabilities(table)]), 1, replace(SAMPLED, **settings), uniforms=np.reshape(numbers, (-1, rows))
    )


def odds(chance):
    return log(chance / (1 - chance))


@pytest.mark.parametrize(
    ("number", "token", "lower", "upper"),
    [(0.0, END, 0, 0.25), (0.249, END, 0, 0.25), (0.25, A, 0.25, 0.5), (0.6, B, 0.5, 0.875), (0.999, C, 0.875, 1)],
)
def test_a_number_picks_the_first_token_whose_sum_is_above_it(number, token, lower, upper):
    result = sampled({(): CHANCES}, [number, 0.0, 0.0])
    assert result.sequences[0, 1] == token and result.scores is None
    draws = result.draws
    assert draws.numbers[0, 0] == number
    assert (draws.lower[0, 0], draws.upper[0, 0]) == pytest.approx((lower, upper), abs=1e-15)
    near = [abs(odds(number) - odds(bound)) for bound in (lower, upper) if 0 < bound < 1 and number > 0]
    assert result.margins[0, 0] == pytest.approx(min(near, default=inf), abs=1e-12)


def test_rows_end_apart_and_each_has_numbers_of_its_own():
    table = {(): CHANCES, (A,): {B: 0.5, END: 0.5}, (A, B): {C: 1.0}}
    result = sampled(table, [[0.1, 0.3, 0.3], [0.9, 0.2, 0.7], [0.4, 0.4, 0.4]], 3, num_return_sequences=3)
    assert result.sequences.tolist() == [[START, END, PAD, PAD], [START, A, END, PAD], [START, A, B, C]]
    assert result.lengths.tolist() == [2, 3, 4] and result.margins.shape == result.draws.numbers.shape == (3, 3)
    assert result.draws.numbers.tolist() == [[0.1, 0.9, 0.4], [0.3, 0.2, 0.4], [0.3, 0.7, 0.4]]
    assert np.isposinf(result.margins[[0, 0, 1, 2], [1, 2, 2, 2]]).all()
    assert result.draws.upper[0].tolist() == [0.25, 1, 1] and result.draws.lower[1].tolist() == [0.25, 0, 0]


def test_results_of_one_source_stand_side_by_side():
    sources = [probabilities({(): {token: 1.0}, (token,): {END: 1.0}}) for token in (A, B)]
    result = generate(Told(sources), 2, replace(SAMPLED, num_return_sequences=3), uniforms=np.full((3, 6), 0.5))
    assert result.sequences[:, 1].tolist() == [A, A, A, B, B, B]


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"top_k": 2}, {END: 0.25, A: 0.25, B: 0.375}),  # the end and a are equal
        ({"top_k": 1}, {B: 0.375}),
        ({"top_k": 4}, CHANCES),
        ({"top_k": 9}, CHANCES),
        ({"top_p": 0.3}, {B: 0.375}),
        ({"top_p": 0.374}, {B: 0.375}),
        ({"top_p": 0.376}, {B: 0.375, END: 0.25}),  # of equal ones the lower id
        ({"top_p": 0.7}, {END: 0.25, A: 0.25, B: 0.375}),
        ({"top_p": 0.9}, CHANCES),
        ({"top_k": 1, "top_p": 0.9}, {B: 0.375}),
        ({"top_k": 3, "top_p": 0.72}, {B: 0.375, END: 0.25, A: 0.25}),  # .375 and .25 of .875 are .714
        ({"top_k": 3, "top_p": 0.71}, {B: 0.375, END: 0.25}),
        ({"temperature": 0.5}, {token: chance**2 for token, chance in CHANCES.items()}),
        ({"temperature": 2.0, "top_p": 0.5}, {B: 0.375**0.5, END: 0.5}),  # at 1 the two would be .625 of all
        ({"temperature": 0.5, "top_p": 0.49}, {B: 1.0}),  # .140625 of .28125 are .5
        ({"temperature": 0.5, "top_p": 0.51}, {B: 0.375**2, END: 0.0625}),
        ({"min_p": 0.3}, CHANCES),  # .375 of them is the limit
        ({"min_p": 0.5}, {END: 0.25, A: 0.25, B: 0.375}),
        ({"min_p": 0.7}, {B: 0.375}),
        ({"min_p": 1.0}, {B: 0.375}),
        ({"typical_p": 0.1}, {END: 0.25}),  # the entropy is 1.32; the information of .25 is 1.39, that of .375 is .98
        ({"typical_p": 0.4}, {END: 0.25, A: 0.25}),
        ({"typical_p": 0.6}, {END: 0.25, A: 0.25, B: 0.375}),
        ({"typical_p": 0.9}, CHANCES),
        ({"epsilon_cutoff": 0.2}, {END: 0.25, A: 0.25, B: 0.375}),
        ({"epsilon_cutoff": 0.9}, {B: 0.375}),
        ({"eta_cutoff": 0.1}, CHANCES),  # exp of the negative entropy is .267, and .0844 is less than .1
        ({"eta_cutoff": 0.3}, {END: 0.25, A: 0.25, B: 0.375}),  # .146
        ({"eta_cutoff": 0.9}, {B: 0.375}),  # .253
        ({"min_p": 0.5, "epsilon_cutoff": 0.3}, {B: 0.375}),  # .25 of .875 are .286
        ({"top_k": 3, "typical_p": 0.3}, {END: 0.25, A: 0.25}),  # the entropy of the three is 1.08
    ],
)
def test_what_is_drawn_from(settings, kept):
    with np.errstate(divide="ignore"):
        scores = np.log([[CHANCES.get(token, 0.0) for token in range(VOCAB)]])
    found = np.exp(processed(scores, np.array([[START]]), replace(SAMPLED, **settings)))[0]
    wanted = np.array([kept.get(token, 0.0) for token in range(VOCAB)])
    np.testing.assert_allclose(found / found.sum(), wanted / wanted.sum(), rtol=1e-12)
    greedy = processed(scores, np.array([[START]]), replace(SAMPLED, do_sample=False, **settings))
    assert (greedy == scores).all(), "warpers count in sampling only"


@pytest.mark.parametrize(("mass", "count"), [(0.24, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.76, 4)])
def test_what_adds_up_to_top_p_exactly_is_enough(mass, count):
    """Four equal tokens: the sums are exact, and of equals the lower id is kept."""
    kept, lead = warpers.top_p(np.array([[1.5, -np.inf, 1.5, 1.5, 1.5]]), mass)
    assert np.flatnonzero(np.isfinite(kept[0])).tolist() == [0, 2, 3, 4][:count]
    assert lead[0] == pytest.approx(abs(odds(mass) - odds(0.75)) if count == 4 else 0, abs=1e-12)


@pytest.mark.parametrize(
    ("mass", "lead"),
    [
        (0.48, odds(0.5) - odds(0.48)),  # .5 are just enough
        (0.52, odds(0.52) - odds(0.5)),  # .5 are just not enough
        (0.65, log(0.3 / 0.2)),  # the second and the third could change places
    ],
)
def test_what_the_kept_set_rests_on(mass, lead):
    scores = np.log([[0.3, 0.5, 0.2]])
    assert warpers.top_p(scores, mass)[1][0] == pytest.approx(lead, abs=1e-12)
    assert warpers.top_k(scores, 1)[1][0] == pytest.approx(log(0.5 / 0.3), abs=1e-12)
    assert np.isposinf(warpers.top_k(scores, 3)[1][0])


LATER = {"min_p": [0.02, 0.3], "typical_p": [0.2, 0.8], "epsilon_cutoff": [0.02, 0.2], "eta_cutoff": [0.05, 0.6]}


@examples(60)
@over(st.integers(0, 10_000), st.sampled_from([(name, value) for name in LATER for value in LATER[name]]))
def test_scores_that_move_by_less_than_half_a_margin_keep_the_same_tokens(seed, chosen):
    """And by more than that, some other set is kept: the margin of ``min_p`` and of ``epsilon_cutoff`` is exact."""
    rng, (name, value) = np.random.default_rng(seed), chosen
    scores, settings = rng.normal(0, 2, (1, 7)), replace(SAMPLED, temperature=1.3, **{name: value})
    kept, lead = warpers.warped(scores, settings)
    if not np.isfinite(lead[0]):
        return
    signs = np.array(np.meshgrid(*[[-1, 1]] * 7)).reshape(7, -1).T
    for share, same in ((0.98, True), (1.02, False)):
        # Margins of the entropy hold to first order.
        half = min(lead[0] / 2 * share, np.inf if name in ("min_p", "epsilon_cutoff") else 1e-3)
        moved = warpers.warped(scores + half * signs, settings)[0]
        changed = (np.isfinite(moved) != np.isfinite(kept)).any()
        assert not (same and changed) and (same or changed or name in ("typical_p", "eta_cutoff"))


def test_the_entropys_margins_are_no_larger_than_they_are():
    """Within a small factor: moving all scores against a token by the margin changes what is kept for some tokens."""
    rng, near = np.random.default_rng(0), {"typical_p": 0, "eta_cutoff": 0}
    signs = np.array(np.meshgrid(*[[-1, 1]] * 7)).reshape(7, -1).T
    for name in near:
        for _ in range(60):
            scores, settings = rng.normal(0, 2, (1, 7)), replace(SAMPLED, **{name: LATER[name][0]})
            kept, lead = warpers.warped(scores, settings)
            if lead[0] < 0.2:
                moved = warpers.warped(scores + lead[0] * signs, settings)[0]
                near[name] += bool((np.isfinite(moved) != np.isfinite(kept)).any())
    assert min(near.values()) >= 5, near


def test_a_text_that_was_drawn_scores_what_its_tokens_were_drawn_with():
    table = {(): CHANCES, (B,): {A: 0.5, END: 0.5}}
    scores = score_tokens(fed(probabilities(table), [START, B, END]), np.array([[START, B, END]]), SAMPLED)
    assert scores.total[0] == pytest.approx(log(0.375 * 0.5)) and scores.score is None
    two = replace(SAMPLED, top_k=1)
    scores = score_tokens(fed(probabilities(table), [START, A, END]), np.array([[START, A, END]]), two)
    assert np.isneginf(scores.taken[0, 0]) and scores.best[0, 0] == 0 and scores.best_id[0, 0] == B


def test_a_given_text_is_held_against_its_numbers():
    source = probabilities({(): CHANCES, (A,): {END: 0.5, B: 0.5}})
    text, numbers = np.array([[START, A, END, PAD]]), np.array([[0.6], [0.4], [0.1]])
    logits = np.array([[source(tuple(text[0, :n])) for n in range(1, 4)]])
    found = score_draws(logits, text, numbers, SAMPLED)
    assert found.counted.tolist() == [[True, True, False]] and found.drawn.tolist() == [[B, END, -1]]
    assert found.distance[0] == pytest.approx([odds(0.6) - odds(0.5), 0, 0], abs=1e-12)
    assert found.lead[0] == pytest.approx([odds(0.6) - odds(0.5), odds(0.5) - odds(0.4), inf], abs=1e-12)
    assert np.isposinf(found.warping_lead).all()
    hot = score_draws(logits, text, numbers, replace(SAMPLED, temperature=2.0, top_k=2))
    # At the first step the third of the four is as good as the second, so no gap keeps it out.
    assert hot.warping_lead[0].tolist() == [0, inf, inf] and hot.drawn[0, 1] == END
    alone = score_draws(logits, text, numbers, replace(SAMPLED, top_k=1))
    assert alone.warping_lead[0, 0] == pytest.approx(log(1.5)) and np.isposinf(alone.distance[0, 0])
    # A token that is not kept has no place between the end, up to .375, and b, so no number comes near it.
    between = probabilities({(): {END: 0.3, A: 0.2, B: 0.5}})
    dropped = score_draws(fed(between, [START, A]), text[:, :2], numbers[:1], replace(SAMPLED, top_k=2))
    assert np.isposinf(dropped.distance[0, 0]) and dropped.drawn[0, 0] == B


@pytest.mark.parametrize(
    ("settings", "numbers", "said"),
    [
        ({}, None, "no uniform numbers are given"),
        ({}, np.zeros((2, 1)), r"shape \[2, 1\], expected \[3 or more, 1\]"),
        ({}, np.zeros((3, 2)), r"shape \[3, 2\]"),
        ({}, np.ones((3, 1)), r"not all in \[0, 1\)"),
        ({}, np.full((3, 1), np.nan), r"not all in \[0, 1\)"),
        ({"num_beams": 2}, np.zeros((3, 1)), "beam sampling"),
        ({"temperature": 0.0}, np.zeros((3, 1)), "temperature is 0.0"),
        ({"no_repeat_ngram_size": 1}, np.zeros((3, 1)), "every token is forbidden after 2 tokens"),
    ],
)
def test_what_cannot_be_drawn_is_said(settings, numbers, said):
    with pytest.raises(ValueError, match=said):
        generate(
            Told([probabilities({(): {A: 1.0}, (A,): {A: 1.0}})]), 1, replace(SAMPLED, **settings), uniforms=numbers
        )


def test_what_only_one_of_search_and_chance_can_be_asked_is_said():
    with pytest.raises(ValueError, match="not the result of a search"):
        reachable(lambda texts: np.zeros((len(texts), VOCAB)), SAMPLED)
    with pytest.raises(ValueError, match="no tokens were sampled"):
        score_draws(np.zeros((1, 2, VOCAB)), np.zeros((1, 3), dtype=np.int64), np.zeros((2, 1)), given())


def test_a_seed_gives_the_same_first_numbers_for_any_length():
    short, long = (uniform_numbers(7, 2, replace(SAMPLED, max_length=n, num_return_sequences=3)) for n in (4, 9))
    assert short.shape == (3, 6) and long.shape == (8, 6) and (long[:3] == short).all()
    assert (uniform_numbers(8, 2, replace(SAMPLED, num_return_sequences=3)) != short).all()


def test_tokens_come_as_often_as_their_probability_says():
    """4,000 texts of one source: Pearson's statistic of the first token; 1 in 100 is above 15.1 (five degrees)."""
    source, count, temperature = drawn(3, vocab=VOCAB), 4000, 3.0
    settings = replace(SAMPLED, temperature=temperature, num_return_sequences=count, max_length=2)
    result = generate(Told([source]), 1, settings, uniforms=uniform_numbers(11, 1, settings))
    found = np.bincount(result.sequences[:, 1], minlength=VOCAB)

    def statistic(warmth):
        logits = source((START,)) / warmth
        expected = count * np.exp(logits) / np.exp(logits).sum()
        assert expected.min() > 5
        return ((found - expected) ** 2 / expected).sum()

    assert statistic(temperature) < 15.1
    assert statistic(1.15 * temperature) > 15.1, "a wrong temperature could not be told"


SETTINGS = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.4, 1, 2.5]),
        "top_k": st.sampled_from([0, 1, 3, 50]),
        "top_p": st.sampled_from([0.2, 0.7, 1.0]),
        "repetition_penalty": st.sampled_from([0.8, 1.0, 1.4]),
        "no_repeat_ngram_size": st.sampled_from([0, 2]),
        "min_length": st.sampled_from([0, 3]),
        "eos_token_id": st.sampled_from([END, (END, 7)]),
        "forced_eos_token_id": st.sampled_from([None, END]),
        "renormalize_logits": st.booleans(),
        "num_return_sequences": st.integers(1, 3),
    }
)
SEEDS = st.integers(0, 10_000)


def drawn_texts(seed, values):
    settings = replace(SAMPLED, max_length=7, **values)
    sources = [drawn(seed + place) for place in range(2)]
    numbers = uniform_numbers(seed, 2, settings)
    return settings, sources, numbers, generate(Told(sources), 2, settings, uniforms=numbers)


@examples(60)
@over(SEEDS, SETTINGS)
def test_a_drawn_text_is_well_formed_and_judged_to_be_drawn(seed, values):
    settings, sources, numbers, result = drawn_texts(seed, values)
    draws, each = result.draws, settings.num_return_sequences
    assert ((draws.lower <= draws.numbers) & (draws.numbers < draws.upper)).all() and (result.margins >= 0).all()
    for row, (tokens, length) in enumerate(zip(result.sequences, result.lengths, strict=True)):
        text = tokens[:length]
        assert text[0] == START and (tokens[length:] == PAD).all()
        assert text[-1] in settings.ends or length == settings.max_length
        assert not set(settings.ends) & set(text[:-1].tolist()) and length - 1 >= min(settings.min_length, 6)
        logits = fed(sources[row // each], text.tolist())
        judged = score_draws(logits, text[None], numbers[:, [row]], settings)
        assert (judged.drawn[0] == text[1:]).all() and (judged.distance == 0).all()
        assert (judged.lead[0] == result.margins[row, : length - 1]).all()
        scored = score_tokens(logits, text[None], settings)
        chances = (draws.upper - draws.lower)[row, : length - 1]
        np.testing.assert_allclose(np.exp(scored.taken[0]), chances, rtol=1e-9, atol=1e-14)


@examples(60)
@over(SEEDS, SETTINGS)
def test_a_row_does_not_depend_on_its_batch(seed, values):
    settings, sources, numbers, together = drawn_texts(seed, values)
    each = settings.num_return_sequences
    alone = generate(Told(sources[1:]), 1, settings, uniforms=numbers[:, each:])
    width = alone.sequences.shape[1]
    assert (alone.sequences == together.sequences[each:, :width]).all() and (
        alone.lengths == together.lengths[each:]
    ).all()


@examples(100)
@over(SEEDS, SETTINGS, st.sampled_from([1e-4, 1e-2, 0.2]))
def test_scores_that_move_by_less_than_half_a_margin_change_no_draw(seed, values, size):
    settings, sources, numbers, plain = drawn_texts(seed, {**values, "repetition_penalty": 1.0})

    def moved(source):
        def after(text):
            rng = np.random.default_rng([seed, *text])
            return source(text) + size * rng.choice([-1.0, 1.0], 11)

        return after

    other = generate(Told([moved(source) for source in sources]), 2, settings, uniforms=numbers)
    for row, text in enumerate(plain.sequences):
        sure = np.cumprod(plain.margins[row] > 2 * size * (1 + 1e-9)).astype(bool)
        steps = min(sure.sum(), other.sequences.shape[1] - 1)
        assert (other.sequences[row, 1 : steps + 1] == text[1 : steps + 1]).all()


def test_a_margin_is_no_larger_than_it_is():
    """Scores on both sides of a bound, moved against each other by a little more than the margin, change the draw."""
    logits = np.log(np.array([[0.2, 0.3, 0.1, 0.25, 0.15]]))
    for number in (0.1, 0.31, 0.45, 0.55, 0.83, 0.97):
        for warping in ({"top_k": 0}, {"top_k": 0, "top_p": 0.6}, {"top_k": 0, "top_p": 0.9}, {"top_k": 3}):
            settings = replace(SAMPLED, max_length=2, temperature=1.5, eos_token_id=None, **warping)
            draw = lambda scores: generate(Told([lambda text: scores]), 1, settings, uniforms=np.full((1, 1), number))  # noqa: B023, E731
            plain = draw(logits[0])
            half = plain.margins[0, 0] / 2 * 1.001
            signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1).T
            assert any(
                _differs(plain, draw(logits[0] + half * sign), logits[0] + half * sign, logits[0], settings)
                for sign in signs
            ), (number, warping)


def _differs(plain, other, moved, logits, settings) -> bool:
    before, after = (np.isfinite(warpers.warped(scores[None], settings)[0]) for scores in (logits, moved))
    return plain.sequences[0, 1] != other.sequences[0, 1] or bool((before != after).any())
