"""What holds for every search: over sources, settings and dialects drawn by chance."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given as over
from hypothesis import strategies as st

from reference.generation import DOCUMENTED, Dialect, GenerationSettings, generate, reachable, score_tokens
from reference.generation import dialect as dialects
from reference.generation.choices import Ranked, choices
from tests.profiles import examples
from tests.reference.generation.samples import END, PAD, START, A, Told, drawn, fed, given

DIALECTS = [value for value in vars(dialects).values() if isinstance(value, Dialect)]
SETTINGS = st.fixed_dictionaries(
    {
        "num_beams": st.integers(1, 4),
        "max_length": st.integers(2, 9),
        "length_penalty": st.sampled_from([-1.0, 0.0, 1.0, 3.0]),
        "early_stopping": st.sampled_from([True, False, "never"]),
        "no_repeat_ngram_size": st.sampled_from([0, 2]),
        "forced_eos_token_id": st.sampled_from([None, END]),
        "forced_bos_token_id": st.sampled_from([None, 4]),
        "eos_token_id": st.sampled_from([END, (5, END)]),
        "repetition_penalty": st.sampled_from([0.7, 1.0, 1.3]),
        "renormalize_logits": st.booleans(),
    }
)
SEEDS, ENDS = st.integers(0, 10_000), st.sampled_from([0.0, 2.0, 5.0])


def sources(seed: int, end: float):
    return [drawn(seed + place, end=end) for place in range(3)]


def scorer(source):
    return lambda texts: np.array([source(text) for text in texts])


@examples(60)
@over(SEEDS, ENDS, SETTINGS, st.sampled_from(DIALECTS))
def test_a_result_is_well_formed_and_scores_what_its_tokens_score(seed, end, values, dialect):
    settings, batch = given(**values), sources(seed, end)
    result = generate(Told(batch), 3, settings, dialect)
    assert result.sequences.shape[1] == result.lengths.max() <= settings.max_length
    for row, source in enumerate(batch):
        tokens = result.sequences[row, : result.lengths[row]]
        assert tokens[0] == START and (result.sequences[row, len(tokens) :] == settings.fill(dialect)).all()
        assert tokens[-1] in settings.ends or len(tokens) == settings.max_length
        assert not set(settings.ends) & set(tokens[:-1].tolist())
        if result.scores is not None:
            # Some dialects show another end than the one that was generated, whose score it is.
            best = result.hypotheses[row][0]
            assert tuple(tokens) == best.shown(settings, dialect)
            tokens = np.array(best.tokens)
        judged = score_tokens(fed(source, tokens.tolist()), tokens[None], settings, dialect)
        assert judged.counted.all() and np.isfinite(judged.taken).all() and (judged.taken <= judged.best).all()
        if result.scores is None:
            assert (judged.best_id[0] == tokens[1:]).all() and (
                judged.lead[0] == result.margins[row, : len(tokens) - 1]
            ).all()
        elif result.hypotheses[row][0].ended or dialect.unfinished_score is dialects.UnfinishedScore.PENALISED:
            assert judged.score[0] == result.scores[row]
        else:
            assert judged.total[0] == result.scores[row]


@examples(60)
@over(SEEDS, ENDS, SETTINGS, st.sampled_from(DIALECTS))
def test_at_tolerance_zero_only_the_plain_result_is_reachable(seed, end, values, dialect):
    settings, source = given(**values), drawn(seed, end=end)
    plain = generate(Told([source]), 1, settings, dialect)
    found = reachable(scorer(source), settings, dialect)
    assert [outcome.tokens for outcome in found.outcomes] == [tuple(plain.sequences[0, : plain.lengths[0]].tolist())]
    assert found.outcomes[0].margin == 0 and not found.exhausted
    assert plain.scores is None or found.outcomes[0].score == plain.scores[0]


@examples(60)
@over(SEEDS, ENDS, SETTINGS, st.sampled_from(DIALECTS), st.sampled_from([1e-3, 0.05, 0.5]))
def test_what_small_changes_of_the_scores_give_is_reachable(seed, end, values, dialect, tolerance):
    settings, source = given(**values), drawn(seed, end=end)
    # Every step's log-probabilities move by less than half a tolerance shared among the steps: sums stay within it.
    size = tolerance / (4.2 * settings.max_length)

    def moved(text):
        rng = np.random.default_rng([seed, *text])
        return source(text) + rng.uniform(-size, size, 11)

    found = reachable(scorer(source), settings, dialect, tolerance)
    other = generate(Told([moved]), 1, settings, dialect)
    reached = {outcome.tokens: outcome.margin for outcome in found.outcomes}
    assert found.exhausted or tuple(other.sequences[0, : other.lengths[0]].tolist()) in reached
    assert min(reached.values()) == 0 and max(reached.values()) < tolerance


@examples(60)
@over(SEEDS, ENDS, SETTINGS)
def test_a_source_does_not_depend_on_its_batch_as_documented(seed, end, values):
    settings, batch = given(**values), sources(seed, end)
    together = generate(Told(batch), 3, settings)
    for row, source in enumerate(batch):
        alone = generate(Told([source]), 1, settings)
        length = together.lengths[row]
        assert alone.lengths[0] == length and (alone.sequences[0] == together.sequences[row, :length]).all()


@over(st.lists(st.floats(-9, 0), min_size=1, max_size=7), st.integers(1, 4), st.sampled_from([0.0, 0.3, 2.0]))
def test_choices_are_every_set_whose_gaps_are_small(values, count, tolerance):
    from itertools import combinations

    ordered = sorted(values, reverse=True)
    found = dict(choices(Ranked(ordered), count, tolerance))
    places = range(len(ordered))
    for some in combinations(places, min(count, len(ordered))):
        dropped = [ordered[i] for i in places if i not in some]
        gap = max((d - min(ordered[i] for i in some) for d in dropped), default=0.0)
        plain = list(some) == list(range(len(some)))
        assert (frozenset(some) in found) == (plain or max(gap, 0.0) < tolerance)
    assert next(iter(found)) == frozenset(range(min(count, len(ordered))))


BEAMS = [
    given(num_beams=2, max_length=7, early_stopping=False, length_penalty=3.0),
    given(num_beams=2, max_length=4, early_stopping=True, length_penalty=2.0),
]
IDS = {"eos_token_id": END, "pad_token_id": PAD, "bos_token_id": START}
TELLING = {
    "end_after_forced": [given(num_beams=2, max_length=7, forced_bos_token_id=A)],
    "end_token": [given(num_beams=2, max_length=7, eos_token_id=(A, END))],
    "default_max_length": [GenerationSettings.from_dict(IDS, min_length=19, max_length=20), given(min_length=19)],
    "min_length": [given(max_length=7, min_length=3)],
    "min_new_tokens": [given(max_length=7, min_new_tokens=3)],
    "renormalisation": [
        given(num_beams=2, max_length=7, min_length=3),
        given(num_beams=2, max_length=7, min_length=3, renormalize_logits=True),
    ],
    "no_repeat_ngram": [given(max_length=7, no_repeat_ngram_size=1)],
    "repetition_penalty": [given(max_length=7, repetition_penalty=3.0)],
    "encoder_repetition_penalty": [given(num_beams=2, max_length=7, encoder_repetition_penalty=3.0)],
    "encoder_no_repeat_ngram": [given(max_length=7, encoder_no_repeat_ngram_size=1)],
    "bad_words": [given(max_length=7, bad_words_ids=[[A], [A + 1, A + 2]])],
    "sequence_bias": [given(max_length=7, sequence_bias=[[[A], 5.0]])],
    "exponential_decay": [given(max_length=7, exponential_decay_length_penalty=[1, 2.0])],
}
OTHERS = [
    (field.name, value)
    for field in fields(Dialect)
    for value in type(getattr(DOCUMENTED, field.name))
    if value is not getattr(DOCUMENTED, field.name)
]


@pytest.mark.parametrize(("choice", "value"), OTHERS)
def test_every_value_of_every_choice_changes_some_result(choice, value):
    # What becomes of cut-off beams' scores is a question only where they are the last resort.
    bases = [replace(base, **{choice: getattr(DOCUMENTED, choice)}) for base in (DOCUMENTED, dialects.TF)]
    assert any(
        _differ(settings, base, replace(base, **{choice: value}), seed)
        for seed in range(0, 300, 3)
        for settings in TELLING.get(choice, BEAMS)
        for base in bases
    )


def _differ(settings, base, dialect, seed) -> bool:
    tokens = np.random.default_rng(seed).integers(A, A + 3, (3, 2))
    first, second = (
        generate(Told(sources(seed, 3.0)), 3, settings, value, sources=tokens) for value in (base, dialect)
    )
    same = np.array_equal(first.sequences, second.sequences)
    return not same or (first.scores is not None and not np.allclose(first.scores, second.scores))
