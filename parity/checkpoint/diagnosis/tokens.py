"""Ids in a checkpoint's files outside the embedding table: added to a tokenizer, but not to the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from parity.core.model_spec import ModelSpec
from parity.core.records import Notice
from reference.config import CONFIG_FILE
from reference.config.tokens import usable
from reference.generation import GENERATION_FILE

NAMES = (
    "pad_token_id",
    "eos_token_id",
    "bos_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
)


def notices_of_tokens(model_spec: ModelSpec, generation: Mapping[str, Any]) -> Iterator[Notice]:
    """One notice for each file with such ids.

    Args:
        generation: ``generation_config.json``; empty where there is none.
    """
    config = {name: getattr(model_spec.config, name, None) for name in NAMES}
    for file, stated in ((CONFIG_FILE, config), (GENERATION_FILE, generation)):
        outside = [f"{name} {each}" for name in NAMES for each in _outside(stated.get(name), model_spec.vocab)]
        if outside:
            yield Notice(
                id="token-outside-table",
                cause=f"{file} names tokens that the model's table of {model_spec.vocab} has no row for: "
                f"{', '.join(outside)}",
                advice="a token that was added to the tokenizer needs a row: "
                "model.resize_token_embeddings(len(tokenizer)); otherwise correct the id. "
                "What needs it is skipped, or fails where the library does",
            )


def _outside(value: Any, vocab: int) -> list[int]:
    """The first few ids in a value that are outside the table; other types are ignored."""
    listed = value if isinstance(value, list | tuple) else [value]
    ids = (each for each in listed if isinstance(each, int) and not isinstance(each, bool))
    return [each for each in ids if usable(each, vocab) is None][:MOST]


MOST = 4
"""Maximum number of ids of one field that are listed."""
