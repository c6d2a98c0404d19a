"""Ids in a config that the table of tokens has no row for: added to a tokenizer, and never to the model."""

from __future__ import annotations

from collections.abc import Iterator

from parity.anatomy import Anatomy
from parity.records import Notice
from reference.config.tokens import usable

NAMES = ("pad_token_id", "eos_token_id", "bos_token_id", "decoder_start_token_id")


def notices_of_tokens(anatomy: Anatomy) -> Iterator[Notice]:
    """One notice for all of them."""
    outside = []
    for name in NAMES:
        value = getattr(anatomy.config, name, None)
        listed = value if isinstance(value, list | tuple) else [value]
        outside += [f"{name} {each}" for each in listed if each is not None and usable(each, anatomy.vocab) is None]
    if outside:
        yield Notice(
            id="token-outside-table",
            cause=f"config.json names tokens that the model's table of {anatomy.vocab} has no row for: "
            f"{', '.join(outside)}",
            advice="a token that was added to the tokenizer needs a row: "
            "model.resize_token_embeddings(len(tokenizer)); otherwise correct the id. "
            "What needs it is skipped, or fails where the library does",
        )
