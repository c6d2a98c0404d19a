"""Several ends, several results, and penalties for repetition: searches done by hand."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given as over
from hypothesis import strategies as st

from reference.generation import (
    DOCUMENTED,
    GenerationSettings,
    generate,
    processed,
    reachable,
    repeated_sources,
    score_tokens,
)
from reference.generation.dialect import TORCH_4_57, EndRank, Padding
from reference.generation.validation import SettingError
from tests.profiles import examples
from tests.reference.generation.samples import END, PAD, START, VOCAB, A, B, C, Told, drawn, fed, given, probabilities

BOTH = (END, C)


def ask(table, dialect=DOCUMENTED, **settings):
    """All results of one source by hand, their tokens after the start, and their scores."""
    result = generate(Told([probabilities(table)]), 1, given(**settings), dialect)
    texts = [row[1:length].tolist() for row, length in zip(result.sequences, result.lengths, strict=True)]
    return texts, None if result.scores is None else result.scores.tolist()


def scored(text, penalty, scores=(-1.0, 2.0, -3.0, 0.0, 4.0, -0.5), **settings):
    return processed(np.array([scores]), np.array([text]), given(repetition_penalty=penalty, **settings))[0].tolist()


def test_what_was_said_scores_worse_once_for_each_token():
    # PAD START END A B C hold -1 2 -3 0 4 -.5: a negative score is multiplied, another is divided.
    assert scored([START, END, B, B, A], 2.0) == [-1.0, 1.0, -6.0, 0.0, 2.0, -0.5]
    assert scored([START, END, B, B, A], 0.5) == [-1.0, 4.0, -1.5, 0.0, 8.0, -0.5]
    assert scored([START, END, B, B, A], 1) == [-1.0, 2.0, -3.0, 0.0, 4.0, -0.5]
    # What is forbidden stays so, and what is forced costs nothing whether it was said or not.
    assert scored([START, B, A], 2.0, no_repeat_ngram_size=1)[3:] == [-np.inf, -np.inf, -0.5]
    assert scored([START, B, A], 2.0, max_length=4, forced_eos_token_id=B)[4] == 0


def read(**settings):
    """Settings as they are read from a file."""
    tokens = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}
    return GenerationSettings.from_dict({**tokens, **settings})


def ruled(text, **settings):
    """The scores after the rules, of equal scores 1 before them: PAD START END A B C."""
    return processed(np.ones((1, VOCAB)), np.array([text]), read(max_length=9, **settings))[0].tolist()


def of_source(text, sources, scores=(-1.0, 2.0, -3.0, 0.0, 4.0, -0.5), dialect=DOCUMENTED, **settings):
    rows = len(text) // len(sources)
    given = repeated_sources(sources, rows, dialect)
    return processed(np.array([scores] * len(text)), np.array(text), read(max_length=9, **settings), given).tolist()


def test_what_the_source_says_scores_better_once_for_each_token():
    # PAD START END A B C hold -1 2 -3 0 4 -.5: a positive score is multiplied, another is divided.
    found = of_source([[START], [START]], [[A, B, B, END], [PAD, C]], encoder_repetition_penalty=2.0)
    assert found == [[-1.0, 2.0, -1.5, 0.0, 8.0, -0.5], [-0.5, 2.0, -3.0, 0.0, 4.0, -0.25]]


def test_with_several_rows_for_a_source_each_is_changed_by_its_own_or_the_first_rows_by_all():
    text, sources, penalty = [[START]] * 4, [[B], [A, C]], {"encoder_repetition_penalty": 2.0}
    own = [[-1.0, 2.0, -3.0, 0.0, 8.0, -0.5]] * 2 + [[-1.0, 2.0, -3.0, 0.0, 4.0, -0.25]] * 2
    assert of_source(text, sources, **penalty) == own
    first = [own[0], own[2], *[[-1.0, 2.0, -3.0, 0.0, 4.0, -0.5]] * 2]
    assert of_source(text, sources, dialect=TORCH_4_57, **penalty) == first


def test_no_ngram_of_the_source_is_completed():
    source, same = [[A, B, C, A, B, END]], [1.0] * VOCAB

    def allowed(text, size):
        found = of_source([text], source, same, encoder_no_repeat_ngram_size=size)[0]
        return np.flatnonzero(np.isfinite(found)).tolist()

    assert allowed([START], 1) == [PAD, START]
    assert allowed([START], 2) == list(range(VOCAB)), "the start token is no token of this source"
    assert allowed([START, A, B], 2) == [PAD, START, A, B]
    assert allowed([START, A, B], 3) == [PAD, START, A, B]
    assert allowed([START, B], 3) == list(range(VOCAB))


def test_a_setting_of_the_source_needs_its_tokens():
    for name, value in {"encoder_repetition_penalty": 2.0, "encoder_no_repeat_ngram_size": 2}.items():
        with pytest.raises(ValueError, match=f"{name} is set, and the source has no tokens"):
            ruled([START], **{name: value})
        with pytest.raises(ValueError, match=f"{name} is set, and the source has token 8, the text 6 tokens"):
            of_source([[START]], [[A, 8]], **{name: value})


def test_suppressed_tokens_are_forbidden_at_every_step_or_at_the_beginning():
    for text in ([START], [START, A], [START, A, B]):
        assert ruled(text, suppress_tokens=[A, C]) == [1, 1, 1, -np.inf, 1, -np.inf]
        begins = len(text) == 1
        assert ruled(text, begin_suppress_tokens=[A]) == [1, 1, 1, -np.inf if begins else 1, 1, 1]
    forced = {"begin_suppress_tokens": [A], "forced_bos_token_id": B}
    assert ruled([START], **forced) == [-np.inf, -np.inf, -np.inf, -np.inf, 0, -np.inf]
    assert ruled([START, B], **forced)[3] == -np.inf and ruled([START, B, B], **forced)[3] == 1


def test_a_bad_word_is_forbidden_where_it_would_be_completed():
    words = {"bad_words_ids": [[B], [A, C], [C, C, A], [START, START]]}
    assert ruled([START], **words) == [1, 1, 1, 1, -np.inf, 1], "the start token begins no word"
    assert ruled([START, A], **words) == [1, 1, 1, 1, -np.inf, -np.inf]
    assert ruled([START, C, C], **words) == [1, 1, 1, -np.inf, -np.inf, 1]
    assert ruled([START], bad_words_ids=[[END]])[2] == 1, "a text can always end"
    assert ruled([START, A], bad_words_ids=[[A, END]])[2] == -np.inf


def test_a_bias_is_added_to_the_token_that_completes_its_words():
    words = {"sequence_bias": [[[A], 0.5], [[B, A], 2.0], [[C], -1]]}
    assert ruled([START], **words) == [1, 1, 1, 1.5, 1, 0]
    assert ruled([START, B], **words) == [1, 1, 1, 3.5, 1, 0]


def test_an_end_becomes_likelier_from_a_length_on():
    decay = {"exponential_decay_length_penalty": [1, 2.0]}
    assert [ruled([START] * length, **decay)[2] for length in (1, 2, 3, 4)] == [1, 1, 2, 4]
    negative = processed(np.full((1, VOCAB), -1.0), np.array([[START, A, B]]), read(max_length=9, **decay))
    assert negative[0].tolist() == [-1, -1, 0, -1, -1, -1]
    assert ruled([START, A, B, C], min_length=6, **decay)[2] == -np.inf, "a forbidden end stays forbidden"


def test_the_gain_bounds_how_much_rules_increase_a_difference():
    rng = np.random.default_rng(0)
    for number in range(200):
        settings = read(
            max_length=7,
            repetition_penalty=float(rng.choice([0.6, 1.0, 1.5])),
            exponential_decay_length_penalty=[[0, 1.3], [2, 1.1], None][number % 3],
            sequence_bias=[[[A], 2.0]],
        ).resolved(DOCUMENTED)
        text, first = rng.integers(0, VOCAB, (1, int(rng.integers(1, 7)))), rng.normal(0, 2, (1, VOCAB))
        second = first + rng.uniform(-0.1, 0.1, first.shape)
        moved = np.abs(processed(first, text, settings) - processed(second, text, settings))
        assert moved.max() <= settings.gain * np.abs(first - second).max() + 1e-12


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("suppress_tokens", 3),
        ("suppress_tokens", [True]),
        ("bad_words_ids", [3]),
        ("bad_words_ids", [[]]),
        ("sequence_bias", {"(3,)": 1.0}),
        ("sequence_bias", [[[3], float("nan")]]),
        ("sequence_bias", [[3, 1.0]]),
        ("exponential_decay_length_penalty", [1]),
        ("exponential_decay_length_penalty", [-1, 2.0]),
        ("exponential_decay_length_penalty", [1, 0]),
    ],
)
def test_a_value_of_another_form_is_one_line(name, value):
    with pytest.raises(SettingError, match=f"{name} is ") as refused:
        read(**{name: value})
    assert "\n" not in str(refused.value)


def test_tokens_of_words_must_be_in_the_vocabulary():
    for name, value in (("bad_words_ids", [[A, 99]]), ("sequence_bias", [[[99], 1.0]]), ("suppress_tokens", [99])):
        with pytest.raises(SettingError, match=f"{name} is 99, outside the vocabulary of {VOCAB}"):
            read(**{name: value}).check_tokens(VOCAB, "a file")


def test_a_penalty_turns_greedy_search_and_beams_to_other_tokens():
    # Log-probabilities of two tokens, log .6 = -.51 and log .4 = -.92: times 2 the likelier one falls behind.
    table = {(): {A: 0.6, B: 0.4}, (A,): {A: 0.6, B: 0.4}, (B,): {A: 0.6, B: 0.4}}
    for beams in (1, 2):
        assert ask(table, max_length=3, num_beams=beams)[0] == [[A, A]]
    assert ask(table, max_length=3, repetition_penalty=2.0)[0] == [[A, B]]
    texts, scores = ask(table, max_length=3, num_beams=2, repetition_penalty=2.0, length_penalty=0.0)
    # a b and b a, .6 · .4 and .4 · .6, are equals; the earlier beam's comes first.
    assert texts == [[A, B]] and scores == [pytest.approx(log(0.24))]


def test_probabilities_that_are_left_add_up_to_one_again_where_it_is_asked_for():
    with np.errstate(divide="ignore"):
        scores = np.log([[0.0, 0.0, 0.5, 0.25, 0.25, 0.0]])
    plain, renormalized = (
        processed(scores, np.array([[START]]), given(min_length=2, num_beams=2, renormalize_logits=asked))
        for asked in (False, True)
    )
    np.testing.assert_allclose(np.exp(plain), [[0, 0, 0, 0.25, 0.25, 0]], atol=1e-15)
    np.testing.assert_allclose(np.exp(renormalized), [[0, 0, 0, 0.5, 0.5, 0]], atol=1e-15)
    impossible = processed(np.full((1, VOCAB), -np.inf), np.array([[START]]), given(renormalize_logits=True))
    assert np.isneginf(impossible).all(), "nothing allowed is not the same as not a number"


def test_each_of_several_ends_ends_a_row():
    early, late = probabilities({(): {C: 1.0}}), probabilities({(): {A: 1.0}, (A,): {B: 1.0}, (A, B): {END: 1.0}})
    for beams in (1, 2):
        result = generate(Told([early, late]), 2, given(max_length=6, num_beams=beams, eos_token_id=BOTH))
        assert result.sequences.tolist() == [[START, C, PAD, PAD], [START, A, B, END]]
        assert result.lengths.tolist() == [2, 4]
    one = generate(Told([early, late]), 2, given(max_length=3, eos_token_id=END))
    assert one.lengths.tolist() == [3, 3], "c ends nothing where it is no end"


def test_rows_are_filled_by_padding_or_the_first_of_the_ends():
    assert given(eos_token_id=BOTH, pad_token_id=3).fill(DOCUMENTED) == 3
    assert given(eos_token_id=BOTH, pad_token_id=None).fill(DOCUMENTED) == END
    assert given(eos_token_id=None, pad_token_id=None).fill(DOCUMENTED) == 0
    dialect = replace(DOCUMENTED, padding=Padding.END_IF_PAD_IS_ZERO)
    assert given(eos_token_id=(C, END), pad_token_id=0, num_beams=2).fill(dialect) == C


def test_no_end_is_allowed_before_min_length_and_only_forced_ones_at_max_length():
    scores, text = np.zeros((1, VOCAB)), np.array([[START, A, B]])
    allowed = lambda **settings: np.flatnonzero(np.isfinite(processed(scores, text, given(**settings))[0])).tolist()  # noqa: E731
    assert allowed(eos_token_id=BOTH, min_length=4) == [PAD, START, A, B]
    assert allowed(eos_token_id=BOTH, min_length=3) == list(range(VOCAB))
    assert allowed(eos_token_id=None, min_length=4) == list(range(VOCAB))
    assert allowed(forced_eos_token_id=BOTH, max_length=4) == [END, C]
    assert allowed(forced_eos_token_id=BOTH, max_length=5) == list(range(VOCAB))


# Both ends come first and second; num_beams that go on have to be found behind four of them.
MANY_ENDS = {(): {A: 0.6, B: 0.4}, (A,): {END: 0.4, C: 0.35, A: 0.15, B: 0.1}, (B,): {END: 0.5, C: 0.45, B: 0.05}}


def test_beams_go_on_behind_more_ends_than_beams():
    told = {**MANY_ENDS, (A, A): {A: 1.0}, (A, B): {B: 1.0}, (B, B): {B: 1.0}}
    texts, scores = ask(
        told,
        max_length=4,
        num_beams=2,
        eos_token_id=BOTH,
        length_penalty=50.0,
        early_stopping="never",
        num_return_sequences=2,
    )
    # Sums over 3 ** 50 beat those over 2 ** 50: the two that went on are a a a and a b b.
    assert texts == [[A, A, A], [A, B, B]]
    assert scores == pytest.approx([log(0.09) / 3**50, log(0.06) / 3**50])


def test_the_best_results_of_a_source_come_best_first():
    table = {(): {A: 0.5, B: 0.3, END: 0.2}, (A,): {END: 0.6, A: 0.4}, (B,): {END: 0.9, B: 0.1}}
    settings = {"max_length": 3, "num_beams": 3, "length_penalty": 0.0}
    # a end .3, b end .27, end .2, a a .2: of the last two the one that had finished.
    assert ask(table, num_return_sequences=3, **settings) == (
        [[A, END], [B, END], [END]],
        pytest.approx([log(0.3), log(0.27), log(0.2)]),
    )
    assert ask(table, num_return_sequences=2, **settings)[0] == [[A, END], [B, END]]
    two = [probabilities(table), probabilities({(): {END: 1.0}, (END,): {END: 1.0}})]
    result = generate(Told([two[0], two[0]]), 2, given(num_return_sequences=2, **settings))
    assert result.sequences.tolist() == [[START, A, END], [START, B, END]] * 2
    assert result.margins.shape == (4, 2) and (result.margins[0] == result.margins[1]).all()
    assert len(result.hypotheses) == 2 and len(result.hypotheses[0]) == 3
    with pytest.raises(ValueError, match=r"^row 1 has 1 possible texts, num_return_sequences is 2"):
        generate(Told(two), 2, given(num_return_sequences=2, **settings))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_return_sequences": 2}, "greedy search has one"),
        ({"num_beams": 2, "num_return_sequences": 3}, "more than"),
    ],
)
def test_more_results_than_a_search_has_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        ask({(): {A: 1.0}}, max_length=2, **settings)


def test_candidates_that_end_count_as_well_ranked_whatever_end_it_is():
    # Candidates: a .4, c .3, end .2, b .1. Of two beams' places c has one and the end none; of four both have.
    table = {(): {A: 0.4, C: 0.3, END: 0.2, B: 0.1}, (A,): {A: 1.0}, (B,): {B: 1.0}}
    settings = {"max_length": 3, "num_beams": 2, "length_penalty": 0.0, "eos_token_id": BOTH, "num_return_sequences": 2}
    assert ask(table, **settings)[0] == [[A, A], [C]]
    low = {**table, (A,): {A: 0.3, B: 0.7}}
    assert ask(low, **settings)[0] == [[C], [A, B]]
    among = replace(DOCUMENTED, end_rank=EndRank.AMONG_CANDIDATES)
    assert ask({**table, (A,): {A: 0.4, B: 0.6}}, among, **settings)[0] == [[C], [A, B]]
    assert ask({**table, (A,): {A: 0.45, B: 0.55}}, among, early_stopping=True, **settings)[0] == [[C], [END]]


def test_a_text_is_judged_up_to_any_of_its_ends():
    source = probabilities({(): {A: 0.5, C: 0.5}, (A,): {C: 0.25, B: 0.75}})
    text = np.array([[START, A, C, B]])
    logits = np.array([[source(tuple(text[0, :n])) for n in range(1, 4)]])
    assert score_tokens(logits, text, given(eos_token_id=BOTH)).counted.tolist() == [[True, True, False]]
    assert score_tokens(logits, text, given(eos_token_id=END)).counted.all()
    penalised = score_tokens(fed(source, text[0].tolist()), text, given(num_beams=2, repetition_penalty=2.0))
    assert penalised.taken[0, :2] == pytest.approx([log(0.5), log(0.25)])


@examples(60)
@over(st.integers(0, 10_000), st.integers(2, 4), st.sampled_from([True, False, "never"]), st.booleans())
def test_fewer_results_are_the_first_of_more_and_all_can_be_reached(seed, beams, early_stopping, several):
    ends = (END, 7) if several else END
    settings = given(num_beams=beams, max_length=7, early_stopping=early_stopping, eos_token_id=ends)
    settings = replace(settings, num_return_sequences=beams, length_penalty=2.0)
    sources = [drawn(seed + place, end=3.0) for place in range(2)]
    whole = generate(Told(sources), 2, settings)
    for count in range(1, beams):
        fewer = generate(Told(sources), 2, replace(settings, num_return_sequences=count))
        rows = [source * beams + place for source in range(2) for place in range(count)]
        width = fewer.sequences.shape[1]
        assert (fewer.sequences == whole.sequences[rows, :width]).all() and (fewer.scores == whole.scores[rows]).all()
    texts = [tuple(row[:length].tolist()) for row, length in zip(whole.sequences, whole.lengths, strict=True)]
    assert len(set(texts[:beams])) == beams and (np.diff(whole.scores[:beams]) <= 0).all()
    found = reachable(lambda asked: np.array([sources[0](text) for text in asked]), settings)
    assert [outcome.tokens for outcome in found.outcomes] == texts[:beams]
