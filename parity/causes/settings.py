"""Generation settings that a library cannot read, so that it loads nothing of the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from parity.records import Notice
from reference.generation import GENERATION_FILE

NEVER_NULL = ("early_stopping", "num_return_sequences")
"""Settings that 4.x compares before it asks whether they are set (transformers 4.37.2 and 4.57.6,
generation/configuration_utils.py, ``validate``); 5.23.0 takes null for the default."""


def notices_of_settings(stored: Mapping[str, Any]) -> Iterator[Notice]:
    """One notice for all of them.

    Args:
        stored: ``generation_config.json``; empty where there is none.
    """
    null = [name for name in NEVER_NULL if name in stored and stored[name] is None]
    if null:
        names = " and ".join(null)
        yield Notice(
            id="null-setting",
            cause=f"{GENERATION_FILE} says null for {names}, at which transformers 4.x ends with an error while it "
            "loads",
            advice=f"leave {names} out of {GENERATION_FILE}: the default is then in force",
        )
