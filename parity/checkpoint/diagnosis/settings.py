"""Generation settings with which a library fails, or that its releases interpret differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from parity.core.model_spec import ModelSpec
from parity.core.records import Notice
from reference.config import CONFIG_FILE
from reference.generation import GENERATION_FILE

NEVER_NULL = ("early_stopping", "num_return_sequences")
"""Settings that 4.x compares before it checks whether they are set (transformers 4.37.2 and 4.57.6,
generation/configuration_utils.py, ``validate``); 5.23.0 treats null as the default."""
WITH_DEFAULTS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_eos_token_id")
"""Ids that a BART's config has by default."""


def notices_of_settings(
    model_spec: ModelSpec, config: Mapping[str, Any], stored: Mapping[str, Any] | None
) -> Iterator[Notice]:
    """One notice about null settings, one about missing ids.

    Args:
        config: the content of ``config.json``. stored: the content of ``generation_config.json``; None where there is
            none.
    """
    file, settings = (CONFIG_FILE, config) if stored is None else (GENERATION_FILE, stored)
    null = [name for name in NEVER_NULL if name in settings and settings[name] is None]
    if null:
        names = " and ".join(null)
        yield Notice(
            id="null-setting",
            cause=f"{file} has null for {names}, for which transformers 4.x raises an error when it loads the "
            "model, or generates",
            advice=f"leave {names} out of {file}: the default is then in force",
        )
    absent = [
        name for name in WITH_DEFAULTS if name not in config and getattr(model_spec.config, name, None) is not None
    ]
    if stored is None and absent:
        yield Notice(
            id="ids-left-out",
            cause=f"{CONFIG_FILE} leaves out {', '.join(absent)}, and there is no {GENERATION_FILE}: transformers 4.x "
            "generates by the documented defaults of these, 5.x without them, or ends with an error",
            advice=f"write the ids into {CONFIG_FILE}, or save the model by save_pretrained of 4.x, which writes "
            f"{GENERATION_FILE}",
        )
