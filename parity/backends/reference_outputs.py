"""What the two reference backends share: outputs as fields, and what a load can be told to have found."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from parity.backends.base import Field, LoadReport

ENCODER_INPUTS = ("input_ids", "attention_mask", "head_mask")
DECODER_INPUTS = ("attention_mask", "decoder_attention_mask", "decoder_head_mask", "cross_attn_head_mask")


def whole(output: Any) -> Mapping[str, Field]:
    """A ``Seq2SeqOutput``'s fields without the Nones, in its order."""
    named = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    return {name: value for name, value in named.items() if value is not None}


def in_two(encoded: Any, decoded: Any) -> Mapping[str, Field]:
    """An ``EncoderOutput`` and a ``DecoderOutput`` under the names, and in the order, of the whole call."""
    named = {
        "logits": decoded.logits,
        "decoder_hidden_states": decoded.hidden_states,
        "decoder_attentions": decoded.attentions,
        "cross_attentions": decoded.cross_attentions,
        "encoder_last_hidden_state": encoded.last_hidden_state,
        "encoder_hidden_states": encoded.hidden_states,
        "encoder_attentions": encoded.attentions,
    }
    return {name: value for name, value in named.items() if value is not None}


def no_tuple(as_tuple: bool) -> None:
    """Raises NotImplementedError where a tuple is asked for (capability ``tuple``)."""
    if as_tuple:
        raise NotImplementedError("the reference returns one dataclass and has no tuple form")


def file_report(weights: Any) -> LoadReport:
    """What the weight files hold that they should not, and lack that they should.

    Args:
        weights: ``reference.weights.Weights``.
    """
    report = LoadReport(missing=sorted(weights.missing), unexpected=sorted(weights.surplus))
    for name, (found, wanted) in sorted(weights.misshapen.items()):
        report.notes.append(f"{name} has shape {list(found)}, wanted is {list(wanted)}")
    report.notes += [f"{name} differs from the table it is tied to" for name in sorted(weights.tied_differs)]
    return report


def one_table(config: Any, held: Collection[str]) -> list[list[str]]:
    """The names of the embedding table that the model has no array of its own for, behind the one that it has."""
    from reference.names import tied_groups

    return [[group[0], *(name for name in group[1:] if name not in held)] for group in tied_groups(config)]
