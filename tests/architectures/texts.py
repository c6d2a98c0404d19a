"""Generated text: equal in float64; in float32 equal too, or parted from the reference at a proven tie.

As in an audit (``parity.judge.generated_text``): a greedy token may be one that the reference in float64 puts behind
another by at most twice the tolerance of a logit, and with beams the text must be one that the reference's own search
could have ended in with near ties turned round (``reference.generation.reachable``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reference import in_torch
from reference.generation import GenerationSettings, reachable, score_tokens
from tests.architectures import library
from tests.architectures.answers import REFERENCES
from tests.architectures.example import Example
from tests.architectures.judging import Compared

BEAMS = (1, 3)
TOKENS = {"decoder_start_token_id": 2, "pad_token_id": 1, "eos_token_id": 3}


def settings(beams: int) -> GenerationSettings:
    return GenerationSettings.from_dict({"max_length": library.LONGEST, "num_beams": beams, **TOKENS})


def equal(asked: Example, reference: str) -> Iterator[Compared]:
    """In float64, where a tie that rounding could turn is not to be met in a lifetime."""
    package = REFERENCES[reference]
    model = package.build(asked.config, asked.weights, model_class=asked.model_class, dtype="float64")
    for beams in BEAMS:
        mine = _cut(package.generate(model, asked.source, settings(beams)).sequences)
        theirs = _cut(library.generate(asked.model, asked.source, beams))
        yield from (_same(beams, row, *pair) for row, pair in enumerate(zip(mine, theirs, strict=True)))


def _same(beams: int, row: int, mine: list[int], theirs: list[int]) -> Compared:
    note = "" if mine == theirs else f"is {theirs}, not {mine}"
    return Compared(f"text {row} with {beams} beams", 0.0, note)


def equal_or_tied(asked: Example, logit_error: float) -> Iterator[Compared]:
    """The library's in float32 against the torch reference's in float64.

    Args:
        logit_error: how far a logit may be off, absolutely.
    """
    judge = in_torch.build(asked.config, asked.weights, model_class=asked.model_class, dtype="float64")
    single = library.in_dtype(asked.model, "float32")
    for beams in BEAMS:
        wanted = _cut(in_torch.generate(judge, asked.source, settings(beams)).sequences)
        for row, found in enumerate(_cut(library.generate(single, asked.source, beams))):
            what = f"text {row} with {beams} beams"
            if found == wanted[row]:
                yield Compared(what, 0.0)
                continue
            scorer = _Scorer(judge, {name: array[row : row + 1] for name, array in asked.source.items()})
            margin, tolerance = (_greedy if beams == 1 else _searched)(scorer, found, beams, logit_error)
            yield Compared(f"tie of {what}", margin / tolerance)


def _greedy(scorer: _Scorer, text: list[int], beams: int, logit_error: float) -> tuple[float, float]:
    """By how much the reference prefers another token, at worst, and by how much it may."""
    logits = scorer.of_text(text)[None, :-1]
    scores = score_tokens(logits, np.array([text]), settings(beams))
    return float((scores.best - scores.taken)[scores.counted].max()), 2 * logit_error


def _searched(scorer: _Scorer, text: list[int], beams: int, logit_error: float) -> tuple[float, float]:
    """The largest near tie to be turned for the text, if it can be reached
    (``parity.judge.generated_text.search_tolerance``)."""
    tolerance = 2 * (library.LONGEST - 1) * logit_error
    found = reachable(scorer, settings(beams), tolerance=tolerance)
    margins = [outcome.margin for outcome in found.outcomes if _cut([outcome.tokens])[0] == text]
    return min(margins, default=np.inf), tolerance


class _Scorer:
    """The reference's logits after texts of one source."""

    def __init__(self, model: Any, source: dict[str, np.ndarray]) -> None:
        given = in_torch.as_inputs(model, source)
        memory = model.encode(given[model.main_input], given["attention_mask"]).last_hidden_state
        self.model, self.memory = model, memory
        self.mask = model.source_mask(given["attention_mask"], memory)

    def __call__(self, texts: Sequence[tuple[int, ...]]) -> np.ndarray:
        return np.stack([self.of_text(list(text))[-1] for text in texts])

    def of_text(self, text: list[int]) -> np.ndarray:
        """float64 ``[length, vocab]``."""
        ids = in_torch.as_inputs(self.model, {"ids": np.array([text])})["ids"]
        return self.model.decode(ids, self.memory, self.mask).logits[0].detach().numpy()


def _cut(sequences: Any) -> list[list[int]]:
    """Rows up to their ends."""
    rows = [list(map(int, row)) for row in sequences]
    ends = [[place for place, token in enumerate(row) if place and token == TOKENS["eos_token_id"]] for row in rows]
    return [row[: end[0] + 1] if end else row for row, end in zip(rows, ends, strict=True)]
