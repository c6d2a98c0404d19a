"""The generation settings of a checkpoint that are in force without arguments, and which of them cannot be judged.

A setting that is not supported here, or unbounded, is recorded with the reason. Generation without arguments depends on
it and is skipped. A case with its own settings also passes the value that switches each of these off, and is judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from reference.config import CONFIG_FILE, Config, EncoderDecoderConfig, SpeechConfig, read_config, vocabulary_of
from reference.config.tokens import usable
from reference.generation import (
    GENERATION_FILE,
    NEUTRAL_ARGUMENTS,
    GenerationSettings,
    SettingError,
    settings_in_config,
    shown,
    stored_settings,
)
from reference.generation.settings import OF_SOURCE

NOT_FOLLOWED = "not_followed"
"""Key of the settings in force that maps unjudged settings to their reasons."""
NOT_READ: Final = "not_read"
"""Key of the settings in force: unread settings that are replaced by a stand-in."""

FROM_MODEL_CONFIG = "_from_model_config"
"""Key of ``generation_config.json`` by which 4.x prefers ``config.json``; stored as a cause of differences."""

MOST_BEAMS = 64
"""Maximum beams and results per source that are judged: all are scored at every step by every backend, and no published
checkpoint of these architectures uses a quarter as many."""
LENGTHS = ("max_length", "min_length", "max_new_tokens", "min_new_tokens", "no_repeat_ngram_size")
"""Token counts, bounded by the decoder's positions."""
COUNTS = ("num_beams", "num_return_sequences")
"""Counts of parallel texts, bounded by ``MOST_BEAMS``."""

_NOT_JUDGED = {
    "do_sample": False,
    "num_return_sequences": 1,
}
"""Settings whose effect no check judges, with the values at which they have none.

The reference implements them; but sampling has no single correct text, and the checks read one text for each source.
"""
_OF_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
"""Settings that only affect sampling: without sampling any value is accepted."""
_NOT_EVERYWHERE = ("forced_decoder_ids", "watermarking_config", "stop_strings", "dola_layers", *_OF_SAMPLING)
"""Settings that ``generate`` of some tested version does not accept as an argument."""


def generation_in_force(path: Path, positions: int) -> dict[str, Any]:
    """A checkpoint's generation settings without arguments, by documented name.

    Args:
        positions: number of decoder positions.

    Returns:
        Every field of ``GenerationSettings``; also ``NOT_FOLLOWED`` and ``NOT_READ``, where there are such settings.

    Raises:
        CheckpointError: ``generation_config.json`` is not a JSON object.
    """
    config = read_config(path)
    stored, location = stored_settings(path, config)
    found, reasons, not_read = dict(stored), {}, []
    # Each round removes one setting; there are fewer rounds than settings.
    while True:
        try:
            settings = GenerationSettings.from_dict(found, location)
            settings.check_tokens(vocabulary_of(config), location)
            _check_bounded(settings, positions, location)
            break
        except SettingError as error:
            # Without sampling their range is of no effect; a value of another type is no better then.
            drawn = error.setting in _OF_SAMPLING and "do_sample" not in not_read
            name = "do_sample" if drawn else error.setting
            if name in not_read:
                raise
            reasons[name] = f"{location}: {error.cause}"
            not_read.append(name)
            found[name] = _stand_in(name, config, positions)
    reasons |= {name: f"{location}: {why}" for name, why in _not_judged(settings)}
    if why := _unlike_the_text(config):
        why = f"which depends on the tokens of the source, and {why}"
        reasons |= {name: f"{location}: {name} is {getattr(settings, name)}, {why}" for name in settings.reads_source}
    reasons = {**_unbounded_beside(path, config, positions), **reasons}
    in_force = settings.to_dict()
    if location.name == GENERATION_FILE and stored.get(FROM_MODEL_CONFIG):
        in_force[FROM_MODEL_CONFIG] = True
    return {**in_force, NOT_FOLLOWED: reasons, NOT_READ: not_read} if reasons else in_force


def _stand_in(name: str, config: Config, positions: int) -> Any:
    """The replacement of an unread setting: the default, or a value with which the others can be read."""
    if name == "max_length":
        return max(2, min(GenerationSettings.max_length, positions))
    if name == "decoder_start_token_id":
        # The config's value may be the invalid one; every table has a first row.
        return usable(getattr(config, name, None), vocabulary_of(config)) or 0
    return None


def _check_bounded(settings: GenerationSettings, positions: int, location: Path) -> None:
    """Raises SettingError where a setting exceeds the supported amount of work."""
    for name in LENGTHS:
        value = getattr(settings, name)
        start = name.endswith("_new_tokens")
        if value is not None and value + start > positions:
            default = "" if name in settings.stored else ", the documented default,"
            cause = f"{name} {value:,}{default} is beyond the {positions:,} positions of the decoder"
            raise SettingError(location, cause, name)
    for name in COUNTS:
        value = getattr(settings, name)
        if value > MOST_BEAMS:
            raise SettingError(location, f"{name} {value:,} is beyond the {MOST_BEAMS} that are judged here", name)


def _unbounded_beside(path: Path, config: Config, positions: int) -> dict[str, str]:
    """Settings in a ``config.json`` beside a ``generation_config.json`` that exceed the supported amount of work.

    Some libraries still take their settings from it (``from_pt`` of TensorFlow; ``_from_model_config``).
    """
    if not (path / GENERATION_FILE).is_file():
        return {}
    found = {}
    for name, value in settings_in_config(config).items():
        limit = MOST_BEAMS if name in COUNTS else positions if name in LENGTHS else None
        if limit is not None and isinstance(value, int) and value + name.endswith("_new_tokens") > limit:
            cause = f"{name} {value:,} is beyond the {limit:,} that are judged here, and some libraries read it there"
            found[name] = f"{path / CONFIG_FILE}: {cause}"
    return found


def _unlike_the_text(config: Config) -> str:
    """Why the tokens of the source are none of the text's; "" if they are."""
    if not isinstance(config, EncoderDecoderConfig):
        return ""
    if isinstance(config.encoder, SpeechConfig):
        return "the source is audio"
    source, text = config.encoder.vocab_size, config.decoder.vocab_size
    return "" if source <= text else f"the source has a vocabulary of {source:,}, the text one of {text:,}"


def _not_judged(settings: GenerationSettings) -> Iterator[tuple[str, str]]:
    """Settings that the reference supports but the checks have no bound for, with reasons."""
    for name, value in settings.to_dict().items():
        if name in _NOT_JUDGED and value != _NOT_JUDGED[name]:
            yield name, f"{name} is {shown(value)}, which no check judges"


def switched_off(generation: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that switch off unjudged settings and further end tokens in every backend, where such a value exists.

    Args:
        generation: the settings in force (``generation_in_force``).
    """
    found: dict[str, Any] = {}
    for name in generation.get(NOT_FOLLOWED, ()):
        if name in _NOT_JUDGED:
            found[name] = _NOT_JUDGED[name]
        elif name in OF_SOURCE:
            found[name] = getattr(GenerationSettings, name)
        elif name in NEUTRAL_ARGUMENTS and name not in _NOT_EVERYWHERE:
            found[name] = NEUTRAL_ARGUMENTS[name]
    reasons = generation.get(NOT_FOLLOWED, ())
    if isinstance(generation["eos_token_id"], list):
        # Some backends take one end token; the cases without arguments judge the list.
        found["eos_token_id"] = generation["eos_token_id"][0]
    # They take precedence over the lengths that a case passes.
    new = [name for name in ("max_new_tokens", "min_new_tokens") if generation[name] is not None or name in reasons]
    return found | dict.fromkeys(new)


def not_followed(generation: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """Why a case with these arguments is not judged: the unjudged settings still in force; "" if none."""
    return "; ".join(why for name, why in generation.get(NOT_FOLLOWED, {}).items() if name not in arguments)
