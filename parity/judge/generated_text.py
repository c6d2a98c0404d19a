"""Compares generated text with the oracle: match, tie-flip or wrong.

In greedy search every token is compared with an uncached full pass of the oracle over the same prefix. The prefix is
the text's own, so each actual choice is judged, also after a tie. A beam search result depends on hypotheses that were
dropped earlier, so it is compared with the oracle's own search; if it differs, with every result of that search that is
reachable by resolving near ties the other way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from parity.core.case import Case
from parity.core.records import SubjectRecord
from parity.core.trace import Trace, digest_array
from parity.judge.captured_run import CheckpointRun
from parity.judge.tolerance import UNIT_ROUNDOFF
from reference.errors import CheckpointError
from reference.generation import DOCUMENTED, GenerationSettings

Word = Literal["match", "tie-flip", "wrong", "undecided"]
SEVERITY_ORDER: tuple[Word, ...] = ("match", "tie-flip", "undecided", "wrong")
"""The possible values of ``Choice.word``, from best to worst."""
SEQUENCES = "sequences"
SETTINGS = "generate.settings"
"""The case that returns the settings in force without arguments."""


@dataclass(frozen=True)
class Choice:
    """One token of a text, and the oracle's token at the same position."""

    row: int
    position: int
    taken: int
    best: int
    margin: float | None
    """The oracle's preference for its own token: in greedy search the difference of the logits, in beam search the
    difference of the scores of the whole texts (negative if this text has the higher score, although the documented
    search returns another). None if it is undefined."""
    tolerance: float
    word: Word
    what: str = ""


@dataclass(frozen=True)
class Text:
    """One generated row."""

    row: int
    tokens: list[int]
    """The start token first, up to EOS."""
    choices: tuple[Choice, ...]
    """Greedy search: all choices; beam search: at most the first one that differs from the oracle's text."""
    oracle_score: float | None = None
    """The oracle's score of this text; None in greedy search."""

    @property
    def word(self) -> Word:
        """The worst of its choices."""
        return SEVERITY_ORDER[max((SEVERITY_ORDER.index(choice.word) for choice in self.choices), default=0)]


def settings_of(case: Case) -> GenerationSettings:
    """The settings of a ``generate`` case, with lengths resolved as documented."""
    return GenerationSettings.from_dict(case.notes["settings"]).resolved(DOCUMENTED)


def cut(row: np.ndarray, settings: GenerationSettings) -> list[int]:
    """The tokens of a row up to EOS. The start token does not count as EOS, even if it has the same id."""
    tokens = [int(token) for token in row]
    ends = [position for position, token in enumerate(tokens) if position and token in settings.ends]
    return tokens[: ends[0] + 1] if ends else tokens


def table_of(sequences: np.ndarray, settings: GenerationSettings) -> np.ndarray:
    """The texts as a canonical table without surplus padding: int64 ``[batch, length]``, at most max_length columns."""
    rows = [cut(row, settings)[: settings.max_length] for row in sequences]
    table = np.full((len(rows), max(2, *map(len, rows))), settings.fill(DOCUMENTED), np.int64)
    for row, tokens in zip(table, rows, strict=True):
        row[: len(tokens)] = tokens
    return table


def unreadable(sequences: np.ndarray | None, case: Case, vocab: int) -> str:
    """The reason why an array is no valid text; "" if it is valid."""
    batch = case.batch
    if sequences is None:
        return "sequences were not returned"
    if sequences.ndim != 2 or len(sequences) != batch or not sequences.shape[1]:
        return f"sequences have shape {list(sequences.shape)}, documented is [{batch}, length]"
    outside = sequences[(sequences < 0) | (sequences >= vocab)]
    return f"sequences contain token {outside[0]}, outside the vocabulary of {vocab}" if outside.size else ""


def sequences_of(run: CheckpointRun, index: int, case: Case) -> np.ndarray | None:
    """The sequences that a subject generated; None if there are none or they are invalid."""
    trace = run.trace(index, case.name)
    found = trace.arrays.get(SEQUENCES) if trace is not None and not trace.raised else None
    return None if unreadable(found, case, run.model_spec.vocab) else found


def overridden_settings(run: CheckpointRun, index: int, case: Case) -> dict[str, Any]:
    """The settings in force in a case according to the library, if they differ from those of the file.

    Arguments of the case override both. Empty if they are equal, unknown, or invalid for the reference search.
    """
    trace = run.trace(index, SETTINGS) if SETTINGS in run.cases else None
    if trace is None or trace.raised or "settings" not in trace.facts:
        return {}
    wanted = GenerationSettings.from_dict(case.notes["settings"]).to_dict()
    defaults = GenerationSettings(decoder_start_token_id=wanted["bos_token_id"]).to_dict()
    found = {**trace.facts["settings"], **case.settings.get("arguments", {})}
    found = {name: defaults[name] if found.get(name) is None else found[name] for name in wanted}
    try:
        GenerationSettings.from_dict(found)
    except CheckpointError:
        return {}
    return found if found != wanted else {}


def derived(run: CheckpointRun, operation: str, of: str) -> Iterator[Case]:
    """Follow-up cases of a case."""
    for case in run.cases.values():
        if case.operation == operation and case.notes.get("of") == of:
            yield case


def logit_error(run: CheckpointRun, subject: SubjectRecord) -> float | None:
    """The absolute error that one of the subject's logits may have: the tolerance of the largest element.

    None if no reference returned finite logits, or the oracle's logits are not finite.
    """
    tolerance = run.tolerance(subject, "logits")
    if tolerance is None or run.oracle("forward") is None:
        return None
    error = tolerance.element * run.scale("forward", "logits")
    return error if math.isfinite(error) else None


def choice_tolerance(run: CheckpointRun, subject: SubjectRecord) -> float | None:
    """The tie tolerance: rounding errors can swap two logits that differ by at most twice the largest error."""
    error = logit_error(run, subject)
    return None if error is None else 2 * error


def choice_threshold(run: CheckpointRun) -> float:
    """The root mean square difference between two of the oracle's logits at one position."""
    logits = run.truth("forward").arrays["logits"]
    return float(np.sqrt(2 * logits.var(axis=-1).mean()))


def search_tolerance(run: CheckpointRun, subject: SubjectRecord, case: Case) -> float | None:
    """A bound on the error of the difference of two summed log-probabilities, to two digits, rounded up.

    A log-probability is a logit less the logarithm of a sum over all of them, whose error is a mean of theirs under the
    probabilities. With no logit off by more than ε the two together are off by about ε, since ε is that of the worst
    of all logits and a mean is far below it; so a sum over n tokens is off by n·ε, and the difference of two by 2·n·ε.
    Processors that scale scores scale it too (``GenerationSettings.gain``).
    """
    error = logit_error(run, subject)
    if error is None:
        return None
    settings = settings_of(case)
    bound = 2 * (settings.max_length - 1) * error * settings.gain
    digit = 10.0 ** (math.floor(math.log10(bound)) - 1)
    return float(f"{math.ceil(bound / digit) * digit:.2g}")


def score_tolerance(
    run: CheckpointRun, subject: SubjectRecord, case: Case, text: Text, penalised: bool = True
) -> float | None:
    """The tolerance of a returned score: each of n log-probabilities may be off by twice the error of a logit.

    Adding them up rounds n times (Higham 2002, section 4.2: at most n unit roundoffs of the sum of magnitudes); the
    penalty that divides the sum divides its error. Without ``penalised`` it is the sum's own, as in dialects that
    return sums.
    """
    error, steps, settings = logit_error(run, subject), len(text.tokens) - 1, settings_of(case)
    if error is None or text.oracle_score is None:
        return None
    divisor = float(steps) ** settings.length_penalty
    size = abs(text.oracle_score) if math.isfinite(text.oracle_score) else 0.0
    rounding = steps * UNIT_ROUNDOFF[subject.dtype] * size * divisor
    return (2 * steps * error * settings.gain + rounding) / (divisor if penalised else 1.0)


def judged(run: CheckpointRun, index: int, case: Case) -> list[Text]:
    """Every row of a subject's output for a ``generate`` case; empty without a valid text."""
    sequences, settings = sequences_of(run, index, case), settings_of(case)
    if sequences is None:
        return []
    scores = _scores(run, case, table_of(sequences, settings))
    judge = _greedy if settings.num_beams == 1 else _beams
    return [judge(run, index, case, row, cut(tokens, settings), scores) for row, tokens in enumerate(sequences)]


def _scores(run: CheckpointRun, case: Case, table: np.ndarray) -> Trace | None:
    """The oracle's scores of exactly these texts."""
    digest = digest_array(table)
    return next((run.oracle(c.name) for c in derived(run, "score", case.name) if digest == c.notes["text"]), None)


def _greedy(run: CheckpointRun, index: int, case: Case, row: int, tokens: list[int], scores: Trace | None) -> Text:
    settings, subject = settings_of(case), run.manifest.subjects[index]
    tolerance = choice_tolerance(run, subject)
    if scores is None or tolerance is None:
        return Text(row, tokens, (_undecided(row, tokens, settings, scores is None),))
    tolerance *= settings.gain
    taken, best, ids, counted = (
        scores.arrays[name][row] for name in ("token_scores", "best_scores", "best_tokens", "counted")
    )
    choices = list(_framed(row, tokens, settings))
    for step in range(min(len(tokens), settings.max_length) - 1):
        if counted[step]:
            margin, best_token = float(best[step] - taken[step]), int(ids[step])
            choices.append(_choice(row, step + 1, tokens[step + 1], best_token, margin, tolerance))
    return Text(row, tokens, tuple(sorted(choices, key=lambda choice: choice.position)))


def _choice(row: int, position: int, taken: int, best: int, margin: float, tolerance: float) -> Choice:
    word: Word = "match" if taken == best else "tie-flip" if margin <= tolerance else "wrong"
    what = f"row {row}, token {position}: {taken}, the oracle has {best}; "
    what += "the token is forbidden" if math.isinf(margin) else f"margin {margin:.3g} (a tie below {tolerance:.3g})"
    return Choice(row, position, taken, best, margin if math.isfinite(margin) else None, tolerance, word, what)


def _framed(row: int, tokens: list[int], settings: GenerationSettings) -> Iterator[Choice]:
    """Errors that do not depend on scores: the start token, and the length of the text."""
    start, last, fill = settings.start, settings.max_length, settings.fill(DOCUMENTED)
    if tokens[0] != start:
        what = f"row {row} starts with {tokens[0]}, not with decoder_start_token_id {start}"
        yield Choice(row, 0, tokens[0], start, None, 0.0, "wrong", what)
    if len(tokens) > last:
        what = f"row {row} has {len(tokens)} tokens; max_length is {last}"
        yield Choice(row, last, tokens[last], fill, None, 0.0, "wrong", what)
    if len(tokens) < last and (len(tokens) == 1 or tokens[-1] not in settings.ends):
        what = f"row {row} stops after {len(tokens)} of {last} tokens without EOS"
        yield Choice(row, len(tokens), fill, fill, None, 0.0, "wrong", what)


def _undecided(row: int, tokens: list[int], settings: GenerationSettings, unscored: bool) -> Choice:
    what = (
        "the oracle did not score this text"
        if unscored
        else "logits have no tolerance: no reference returned finite values"
    )
    return Choice(row, 1, tokens[-1], settings.fill(DOCUMENTED), None, 0.0, "undecided", f"row {row}: {what}")


def _beams(run: CheckpointRun, index: int, case: Case, row: int, tokens: list[int], scores: Trace | None) -> Text:
    settings, plain = settings_of(case), run.oracle(case.name)
    score = float(scores.arrays["sequences_scores"][row]) if scores else None
    if plain is None:
        return Text(row, tokens, (_undecided(row, tokens, settings, True),), score)
    wanted = cut(plain.arrays[SEQUENCES][row], settings)
    if tokens == wanted:
        return Text(row, tokens, (), score)
    reachable = next((c for c in derived(run, "reachable", case.name) if index in c.notes["subjects"]), None)
    ways = run.oracle(reachable.name) if reachable else None
    if reachable is None or ways is None:
        return Text(row, tokens, (_undecided(row, tokens, settings, True),), score)
    tolerance = reachable.settings["tolerance"]
    own = np.flatnonzero(ways.arrays["row"] == row)
    outcomes = {tuple(cut(ways.arrays[SEQUENCES][i], settings)): float(ways.arrays["margins"][i]) for i in own}
    if (margin := outcomes.get(tuple(tokens))) is not None:
        step = common(tokens, wanted)
        what = f"row {row}, token {step}: the texts diverge at a tie, margin {margin:.3g} (a tie below {tolerance:.3g})"
        choice = Choice(row, step, tokens[step], wanted[step], margin, tolerance, "tie-flip", what)
    else:
        behind = float(plain.arrays["sequences_scores"][row]) - score if score is not None else None
        choice = _lost(row, tokens, [list(outcome) for outcome in outcomes], behind, tolerance)
        if ways.facts["exhausted"]:
            what = f"row {row}: too many ties below {tolerance:.3g} to enumerate, so this text may be reachable"
            choice = Choice(row, choice.position, choice.taken, choice.best, behind, tolerance, "undecided", what)
    return Text(row, tokens, (choice,), score)


def _lost(row: int, tokens: list[int], outcomes: list[list[int]], behind: float | None, tolerance: float) -> Choice:
    """The first token that no reachable result has after the same prefix, as a wrong choice."""
    nearest = max(outcomes, key=lambda outcome: common(tokens, outcome))
    step = common(tokens, nearest)
    taken, best = (text[step] if step < len(text) else text[-1] for text in (tokens, nearest))
    what = f"row {row}, token {step}: {taken}, the documented search has {best}"
    if behind is not None:
        what += f"; the oracle's score of the text is {abs(behind):.3g} {'below' if behind >= 0 else 'above'} its own"
    return Choice(row, step, taken, best, behind, tolerance, "wrong", what)


def common(one: list[int], other: list[int]) -> int:
    """The length of the common prefix of two texts."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((step for step, (a, b) in pairs if a != b), min(len(one), len(other)))


def explaining(run: CheckpointRun, index: int, *cases: Case, scores: bool = False) -> list[str]:
    """The named dialects in which the oracle generates exactly the subject's text, in all of these cases.

    Args:
        scores: the scores must agree too.
    """
    found = [{c.notes["dialect"] for c in derived(run, "generate", case.name)} for case in cases]
    names = sorted(set.intersection(*found)) if found else []
    return [name for name in names if all(_reproduces(run, index, case, name, scores) for case in cases)]


def _reproduces(run: CheckpointRun, index: int, case: Case, dialect: str, scores: bool) -> bool:
    candidates = [
        c
        for c in derived(run, "generate", case.name)
        if c.notes["dialect"] == dialect and index in c.notes.get("subjects", [index])
    ]
    return any(_writes(run, index, case, each, scores) for each in candidates)


def _writes(run: CheckpointRun, index: int, case: Case, candidate: Case, scores: bool) -> bool:
    """Whether the oracle's output of a follow-up case equals the subject's text, and its scores if requested."""
    theirs = run.oracle(candidate.name)
    ours, settings = sequences_of(run, index, case), settings_of(case)
    if ours is None or theirs is None:
        return False
    same = [cut(row, settings) for row in ours] == [cut(row, settings) for row in theirs.arrays[SEQUENCES]]
    if not (same and scores):
        return same
    mine, its = (trace.arrays.get("sequences_scores") for trace in (run.captured(index, case.name), theirs))
    texts, subject = judged(run, index, case), run.manifest.subjects[index]
    bounds = [score_tolerance(run, subject, case, text, penalised=False) for text in texts]
    if mine is None or its is None or None in bounds:
        return False
    return bool((np.abs(mine.astype(np.float64) - its) <= np.array(bounds)).all())
