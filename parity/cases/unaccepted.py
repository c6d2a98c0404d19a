"""Cases for a model that does not accept every documented input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from parity.core.case import Case

MASKS = ("attention_mask", "decoder_attention_mask", "encoder_attention_mask")
"""Inputs without which a case is still meaningful: padding is then an ordinary token, for every backend."""
ABOUT_MASKS = {
    "forward.single-row": MASKS[:1],
    "forward.perturbed-padding": MASKS,
    "forward.fully-masked-row": MASKS[:1],
}
"""Cases whose subject is a mask, and the masks they cannot do without. Later target positions never affect earlier
ones, so that one row alone needs no mask of the target."""

STEPWISE = ("decode_steps",)
"""Operations whose masks are replaced by ones instead of being left out."""


def without_inputs(case: Case, unaccepted: Mapping[str, str]) -> Case:
    """The case without the masks that a model does not accept; skipped if it cannot do without an input.

    Args:
        unaccepted: by input, the reason.
    """
    absent = {name: reason for name, reason in unaccepted.items() if name in case.inputs}
    needed = {name: reason for name, reason in absent.items() if name not in MASKS}
    needed |= {name: absent[name] for name in ABOUT_MASKS.get(case.name, ()) if name in absent}
    kept = {name: rows for name, rows in case.inputs.items() if name not in absent or name in needed}
    if case.operation in STEPWISE:
        # There the mask of the target also says how many tokens there are so far.
        kept |= {name: [[1] * len(row) for row in case.inputs[name]] for name in absent if name not in kept}
    return replace(case, inputs=kept).without(needed)
