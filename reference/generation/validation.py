"""Validation of generation settings: each value alone, then in combination; the first error is raised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from reference.errors import CheckpointError, brief

TOKENS = (
    "forced_bos_token_id",
    "forced_eos_token_id",
    "pad_token_id",
    "eos_token_id",
    "bos_token_id",
    "decoder_start_token_id",
)
SEVERAL = ("forced_eos_token_id", "eos_token_id")
"""Fields that also accept a list of tokens."""
LISTS = ("suppress_tokens", "begin_suppress_tokens")
"""Fields that are lists of tokens."""

_COUNTS = {
    "max_length": 1,
    "min_length": 0,
    "num_beams": 1,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "num_return_sequences": 1,
    "max_new_tokens": 1,
    "min_new_tokens": 0,
}
_SWITCHES = ("do_sample", "renormalize_logits")
_NEUTRAL = {
    "num_beam_groups": (1,),
    "diversity_penalty": (0,),
    "force_words_ids": (),
    "constraints": (),
    "forced_decoder_ids": ([],),
    "guidance_scale": (1,),
    "penalty_alpha": (0,),
    "watermarking_config": (),
    "stop_strings": (),
    "max_time": (),
    "dola_layers": (),
    "prompt_lookup_num_tokens": (),
}
"""Documented fields that affect the text but are not implemented, with the values at which they have no effect."""

PENALTIES = ("repetition_penalty", "encoder_repetition_penalty")
"""Fields that divide or multiply a score."""
SHARES = ("top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
"""Fields of sampling that are probabilities, or a factor of one."""

NEUTRAL_ARGUMENTS: dict[str, Any] = {
    name: values[0] if values and not isinstance(values[0], list) else None for name, values in _NEUTRAL.items()
}
"""The value that disables each unimplemented field when it is passed to ``generate``."""
NOT_OF_TEXT = ("use_cache",)
"""Documented fields that change no text."""


def shown(value: Any) -> str:
    """A setting's value for messages; values from a file may be large and are truncated."""
    return brief(value)


class SettingError(CheckpointError):
    """A generation setting is invalid or unsupported; ``setting`` is its name, "" if no single one is the cause."""

    def __init__(self, path: Path | str, cause: str, setting: str = "") -> None:
        super().__init__(path, cause)
        self.setting = setting

    def __reduce__(self) -> tuple[type[SettingError], tuple[str, ...]]:
        return SettingError, (self.path, self.cause, self.setting)


def check_known(arguments: Mapping[str, Any], names: set[str]) -> None:
    """Raises CheckpointError if an argument is not a documented field."""
    unknown = sorted(set(arguments) - names - set(_NEUTRAL) - set(NOT_OF_TEXT))
    if unknown:
        raise CheckpointError("an argument", f"{unknown[0]} is not a documented generation setting")


def check_neutral(values: Mapping[str, Any], location: Path | str, arguments: Mapping[str, Any]) -> None:
    """Raises SettingError if an unimplemented field has a value that affects the text."""
    for name, neutral in _NEUTRAL.items():
        if name in values and values[name] not in neutral:
            source = "an argument" if name in arguments else location
            cause = f"{name} is {shown(values[name])}, which the reference does not support"
            raise SettingError(source, cause, name)


def check_value(name: str, value: Any, location: Path | str) -> None:
    """Raises SettingError if a value has the wrong type or range; see ``conflict`` for combinations."""
    if name in TOKENS:
        _check_tokens(name, value, location)
    if name in _COUNTS and not (_whole(value) and value >= _COUNTS[name]):
        raise SettingError(location, f"{name} is {shown(value)}, not an integer of at least {_COUNTS[name]}", name)
    if name in _SWITCHES and value is not True and value is not False:
        raise SettingError(location, f"{name} is {shown(value)}, not true or false", name)
    if name in ("length_penalty", "temperature", *SHARES) and not _finite(value):
        raise SettingError(location, f"{name} is {shown(value)}, not a finite number", name)
    if name == "top_k" and not _whole(value):
        raise SettingError(location, f"top_k is {shown(value)}, not an integer", name)
    if name in PENALTIES and not (_finite(value) and value > 0):
        raise SettingError(location, f"{name} is {shown(value)}, not a finite number above 0", name)
    if name == "early_stopping" and value is not True and value is not False and value != "never":
        raise SettingError(location, f"early_stopping is {shown(value)}, not true, false or 'never'", name)
    if name in LISTS and not (_several(value) and all(_token(token) for token in value)):
        raise SettingError(location, f"{name} is {shown(value)}, not a list of token ids", name)
    if name == "bad_words_ids" and not (_several(value) and value and all(map(_word, value))):
        raise SettingError(location, f"bad_words_ids is {shown(value)}, not a list of lists of token ids", name)
    if name == "sequence_bias" and not (_several(value) and value and all(map(_biased_word, value))):
        cause = f"sequence_bias is {shown(value)}, not a list of pairs of a list of token ids and a finite number"
        raise SettingError(location, cause, name)
    if name == "exponential_decay_length_penalty" and not _decay(value):
        cause = f"{name} is {shown(value)}, not a count of tokens and a finite number above 0"
        raise SettingError(location, cause, name)


def _several(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def _token(value: Any) -> bool:
    return _whole(value) and value >= 0


def _word(value: Any) -> bool:
    return _several(value) and len(value) > 0 and all(map(_token, value))


def _biased_word(value: Any) -> bool:
    return _several(value) and len(value) == 2 and _word(value[0]) and _finite(value[1])


def _decay(value: Any) -> bool:
    return _several(value) and len(value) == 2 and _token(value[0]) and _finite(value[1]) and value[1] > 0


def _check_tokens(name: str, value: Any, location: Path | str) -> None:
    several = name in SEVERAL and isinstance(value, list | tuple)
    tokens: Sequence[Any] = value if several else [value]
    if not tokens or not all(_whole(token) and token >= 0 for token in tokens):
        raise SettingError(
            location, f"{name} is {shown(value)}, not {'a list of token ids' if several else 'a token id'}", name
        )


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return _whole(value) or (isinstance(value, float) and math.isfinite(value))
