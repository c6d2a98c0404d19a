"""Cases for a model that does not accept every documented input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from parity.core.case import Case

MASKS = ("attention_mask", "decoder_attention_mask", "encoder_attention_mask")
"""Inputs without which a case is still meaningful: padding is then an ordinary token, for every backend."""
ABOUT_PADDING = ("forward.single-row", "forward.perturbed-padding", "forward.fully-masked-row")
"""Cases whose subject is the mask of the source."""


def without_inputs(case: Case, unaccepted: Mapping[str, str]) -> Case:
    """The case without the masks that a model does not accept; skipped if it cannot do without an input.

    Later target positions never affect earlier ones, so that the cases about padding need the source's mask alone.

    Args:
        unaccepted: by input, the reason.
    """
    absent = {name: reason for name, reason in unaccepted.items() if name in case.inputs}
    needed = {name: reason for name, reason in absent.items() if name not in MASKS}
    source = absent.get("attention_mask", absent.get("encoder_attention_mask"))
    if source is not None and case.name.split("+")[0] in ABOUT_PADDING:
        needed["attention_mask"] = source
    kept = {name: rows for name, rows in case.inputs.items() if name not in absent or name in needed}
    return replace(case, inputs=kept).without(needed)
