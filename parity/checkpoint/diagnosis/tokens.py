"""Ids in a checkpoint's files that the table of tokens has no row for: added to a tokenizer, and not to the model."""

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
    """One notice for each file that names any.

    Args:
        generation: ``generation_config.json``; empty where there is none.
    """
    config = {name: getattr(model_spec.config, name, None) for name in NAMES}
    for place, stated in ((CONFIG_FILE, config), (GENERATION_FILE, generation)):
        outside = [f"{name} {each}" for name in NAMES for each in _outside(stated.get(name), model_spec.vocab)]
        if outside:
            yield Notice(
                id="token-outside-table",
                cause=f"{place} names tokens that the model's table of {model_spec.vocab} has no row for: "
                f"{', '.join(outside)}",
                advice="a token that was added to the tokenizer needs a row: "
                "model.resize_token_embeddings(len(tokenizer)); otherwise correct the id. "
                "What needs it is skipped, or fails where the library does",
            )


def _outside(value: Any, vocab: int) -> list[int]:
    """The first few of the ids in a value that the table has no row for; what is no id is none."""
    listed = value if isinstance(value, list | tuple) else [value]
    ids = (each for each in listed if isinstance(each, int) and not isinstance(each, bool))
    return [each for each in ids if usable(each, vocab) is None][:MOST]


MOST = 4
"""Ids of one field that are named."""
