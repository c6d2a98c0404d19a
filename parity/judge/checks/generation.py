"""Generated text: settings, greedy and beam search, lengths, forced tokens, padding, scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from parity.checkpoint.generation_settings import NOT_READ
from parity.core.case import Case
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence
from parity.judge.generated_text import SEQUENCES, Choice, Text, common, cut, settings_of, unreadable
from parity.judge.results import Comparison, Finding, Result, Undecided
from reference.generation import DOCUMENTED, Dialect, GenerationSettings, dialect

_CASES = tuple(
    f"generate.{name}"
    for name in (
        "defaults",
        "greedy",
        "min-length",
        "max-length",
        "forced-bos",
        "forced-eos",
        "no-repeat",
        "beams",
        "length-penalty",
        "early-stopping",
        "single-row",
        "perturbed-batch",
        "end-forbidden",
        "end-allowed",
        "suppress-tokens",
        "begin-suppress-tokens",
        "bad-words",
        "sequence-bias",
        "repetition-penalty",
        "encoder-repetition-penalty",
        "encoder-no-repeat",
        "exponential-decay",
        "decay-and-min-length",
        "decay-after-min-length",
        "new-tokens",
        "no-cache",
        "beams-no-cache",
        "beams-bad-words",
        "several-ends",
        "beams-several-ends",
        "beams-decay",
        "beams-repetition-penalty",
        "beams-encoder-repetition-penalty",
        "beams-encoder-no-repeat",
        "beams-sequence-bias",
        "renormalized",
        "by-prefix-allowed-tokens-fn",
        "beams-by-prefix-allowed-tokens-fn",
        "by-logits-processor",
        "beams-by-logits-processor",
        "by-stopping-criteria",
        "by-streamer",
        "by-assistant-model",
        "by-stop-strings",
        "by-output-logits",
        "penalised-by-assistant-model",
        "by-output-hidden-states",
        "by-output-attentions",
    )
)
_CONFIG = "text generation page, GenerationConfig"
_SCORES = "sequences_scores"


def greedy(case: Case) -> bool:
    """Whether a ``generate`` case searches greedily."""
    return settings_of(case).num_beams == 1


def scored(case: Case) -> bool:
    """Whether a ``generate`` case passes ``num_beams``; only then scores are requested."""
    return beams(case) and "num_beams" in case.settings["arguments"]


def beams(case: Case) -> bool:
    """Whether a ``generate`` case searches with beams."""
    return not greedy(case)


@check(
    "GEN01",
    claim="the generation settings in force without arguments are those of generation_config.json",
    source=f"{_CONFIG}, from_pretrained; without that file the generation fields of config.json",
    likely_cause="the file is not read, or defaults of the class override it",
    cases=("generate.settings",),
    needs_oracle=False,
)
def settings_in_force(evidence: Evidence) -> Iterator[Result]:
    """A lost setting changes the text without a warning. A setting that the library stores as null is the default."""
    effective = evidence.trace.facts["settings"]
    wanted = GenerationSettings.from_dict(evidence.case.notes["settings"]).to_dict()
    defaults = GenerationSettings(decoder_start_token_id=wanted["bos_token_id"]).to_dict()
    unread = set(evidence.case.notes.get(NOT_READ, ()))
    for name, value in wanted.items():
        if name in unread:
            continue
        found = effective.get(name)
        found = defaults[name] if found is None else found
        same = found == value and isinstance(found, bool) == isinstance(value, bool)
        yield Finding(same, f"{name} is {effective.get(name)!r}, documented is {value!r}", None, {"setting": name})


def _explaining(evidence: Evidence, scores: bool = False) -> dict[str, Any]:
    """The dialects that explain a wrong text or score, and the settings in force that forbid or reweight tokens."""
    return {"dialects": evidence.dialects(scores=scores), "further": list(settings_of(evidence.case).further)}


@check(
    "GEN02",
    claim="in greedy search every token is the argmax after its prefix, in an uncached pass of the float64 oracle",
    source=f"{_CONFIG}: num_beams=1 and do_sample=False is greedy decoding; min_length, forced_*_token_id, "
    "no_repeat_ngram_size",
    likely_cause="a logits processor off by one, a cache that drops positions, or a search that continues after EOS",
    cases=_CASES,
    applies=greedy,
)
def greedy_takes_the_best(evidence: Evidence) -> Iterator[Result]:
    """The gap to the argmax is 0, or within the tie tolerance (rounding errors may swap the two), or the token is
    wrong."""
    yield from _readable(evidence)
    if evidence.tolerance("logits") is None:
        # Without a tolerance no reference computes finite logits in this precision, so the text cannot be right either.
        yield Finding(False, "logits has no tolerance: no reference returned finite values", "logits")
        return
    texts, signal = evidence.texts(), evidence.choice_threshold()
    choices = sorted((c for text in texts for c in text.choices), key=lambda choice: (choice.position, choice.row))
    wrong = any(choice.word == "wrong" for choice in choices)
    named = _explaining(evidence) if wrong else {}
    for choice in choices:
        yield _result(choice, named, choice.tolerance >= signal)


@check(
    "GEN03",
    claim="beam search returns the text of the documented search, or one that is reachable from it by near ties",
    source=f"{_CONFIG}: num_beams, early_stopping, length_penalty, max_length",
    likely_cause="the stopping condition, unfinished beams that are counted or not, or the length in the length "
    "penalty",
    cases=_CASES,
    applies=beams,
)
def beams_find_the_documented_text(evidence: Evidence) -> Iterator[Result]:
    """The first wrong step is the first token that no reachable result of the oracle's search has."""
    yield from _readable(evidence)
    texts = evidence.texts()
    named = _explaining(evidence) if any(text.word == "wrong" for text in texts) else {}
    for text in sorted(texts, key=_first_position):
        if not text.choices:
            yield Finding(True, "", SEQUENCES)
        for choice in text.choices:
            yield _result(choice, named, vacuous=False)


def _first_position(text: Text) -> int:
    return min((choice.position for choice in text.choices if choice.word == "wrong"), default=len(text.tokens))


def _readable(evidence: Evidence) -> Iterator[Result]:
    problem = unreadable(evidence.trace.arrays.get(SEQUENCES), evidence.case, evidence.model_spec.vocab)
    if problem:
        yield Finding(False, problem, SEQUENCES)


def _result(choice: Choice, named: dict[str, list[str]], vacuous: bool) -> Result:
    """Converts one choice into a result, with the dialects that would explain a wrong one."""
    if choice.word == "undecided":
        return Undecided(choice.what, SEQUENCES)
    evidence: dict = {}
    if choice.word != "match":
        reported = ("word", "row", "position", "taken", "best", "margin")
        evidence = {name: getattr(choice, name) for name in reported} | {"tie_tolerance": choice.tolerance}
    if choice.word == "wrong":
        evidence |= {"first_step": choice.position, **named}
    index = {"batch": choice.row, "tgt": choice.position}
    if choice.word == "wrong" and (choice.margin is None or choice.margin <= choice.tolerance):
        return Finding(False, choice.what, SEQUENCES, {"at": index, **evidence})
    return Comparison(
        SEQUENCES,
        choice.margin or 0.0,
        choice.tolerance,
        "gap",
        index,
        against_oracle=True,
        vacuous=vacuous,
        what=choice.what,
        evidence=evidence,
    )


@check(
    "GEN04",
    claim="the returned score is the sum of the tokens' log-probabilities, divided by the length penalty",
    source=f"{_CONFIG}, length_penalty; BeamSearchEncoderDecoderOutput, sequences_scores",
    likely_cause="another length in the length penalty, a forced token counted, or the start token included",
    cases=_CASES,
    applies=scored,
)
def returned_scores(evidence: Evidence) -> Iterator[Result]:
    """Compared with the oracle's score of the same text, which separates a wrong score from a wrong text."""
    texts, returned = evidence.texts(), evidence.trace.arrays.get(_SCORES)
    if returned is None or returned.shape != (evidence.case.batch,):
        shape = "not returned" if returned is None else f"of shape {list(returned.shape)}, documented is [batch]"
        yield Finding(False, f"{_SCORES} are {shape}", _SCORES)
        return
    bounds = [evidence.score_tolerance(text) for text in texts]
    far = [
        bound is not None
        and text.oracle_score is not None
        and not abs(float(returned[text.row]) - text.oracle_score) <= bound
        for text, bound in zip(texts, bounds, strict=True)
    ]
    named = _explaining(evidence, scores=True) if any(far) else {}
    expected_scores = [text.oracle_score for text in texts if text.oracle_score is not None]
    largest = max((abs(score) for score in expected_scores if np.isfinite(score)), default=0.0)
    for text, bound, wrong in zip(texts, bounds, far, strict=True):
        expected = text.oracle_score
        if bound is None or expected is None:
            yield Undecided(f"row {text.row}: the oracle did not score this text", _SCORES)
            continue
        score = float(returned[text.row])
        if not np.isfinite(expected):
            what = f"row {text.row} has the score {score:.6g}, and a token that is forbidden"
            yield Finding(False, what, _SCORES, {"at": {"batch": text.row}, **named})
            continue
        error = abs(score - expected) if np.isfinite(score) else float("inf")
        what = f"row {text.row} has the score {score:.6g}; the oracle's score of the same text is {expected:.6g}"
        worst = {"index": {"batch": text.row}, "actual": score, "expected": expected}
        yield Comparison(
            _SCORES,
            error,
            bound,
            "gap",
            {"batch": text.row},
            worst,
            against_oracle=True,
            what=what,
            vacuous=bound >= largest,
            evidence=named if wrong else {},
        )


def _explained(evidence: Evidence) -> dict[str, Any]:
    """Explanations of a wrong length: a dialect, or settings that differ from the file."""
    return {"dialects": evidence.dialects(), "settings_held": evidence.settings_held()}


@check(
    "GEN05",
    claim="a text ends after min_length tokens at the earliest and has at most max_length tokens (default 20)",
    source=f"{_CONFIG}: max_length (defaults to 20), min_length (defaults to 0), both including the start token",
    likely_cause="the EOS or start token counted or not, or a default that only one class has",
    cases=_CASES,
    needs_oracle=False,
)
def lengths_are_respected(evidence: Evidence) -> Iterator[Result]:
    """Only rows that reach a bound exercise the claim: without it they would be longer, or shorter."""
    yield from _readable(evidence)
    settings = settings_of(evidence.case)
    for row, tokens in _rows(evidence):
        ended = len(tokens) > 1 and tokens[-1] in settings.ends
        before_end, length = len(tokens) - ended, len(tokens)
        at_bound = length >= settings.max_length or bool(settings.min_length and before_end <= settings.min_length)
        # A forced EOS comes at max_length, whatever min_length is.
        forced = length == settings.max_length and tokens[-1] in settings.forced_ends
        long, short = length > settings.max_length, ended and not forced and before_end < settings.min_length
        named = {"at": {"batch": row}, **_explained(evidence)} if long or short else {}
        what = f"row {row} has {length} tokens, max_length is {settings.max_length}"
        yield Finding(not long, what, SEQUENCES, named, at_bound)
        what = f"row {row} ends after {before_end} tokens, min_length is {settings.min_length}"
        yield Finding(not short, what, SEQUENCES, named)


@check(
    "GEN06",
    claim="the first token after the start token, or the last one at max_length, is the forced token",
    source=f"{_CONFIG}: forced_bos_token_id, forced_eos_token_id",
    likely_cause="a token forced one position off, or the id of another token",
    cases=("generate.forced-bos", "generate.forced-eos"),
    needs_oracle=False,
)
def forced_tokens_are_there(evidence: Evidence) -> Iterator[Result]:
    """A text that ended before max_length has no forced last token; only rows that reach it exercise the claim."""
    yield from _readable(evidence)
    settings = settings_of(evidence.case)
    first = () if settings.forced_bos_token_id is None else (settings.forced_bos_token_id,)
    for row, tokens in _rows(evidence):
        for position, allowed in ((1, first), (settings.max_length - 1, settings.forced_ends)):
            if allowed:
                reached = len(tokens) > position
                found = tokens[position] if reached else None
                what = f"row {row} has {found} at position {position}, forced is {' or '.join(map(str, allowed))}"
                at = {"at": {"batch": row, "tgt": position}}
                yield Finding(not reached or found in allowed, what, SEQUENCES, at, reached)


@check(
    "GEN07",
    claim="after EOS a row holds only padding",
    source=f"{_CONFIG}: pad_token_id, the id of the padding token",
    likely_cause="a repeated EOS, tokens of another beam, or a padding id of 0 treated as missing",
    cases=_CASES,
    needs_oracle=False,
)
def padding_after_the_end(evidence: Evidence) -> Iterator[Result]:
    """Only rows that end before the longest one exercise the claim."""
    yield from _readable(evidence)
    settings = settings_of(evidence.case)
    fill = settings.fill(DOCUMENTED)
    rows = list(zip(_rows(evidence), evidence.trace.arrays.get(SEQUENCES, ()), strict=False))
    fillers = {int(token) for (_, tokens), whole in rows for token in whole[len(tokens) :]}
    explaining = [
        name
        for name, each in vars(dialect).items()
        if isinstance(each, Dialect) and each != DOCUMENTED and fillers == {settings.fill(each)}
    ]
    for (row, tokens), whole in rows:
        rest = [int(token) for token in whole[len(tokens) :]]
        at = next((len(tokens) + i for i, token in enumerate(rest) if token != fill), None)
        what = f"row {row} has {whole[at] if at else None} at position {at}, after EOS; padding is {fill}"
        details = {"at": {"batch": row, "tgt": at}, "dialects": explaining} if at else {}
        yield Finding(at is None, what, SEQUENCES, details, bool(rest))


def _rows(evidence: Evidence) -> Iterator[tuple[int, list[int]]]:
    """Each row's index and its tokens up to EOS; nothing if the sequences are invalid."""
    sequences, settings = evidence.trace.arrays.get(SEQUENCES), settings_of(evidence.case)
    if sequences is not None and not unreadable(sequences, evidence.case, evidence.model_spec.vocab):
        yield from ((row, cut(tokens, settings)) for row, tokens in enumerate(sequences))


@check(
    "GEN08",
    claim="a row's text does not depend on the other rows of its batch",
    source="definition of a batch: rows are independent",
    likely_cause="a search that continues for one row because another needs it, or beams mixed between rows",
    cases=("generate.perturbed-batch",),
    depends_on=("generate.defaults",),
)
def text_is_row_independent(evidence: Evidence) -> Iterator[Result]:
    """All tokens of the other rows are replaced. If the texts differ, every difference must be a tie."""
    row = evidence.case.notes["row"]
    yield from _same_text(evidence, "generate.perturbed-batch", row, "generate.defaults", row)


@check(
    "GEN09",
    claim="a row gives the same text as a single row without padding and in a batch",
    source="BART page, attention_mask: 0 for tokens that are masked; definition of a batch: rows are independent",
    likely_cause="a mask that is not extended at every step, or padding that is treated as text",
    cases=("generate.single-row",),
    depends_on=("generate.greedy",),
)
def text_is_padding_independent(evidence: Evidence) -> Iterator[Result]:
    """The shortest row is generated as a batch of one. If the texts differ, every difference must be a tie."""
    yield from _same_text(evidence, "generate.single-row", 0, "generate.greedy", evidence.case.notes["row"])


def _same_text(evidence: Evidence, one: str, one_row: int, other: str, other_row: int) -> Iterator[Result]:
    found = [evidence.texts(case) for case in (one, other)]
    if not all(found):
        yield Finding(False, "sequences are no valid text", SEQUENCES)
        return
    first, second = found[0][one_row], found[1][other_row]
    if first.tokens == second.tokens:
        yield Finding(True, "", SEQUENCES)
        return
    choices = [choice for text in (first, second) for choice in text.choices]
    if any(choice.word == "wrong" for choice in choices):
        step = common(first.tokens, second.tokens)
        tokens = [text.tokens[step] if step < len(text.tokens) else "nothing" for text in (first, second)]
        what = f"row {other_row}, token {step}: {tokens[0]} in {one}, {tokens[1]} in {other}"
        named = {"dialects": evidence.dialects(one, other), "first_step": step}
        yield Finding(False, what, SEQUENCES, {"at": {"batch": one_row, "tgt": step}, **named})
        return
    for choice in choices:
        if choice.word != "match":
            yield _result(choice, {}, vacuous=False)


@check(
    "SCORE01",
    claim="the log-probability of each token of a given target text, and the text's score, are within tolerance of the "
    "float64 oracle",
    source="Lewis et al. 2019, section 2.1: the softmax over the decoder's outputs; text generation, sequences_scores",
    likely_cause="a fault in the logits at positions of this text that the other cases do not reach",
    cases=("score.beams",),
)
def scores_of_a_given_text(evidence: Evidence) -> Iterator[Result]:
    """The oracle's own beam search text, scored token by token in one full pass of each backend."""
    yield from evidence.against_oracle("score")
