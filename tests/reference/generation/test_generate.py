"""Greedy and beam search against searches done by hand."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

from reference.generation import DOCUMENTED, generate, processed, reachable, score_tokens
from reference.generation.dialect import (
    Bound,
    EndRank,
    Padding,
    PenalisedLength,
    Stop,
    Unfinished,
    UnfinishedScore,
)
from tests.reference.generation.samples import END, PAD, START, VOCAB, A, B, C, Told, fed, given, probabilities

# a is the likelier start, but b ends well: .4 · .9 = .36 beats .5 · .35 = .175.
GARDEN_PATH = {(): {A: 0.5, B: 0.4, END: 0.1}, (A,): {A: 0.35, B: 0.35, END: 0.3}, (B,): {END: 0.9, A: 0.1}}


def ask(table, dialect=DOCUMENTED, **settings):
    """The tokens after the start, and the score, of one source by hand."""
    result = generate(Told([probabilities(table)]), 1, given(**settings), dialect)
    tokens = result.sequences[0, : result.lengths[0]].tolist()
    assert tokens[0] == START
    return tokens[1:], None if result.scores is None else float(result.scores[0])


def test_greedy_takes_the_likeliest_token_and_the_lower_id_of_equals():
    assert ask(GARDEN_PATH, max_length=3) == ([A, A], None)


def test_beams_find_what_greedy_misses():
    tokens, score = ask(GARDEN_PATH, max_length=3, num_beams=2, length_penalty=0.0)
    assert tokens == [B, END]
    assert score == pytest.approx(log(0.36), abs=1e-15)


def test_the_score_is_divided_by_the_power_of_the_generated_tokens():
    _, score = ask(GARDEN_PATH, max_length=3, num_beams=2, length_penalty=2.0)
    assert score == pytest.approx(log(0.36) / 4, abs=1e-15)
    whole = replace(DOCUMENTED, penalised_length=PenalisedLength.WHOLE)
    _, score = ask(GARDEN_PATH, whole, max_length=3, num_beams=2, length_penalty=2.0)
    assert score == pytest.approx(log(0.36) / 9, abs=1e-15)


def test_rows_end_apart_and_are_filled():
    early, late = probabilities({(): {END: 1.0}}), probabilities({(): {A: 1.0}, (A,): {B: 1.0}, (A, B): {END: 1.0}})
    for settings in (given(max_length=6), given(max_length=6, num_beams=2)):
        result = generate(Told([early, late]), 2, settings)
        assert result.sequences.tolist() == [[START, END, PAD, PAD], [START, A, B, END]]
        assert result.lengths.tolist() == [2, 4]
    dialect = replace(DOCUMENTED, padding=Padding.END_IF_PAD_IS_ZERO)
    beams = generate(Told([early, late]), 2, given(max_length=6, num_beams=2), dialect)
    assert beams.sequences.tolist() == [[START, END, END, END], [START, A, B, END]]
    greedy = generate(Told([early, late]), 2, given(max_length=6), dialect)
    assert greedy.sequences.tolist() == [[START, END, PAD, PAD], [START, A, B, END]]


# Three candidates of which the end is third: .5, .3, .2; whatever goes on halves its probability.
END_IS_THIRD = {(): {A: 0.5, B: 0.3, END: 0.2}, (A,): {A: 0.35, B: 0.35, C: 0.3}, (B,): {A: 0.5, B: 0.5}}


def test_an_end_behind_num_beams_candidates_does_not_count():
    settings = {"max_length": 3, "num_beams": 2, "length_penalty": 0.0}
    assert ask(END_IS_THIRD, **settings)[0] == [A, A]
    among = replace(DOCUMENTED, end_rank=EndRank.AMONG_CANDIDATES)
    assert ask(END_IS_THIRD, among, **settings) == ([END], pytest.approx(log(0.2)))


# Nothing ends: .6 · .9 = .54 is the best of what max_length cuts off.
ENDLESS = {(): {A: 0.6, B: 0.4}, (A,): {A: 0.9, B: 0.1}, (B,): {A: 1.0}}


def test_where_nothing_ends_the_best_open_beam_is_the_result():
    settings = {"max_length": 3, "num_beams": 2, "length_penalty": 1.0}
    resort = replace(DOCUMENTED, unfinished=Unfinished.LAST_RESORT)
    for dialect in (DOCUMENTED, resort, replace(DOCUMENTED, unfinished=Unfinished.COMPETE_IF_OPEN)):
        assert ask(ENDLESS, dialect, **settings) == ([A, A], pytest.approx(log(0.54) / 2))
    plain = replace(resort, unfinished_score=UnfinishedScore.SUM)
    assert ask(ENDLESS, plain, **settings) == ([A, A], pytest.approx(log(0.54)))


# b and the end finish with .25; a a is open with .45 when max_length is reached.
ONE_ENDS = {(): {A: 0.5, B: 0.5}, (A,): {A: 0.9, END: 0.1}, (B,): {END: 0.5, A: 0.3, B: 0.2}}


def test_an_open_beam_competes_with_finished_ones_unless_it_is_the_last_resort():
    settings = {"max_length": 3, "num_beams": 2, "length_penalty": 0.0}
    assert ask(ONE_ENDS, **settings)[0] == [A, A]
    assert ask(ONE_ENDS, replace(DOCUMENTED, unfinished=Unfinished.LAST_RESORT), **settings)[0] == [B, END]


# The second end (.2, of b) comes with the last token; open a a has .4.
SECOND_END_IS_LAST = {
    (): {A: 0.5, END: 0.3, B: 0.2},
    (A,): {A: 0.8, B: 0.2},
    (B,): {END: 1.0},
}


def test_the_step_that_completes_num_beams_leaves_no_room_for_cut_off_ones_in_one_dialect():
    settings = {"max_length": 3, "num_beams": 2, "length_penalty": 0.0, "early_stopping": True}
    assert ask(SECOND_END_IS_LAST, **settings)[0] == [A, A]
    only = replace(DOCUMENTED, unfinished=Unfinished.COMPETE_IF_OPEN)
    assert ask(SECOND_END_IS_LAST, only, **settings)[0] == [END]
    assert ask(SECOND_END_IS_LAST, only, **{**settings, "early_stopping": False})[0] == [A, A]


# After two tokens both ends are in: log .4 / 2 is worse than what the open beam reaches at once, log .3 + log 1 over 8.
PATIENCE = {
    (): {A: 0.6, B: 0.4},
    (A,): {END: 0.5, A: 0.5},
    (B,): {END: 0.9, B: 0.1},
    **{(A,) * n: {A: 0.999, END: 0.001} for n in range(2, 7)},
    (A,) * 7: {END: 1.0},
    (B, B): {B: 1.0},
    **{(B,) * n: {B: 1.0} for n in range(3, 9)},
}


@pytest.mark.parametrize(
    ("early_stopping", "tokens"), [(True, [B, END]), (False, [B, END]), ("never", [A] * 7 + [END])]
)
def test_when_the_search_stops(early_stopping, tokens):
    # Ends: .36 (b) and .3 (a), scores log / 2 = -.511 and -.602; open a a has log .3 / 2 = -.602 now, not more than the
    # worst, so False stops. With the power of 8 tokens it could come to log .3 / 8 = -.150, so "never" goes on.
    assert ask(PATIENCE, max_length=9, num_beams=2, early_stopping=early_stopping)[0] == tokens


# After two tokens: b end .54 has finished beside the end of the first step, .1; the best open beam is a b, .2.
FOUND_ALREADY = {
    (): {B: 0.6, A: 0.3, END: 0.1},
    (B,): {END: 0.99, A: 0.01},
    (A,): {END: 0.9, A: 0.1},
    (A, A): {A: 1.0},
    (B, A): {A: 1.0},
    (A, A, A): {END: 1.0},
    (B, A, A): {END: 1.0},
}


def test_what_has_ended_cannot_be_improved_though_one_dialect_waits_for_it():
    settings = {"max_length": 5, "num_beams": 2, "length_penalty": 4.0}
    # Ends: log .594 / 16 = -.033, log .27 / 16 = -.082; open b a? a a .03, log .03 / 16 = -.219: no better now.
    assert ask(FOUND_ALREADY, **settings)[0] == [B, END]
    # The best candidate of that step is the end just found, -.033, better than the worst, so this dialect goes on;
    # two tokens later a a a end has log .03 / 256 = -.014.
    assert ask(FOUND_ALREADY, replace(DOCUMENTED, bound=Bound.BEST_CANDIDATE), **settings)[0] == [A, A, A, END]


def test_a_batch_that_stops_as_a_whole_lets_a_source_find_more():
    slow = probabilities({(): {C: 1.0}, (C,): {C: 1.0}, (C, C): {C: 1.0}, (C, C, C): {END: 1.0}})
    sources, settings = [probabilities(FOUND_ALREADY), slow], given(max_length=5, num_beams=2, length_penalty=4.0)
    alone = generate(Told(sources), 2, settings)
    assert alone.sequences[0].tolist() == [START, B, END, PAD, PAD]
    together = generate(Told(sources), 2, settings, replace(DOCUMENTED, stop=Stop.WHOLE_BATCH))
    assert together.sequences[0].tolist() == [START, A, A, A, END]
    assert generate(Told(sources[:1]), 1, settings, replace(DOCUMENTED, stop=Stop.WHOLE_BATCH)).lengths.tolist() == [3]


def test_processors_forbid_and_force():
    scores, text = np.log(np.full((1, VOCAB), 1 / VOCAB)), np.array([[START, A, B, A]])
    forbidden = lambda result: np.flatnonzero(np.isneginf(result[0])).tolist()  # noqa: E731
    assert forbidden(processed(scores, text, given())) == []
    assert forbidden(processed(scores, text, given(no_repeat_ngram_size=2))) == [B]
    assert forbidden(processed(scores, text, given(no_repeat_ngram_size=1))) == [START, A, B]
    assert forbidden(processed(scores, text, given(no_repeat_ngram_size=5))) == []
    assert forbidden(processed(scores, text, given(min_length=5))) == [END]
    assert forbidden(processed(scores, text, given(min_length=4))) == []
    last = processed(scores, text, given(max_length=5, min_length=5, forced_eos_token_id=END))
    assert last[0, END] == 0 and forbidden(last) == [PAD, START, A, B, C]
    assert forbidden(processed(scores, text, given(max_length=6, forced_eos_token_id=END))) == []
    first = processed(scores, text[:, :1], given(forced_bos_token_id=C))
    assert first[0, C] == 0 and forbidden(first) == [PAD, START, END, A, B]
    assert forbidden(processed(scores, text, given(forced_bos_token_id=C))) == []


def test_a_forced_token_costs_nothing():
    tokens, score = ask(ENDLESS, max_length=3, num_beams=2, length_penalty=0.0, forced_eos_token_id=END)
    assert (tokens, score) == ([A, END], pytest.approx(log(0.6)))


def test_what_cannot_be_searched_is_said():
    everything = given(max_length=9, no_repeat_ngram_size=1)
    with pytest.raises(ValueError, match="every token is forbidden after 2 tokens"):
        generate(Told([probabilities({(): {A: 1.0}, (A,): {A: 1.0}})]), 1, everything)
    with pytest.raises(ValueError, match="every token is forbidden after 2 tokens"):
        beams = replace(everything, num_beams=2)
        generate(Told([probabilities({(): {A: 1.0}, (A,): {A: 1.0}})]), 1, beams)
    with pytest.raises(ValueError, match="NaN"):
        generate(Told([lambda text: np.full(VOCAB, np.nan)]), 1, given())


def test_a_given_text_is_scored_step_by_step():
    source = probabilities(GARDEN_PATH)
    scores = score_tokens(fed(source, [START, A, END]), np.array([[START, A, END]]), given(num_beams=2, max_length=3))
    assert scores.taken[0] == pytest.approx([log(0.5), log(0.3)])
    assert scores.best[0] == pytest.approx([log(0.5), log(0.35)]) and scores.best_id.tolist() == [[A, A]]
    assert scores.lead[0] == pytest.approx([log(0.5 / 0.4), 0.0])
    assert scores.score[0] == pytest.approx(log(0.15) / 2) and scores.total[0] == pytest.approx(log(0.15))
    logits = np.array([[np.zeros(VOCAB), np.full(VOCAB, np.nan)]])
    cut = score_tokens(logits, np.array([[START, END, A]]), given(max_length=3))
    assert cut.counted.tolist() == [[True, False]] and cut.best_id.tolist() == [[0, -1]] and cut.score is None
    assert np.isposinf(cut.lead[0, 1]) and cut.taken[0, 1] == 0
    with pytest.raises(ValueError, match="do not belong"):
        score_tokens(np.zeros((1, 2, VOCAB)), np.zeros((1, 2), dtype=np.int64), given())


def test_near_ties_are_followed_and_measured():
    source = probabilities({**GARDEN_PATH, (A, A): {END: 1.0}, (A, B): {END: 1.0}})
    scorer = lambda texts: np.array([source(text) for text in texts])  # noqa: E731
    one = reachable(scorer, given(max_length=4))
    assert [outcome.tokens for outcome in one.outcomes] == [(START, A, A, END)]
    # .35 and .35 are equal; .3 is log(.35 / .3) = .154 behind, and b's start log(.5 / .4) = .223.
    tie = reachable(scorer, given(max_length=4), tolerance=0.1)
    assert [(outcome.tokens[1:], outcome.margin) for outcome in tie.outcomes] == [((A, A, END), 0), ((A, B, END), 0)]
    more = reachable(scorer, given(max_length=4), tolerance=0.23)
    assert [outcome.tokens[1:] for outcome in more.outcomes] == [(A, A, END), (A, B, END), (A, END), (B, END)]
    assert [outcome.margin for outcome in more.outcomes] == pytest.approx([0, 0, log(0.35 / 0.3), log(0.5 / 0.4)])
    assert not more.exhausted and reachable(scorer, given(max_length=4), tolerance=0.23, limit=1).exhausted
