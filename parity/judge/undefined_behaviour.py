"""Cases whose expected output is undefined, which is known only after the oracle has run."""

from __future__ import annotations

from collections.abc import Iterator

from parity.core.trace import TraceError
from parity.judge.captured_run import CheckpointRun
from parity.judge.generated_text import cut, sequences_of, settings_of

PADDING_WRITTEN = (
    "the oracle's text contains the padding token: RoBERTa assigns it no position in a full pass, but one in "
    "incremental decoding"
)
"""The score of such a text depends on how it is computed (transformers 4.57.6, models/roberta/modeling_roberta.py:
create_position_ids_from_input_ids, with and without past_key_values_length)."""


def cases_of_undefined_text(run: CheckpointRun) -> Iterator[str]:
    """Names of the cases in which the oracle generates the padding token of a RoBERTa, and of those derived from them.

    If only a candidate generates it, the candidate's token is wrong and is judged as usual.
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
        # The cells of this case report the same error.
        return False
    return texts is not None and any(run.model_spec.pad in cut(row, settings_of(case))[1:] for row in texts)
