"""Questions whose answer nothing defines, which shows only in what was answered."""

from __future__ import annotations

from collections.abc import Iterator

from parity.core.trace import TraceError
from parity.judge.captured_run import CheckpointRun
from parity.judge.generated_text import cut, sequences_of, settings_of

PADDING_WRITTEN = (
    "the oracle's text holds the padding token, which RoBERTa counts no position for where a text is read at once, "
    "and one where it is written in steps"
)
"""A text is then worth one thing or another by how it is computed (transformers 4.57.6, models/roberta/
modeling_roberta.py: create_position_ids_from_input_ids, with and without past_key_values_length)."""


def cases_of_undefined_text(run: CheckpointRun) -> Iterator[str]:
    """Names of the cases in which the oracle writes padding as a word of a RoBERTa, and of those made from them.

    Where it does not and a candidate does, the candidate's first such word is an ordinary wrong one, and is judged.
    """
    decoder = getattr(run.model_spec.config, "decoder", None)
    if getattr(decoder, "model_type", "") != "roberta":
        return
    for case in run.cases.values():
        if _writes_padding(run, case.notes.get("of", case.name)):
            yield case.name


def _writes_padding(run: CheckpointRun, name: str) -> bool:
    case = run.cases[name]
    if case.operation != "generate":
        return False
    try:
        texts = sequences_of(run, run.oracle_index, case)
    except (TraceError, OSError):
        # Whoever judges the case meets the same and says so.
        return False
    return texts is not None and any(run.model_spec.pad in cut(row, settings_of(case))[1:] for row in texts)
