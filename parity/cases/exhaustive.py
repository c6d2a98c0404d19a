"""Further cases of documented arguments, for ``--cases exhaustive``: each is the call of ``forward`` in another way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from parity.core.case import Case
from parity.core.model_spec import ModelSpec

EMBEDDED = {"input_ids": "forward.inputs-embeds", "decoder_input_ids": "forward.decoder-inputs-embeds"}
"""By tokens, the case that passes embeddings in their place."""


def exhaustive_cases(model_spec: ModelSpec, standard: Sequence[Case]) -> Iterator[Case]:
    """``forward.inputs-embeds`` and ``forward.decoder-inputs-embeds``: embeddings in place of the tokens of one half;
    ``forward.no-cache``: with ``use_cache=False``.

    Args:
        standard: the standard cases of the checkpoint.
    """
    case = next(case for case in standard if case.name == "forward")
    # From embeddings alone no class makes its decoder inputs.
    if "decoder_input_ids" in case.inputs or model_spec.decoder_only:
        for tokens in (each for each in EMBEDDED if each in case.inputs):
            needs = (*case.requires, "embedded")
            yield Case(EMBEDDED[tokens], "embedded", case.inputs, {"tokens": tokens}, needs)
    if model_spec.head in ("language", "none"):
        needs = (*case.requires, "uncached")
        yield Case("forward.no-cache", "uncached", case.inputs, requires=needs)
