"""Cases about when a text may end, made from the oracle's own text.

``min_length`` changes a text only where it would have ended sooner. No setting known beforehand brings that about: a
short text of a trained model has not come to its end, and a random one may never. But any token can be the end, and the
oracle's text says which token comes when.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from parity.core.case import Case, Notes
from parity.judge.generated_text import settings_of
from reference.generation import GenerationSettings

PLAIN = "generate.greedy"
"""The case whose text, as the oracle wrote it, says which token comes when."""

ROOM = 2
"""Tokens that must have room after the end, so that a text that goes on instead can be seen to."""


def end_cases(case: Case, sequences: np.ndarray) -> Iterator[Case]:
    """A token that the oracle takes becomes the end: forbidden by one step, and allowed from that very step on.

    Args:
        case: ``PLAIN``.
        sequences: what the oracle wrote for it, int64 ``[batch, length]``, the start token first.
    """
    found = wanted_end(sequences, settings_of(case))
    if found is None:
        return
    row, place, token = found
    for name, least in (("generate.end-forbidden", place + 1), ("generate.end-allowed", place)):
        ends: dict[str, Any] = {"eos_token_id": token, "min_length": least}
        in_force = GenerationSettings.from_dict(case.notes["settings"], **ends).to_dict()
        arguments = {"arguments": {**case.settings["arguments"], **ends}}
        notes: Notes = {**case.notes, "settings": in_force, "row": row, "tgt": place}
        yield Case(name, "generate", case.inputs, arguments, case.requires, notes=notes)


def wanted_end(sequences: np.ndarray, settings: GenerationSettings) -> tuple[int, int, int] | None:
    """The last place where a token comes that its row did not have before, of several rows' the first.

    Args:
        sequences: int64 ``[batch, length]``, the start token first.

    Returns:
        Row, position and token; None where no row has a token that can be an end.
    """
    unfit = {settings.pad_token_id, settings.decoder_start_token_id, *settings.ends}
    places = [
        (place, -row, int(token))
        for row, tokens in enumerate(sequences)
        for place, token in enumerate(tokens[: settings.max_length - ROOM])
        if place and int(token) not in unfit and token not in tokens[:place]
    ]
    if not places:
        return None
    place, row, token = max(places)
    return -row, place, token
