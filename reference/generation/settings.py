"""How to generate: the documented fields, read from where the documentation puts them, and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from reference.config import CONFIG_FILE, BartConfig, read_json
from reference.errors import CheckpointError
from reference.generation.dialect import Dialect, MinLength, MinNewTokens, NoRepeatNgram, Padding, Twenty

GENERATION_FILE = "generation_config.json"

_COUNTS = {"max_length": 1, "min_length": 0, "num_beams": 1, "no_repeat_ngram_size": 0}
_OPTIONAL_COUNTS = {"max_new_tokens": 1, "min_new_tokens": 0}
_TOKENS = (
    "forced_bos_token_id", "forced_eos_token_id", "pad_token_id", "eos_token_id", "bos_token_id",
    "decoder_start_token_id",
)  # fmt: skip
_NEUTRAL = {
    "do_sample": (False,), "num_return_sequences": (1,), "num_beam_groups": (1,), "diversity_penalty": (0,),
    "repetition_penalty": (1,), "encoder_repetition_penalty": (1,), "encoder_no_repeat_ngram_size": (0,),
    "bad_words_ids": (), "force_words_ids": (), "constraints": (), "sequence_bias": (), "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],), "forced_decoder_ids": ([],), "exponential_decay_length_penalty": (),
    "guidance_scale": (1,), "penalty_alpha": (0,), "renormalize_logits": (False,), "watermarking_config": (),
    "stop_strings": (), "max_time": (), "dola_layers": (), "prompt_lookup_num_tokens": (),
}  # fmt: skip
"""Documented fields that would change a text and are not written here, with the values at which they do nothing."""


@dataclass(frozen=True)
class GenerationSettings:
    """The fields of ``GenerationConfig`` that decide a text without chance; names and defaults as documented.

    Lengths are counts of tokens, ``decoder_start_token_id`` among them; ``*_new_tokens`` count without it and win.
    ``passed`` and ``stored`` name the fields that came as arguments and from a file, which matters to a few libraries
    (``Dialect.twenty``).
    """

    max_length: int = 20
    min_length: int = 0
    num_beams: int = 1
    length_penalty: int | float = 1.0
    early_stopping: bool | str = False
    no_repeat_ngram_size: int = 0
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    pad_token_id: int | None = None
    eos_token_id: int | None = None
    bos_token_id: int | None = None
    decoder_start_token_id: int | None = None
    max_new_tokens: int | None = None
    min_new_tokens: int | None = None
    passed: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()

    @classmethod
    def from_dict(cls, data: Any, path: Path | str | None = None, **arguments: Any) -> GenerationSettings:
        """Settings from the content of a ``generation_config.json``; absent and null fields take the defaults.

        Args:
            data: what the file holds, a JSON object if it is right; keys that are no documented field are left alone.
            path: the file named in errors.
            arguments: fields that win over the file's, as those of ``generate`` do; None takes the default.

        Raises:
            CheckpointError: a value is not of its kind, a documented field that is not written here asks for
                something, no start token is known, or the lengths contradict each other.
        """
        place = GENERATION_FILE if path is None else path
        if not isinstance(data, Mapping):
            raise CheckpointError(place, f"holds {type(data).__name__}, not a JSON object")
        merged = {name: value for name, value in data.items() if value is not None and name not in arguments}
        given = {name: value for name, value in arguments.items() if value is not None}
        _check_known(given)
        merged.update(given)
        _check_neutral(merged, place, given)
        names = _names()
        values = {name: value for name, value in merged.items() if name in names}
        for name, value in values.items():
            _check_value(name, value, "an argument" if name in given else place)
        stored = {name for name in names if data.get(name) is not None}
        settings = cls(**values, passed=frozenset(given) & names, stored=frozenset(stored)).with_start()
        _check_whole(settings, place)
        return settings

    @classmethod
    def read(cls, directory: Path | str, **arguments: Any) -> GenerationSettings:
        """From ``directory/generation_config.json``; without it from the generation keys of ``config.json``.

        The second is how checkpoints from before that file say it; absent token ids are then BART's documented ones.

        Raises:
            CheckpointError: neither can be read, or as ``from_dict``.
        """
        config, path = BartConfig.read(directory), Path(directory) / GENERATION_FILE
        if path.is_file():
            data = read_json(directory, GENERATION_FILE)
        else:
            path = Path(directory) / CONFIG_FILE
            data = {**config.others, **{name: getattr(config, name) for name in _TOKENS}}
        settings = cls.from_dict(data, path, **arguments)
        for name in _TOKENS:
            token = getattr(settings, name)
            if token is not None and token >= config.vocab_size:
                place = "an argument" if name in settings.passed else path
                raise CheckpointError(place, f"{name} is {token}, outside the vocabulary of {config.vocab_size}")
        return settings

    def to_dict(self) -> dict[str, Any]:
        """By documented name, as JSON can hold it; ``from_dict`` reads it back, but for what came as an argument."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("passed", "stored")}

    def with_start(self) -> GenerationSettings:
        """The same, where ``decoder_start_token_id`` is not given with ``bos_token_id`` in its place, as documented."""
        start = self.bos_token_id if self.decoder_start_token_id is None else self.decoder_start_token_id
        return replace(self, decoder_start_token_id=start)

    def resolved(self, dialect: Dialect) -> GenerationSettings:
        """The same as a dialect takes it: both lengths with the start token, the ``*_new_tokens`` that won None.

        To be called once: what is resolved must not be read in a dialect again.
        """
        longest, shortest = self.max_length, self.min_length
        if self.max_new_tokens is not None:
            longest = 1 + self.max_new_tokens
        elif longest == 20 and self._longer(dialect.twenty):
            longest += 1
        if self.min_new_tokens is not None and dialect.min_new_tokens is MinNewTokens.COUNTS:
            shortest = 1 + self.min_new_tokens
        shortest += dialect.min_length is MinLength.EXCEEDED
        lengths = {"max_length": longest, "min_length": shortest, "max_new_tokens": None, "min_new_tokens": None}
        ngram = self.no_repeat_ngram_size if dialect.no_repeat_ngram is NoRepeatNgram.COUNTS else 0
        return replace(self, **lengths, no_repeat_ngram_size=ngram)

    def _longer(self, twenty: Twenty) -> bool:
        passed, stored = "max_length" in self.passed, "max_length" in self.stored
        return {
            Twenty.AS_WRITTEN: False,
            Twenty.MORE_UNLESS_PASSED: not passed,
            Twenty.MORE_UNLESS_GIVEN: not passed and not stored,
            Twenty.MORE_IF_PASSED: passed,
        }[twenty]

    def fill(self, dialect: Dialect) -> int:
        """The token after a row's end: padding; the end itself where no padding is known; 0 where neither is."""
        token = self.pad_token_id
        zero = token == 0 and self.num_beams > 1 and dialect.padding is Padding.END_IF_PAD_IS_ZERO
        if token is None or zero:
            token = self.eos_token_id if self.eos_token_id is not None else token
        return token or 0


def _names() -> set[str]:
    return {f.name for f in fields(GenerationSettings)} - {"passed", "stored"}


def _check_known(arguments: Mapping[str, Any]) -> None:
    unknown = sorted(set(arguments) - _names() - set(_NEUTRAL))
    if unknown:
        raise CheckpointError("an argument", f"{unknown[0]} is no field of generation that is known here")


def _check_neutral(values: Mapping[str, Any], place: Path | str, arguments: Mapping[str, Any]) -> None:
    for name, neutral in _NEUTRAL.items():
        if name in values and values[name] not in neutral:
            source = "an argument" if name in arguments else place
            raise CheckpointError(source, f"{name} is {values[name]!r}, which the reference does not do")


def _check_value(name: str, value: Any, place: Path | str) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    least = {**_COUNTS, **_OPTIONAL_COUNTS, **dict.fromkeys(_TOKENS, 0)}.get(name)
    if name == "eos_token_id" and isinstance(value, list):
        raise CheckpointError(place, f"eos_token_id is {value!r}; the reference knows one end token")
    if least is not None and (not whole or value < least):
        kind = "a token id" if name in _TOKENS else f"an integer of at least {least}"
        raise CheckpointError(place, f"{name} is {value!r}, not {kind}")
    number = whole or isinstance(value, float)
    if name == "length_penalty" and not (number and math.isfinite(value)):
        raise CheckpointError(place, f"length_penalty is {value!r}, not a finite number")
    if name == "early_stopping" and value is not True and value is not False and value != "never":
        raise CheckpointError(place, f"early_stopping is {value!r}, not true, false or 'never'")


def _check_whole(settings: GenerationSettings, place: Path | str) -> None:
    if settings.decoder_start_token_id is None:
        raise CheckpointError(place, "has neither decoder_start_token_id nor bos_token_id to start with")
    lengths = settings.resolved(Dialect())
    if lengths.max_length < 2:
        raise CheckpointError(place, "max_length is 1, which leaves no token after the start token")
    if lengths.min_length > lengths.max_length:
        cause = f"min_length {lengths.min_length} is longer than max_length {lengths.max_length}"
        raise CheckpointError(place, cause)
