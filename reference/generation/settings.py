"""Generation settings: the documented fields, read from the documented files, and validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from reference.config import CONFIG_FILE, Config, EncoderDecoderConfig, read_config, read_json, vocabulary_of
from reference.config.fields import kind_of
from reference.errors import CheckpointError
from reference.generation.dialect import (
    DefaultMaxLength,
    Dialect,
    Effect,
    EncoderPenalty,
    MinLength,
    MinNewTokens,
    NoRepeatNgram,
    Padding,
    Renormalisation,
    Stopping,
)
from reference.generation.validation import (
    LISTS,
    TOKENS,
    SettingError,
    check_known,
    check_neutral,
    check_value,
    shown,
)

GENERATION_FILE = "generation_config.json"
NOT_SETTINGS = ("passed", "stored", "start_in_ngrams")
"""Fields of ``GenerationSettings`` that are no documented settings."""
FURTHER = (
    "repetition_penalty",
    "encoder_repetition_penalty",
    "encoder_no_repeat_ngram_size",
    "renormalize_logits",
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
    "sequence_bias",
    "exponential_decay_length_penalty",
)
"""Fields that forbid or reweight tokens, besides those of the documented examples."""
IGNORABLE = {
    "repetition_penalty": "repetition_penalty",
    "encoder_repetition_penalty": "encoder_repetition_penalty",
    "encoder_no_repeat_ngram": "encoder_no_repeat_ngram_size",
    "bad_words": "bad_words_ids",
    "sequence_bias": "sequence_bias",
    "exponential_decay": "exponential_decay_length_penalty",
}
"""By choice of a dialect, the setting that may have no effect."""
OF_SOURCE = ("encoder_repetition_penalty", "encoder_no_repeat_ngram_size")
"""Fields whose effect depends on the source's tokens."""
OLD_FORCED_BEGIN = "force_bos_token_to_be_generated"


@dataclass(frozen=True)
class GenerationSettings:
    """The fields of ``GenerationConfig`` that determine a text; names and defaults as documented.

    Lengths are counts of tokens including ``decoder_start_token_id``; ``*_new_tokens`` exclude it and take precedence.
    ``temperature``, ``top_k`` (0: off), ``top_p``, ``min_p``, ``typical_p``, ``epsilon_cutoff`` and ``eta_cutoff`` have
    an effect only if ``do_sample`` is set. ``min_p`` is documented as null by default, which is 0 here. Several end
    tokens are a tuple here and a list in files. ``passed`` and ``stored`` are the names of fields from arguments and
    from a file, which some libraries distinguish (``Dialect.default_max_length``). ``start_in_ngrams`` is set by a
    dialect (``Dialect.no_repeat_ngram``).
    """

    max_length: int = 20
    min_length: int = 0
    num_beams: int = 1
    length_penalty: int | float = 1.0
    early_stopping: bool | str = False
    no_repeat_ngram_size: int = 0
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    bos_token_id: int | None = None
    decoder_start_token_id: int | None = None
    max_new_tokens: int | None = None
    min_new_tokens: int | None = None
    do_sample: bool = False
    temperature: int | float = 1.0
    top_k: int = 50
    top_p: int | float = 1.0
    min_p: int | float = 0.0
    typical_p: int | float = 1.0
    epsilon_cutoff: int | float = 0.0
    eta_cutoff: int | float = 0.0
    repetition_penalty: int | float = 1.0
    encoder_repetition_penalty: int | float = 1.0
    encoder_no_repeat_ngram_size: int = 0
    renormalize_logits: bool = False
    num_return_sequences: int = 1
    suppress_tokens: tuple[int, ...] | None = None
    begin_suppress_tokens: tuple[int, ...] | None = None
    bad_words_ids: tuple[tuple[int, ...], ...] | None = None
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...] | None = None
    exponential_decay_length_penalty: tuple[int, float] | None = None
    passed: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()
    start_in_ngrams: bool = True

    @classmethod
    def from_dict(cls, data: Any, path: Path | str | None = None, **arguments: Any) -> GenerationSettings:
        """Settings from the content of a ``generation_config.json``; absent and null fields have the defaults.

        Args:
            data: the parsed content of the file, which must be a JSON object; undocumented keys are ignored.
            path: the file name in error messages.
            arguments: fields that override those of the file, like arguments of ``generate``; None for the default.

        Raises:
            SettingError: a value has the wrong type, an unimplemented field has a value that affects the text, there is
                no start token, or settings contradict each other.
            CheckpointError: the content is not a JSON object, or an argument is not a documented field.
        """
        location = GENERATION_FILE if path is None else path
        if not isinstance(data, Mapping):
            raise CheckpointError(location, f"contains {kind_of(data)}, not a JSON object")
        merged = {name: value for name, value in data.items() if value is not None and name not in arguments}
        given = {name: value for name, value in arguments.items() if value is not None}
        names = _names()
        check_known(given, names)
        merged.update(given)
        check_neutral(merged, location, given)
        values = {name: value for name, value in merged.items() if name in names}
        for name, value in values.items():
            check_value(name, value, "an argument" if name in given else location)
        values = {name: _as_tuples(value) for name, value in values.items()}
        stored = {name for name in names if data.get(name) is not None}
        settings = cls(**values, passed=frozenset(given) & names, stored=frozenset(stored)).with_start()
        _check_whole(settings, location)
        return settings

    @classmethod
    def read(cls, directory: Path | str, **arguments: Any) -> GenerationSettings:
        """Reads ``directory/generation_config.json``, or without it the generation keys of ``config.json``.

        The latter is the format of checkpoints older than ``generation_config.json``. Absent token ids then have the
        documented defaults of the architecture, and absent fields of a composition are read from its decoder's config.

        Raises:
            CheckpointError: neither can be read, or as ``from_dict``.
        """
        config = read_config(directory)
        data, path = stored_settings(directory, config)
        settings = cls.from_dict(data, path, **arguments)
        settings.check_tokens(vocabulary_of(config, path), path)
        return settings

    def check_tokens(self, vocabulary: int, location: Path | str) -> None:
        """Raises SettingError if a token is outside a vocabulary of this size."""
        for name in (*TOKENS, *LISTS, "bad_words_ids", "sequence_bias"):
            outside = [token for token in self._tokens_of(name) if token >= vocabulary]
            if outside:
                source = "an argument" if name in self.passed else location
                cause = f"{name} is {shown(outside[0])}, outside the vocabulary of {vocabulary}"
                raise SettingError(source, cause, name)

    def to_dict(self) -> dict[str, Any]:
        """JSON-compatible values by documented name; ``from_dict`` restores all but the origin of arguments."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in NOT_SETTINGS}
        return {name: _as_lists(value) for name, value in values.items()}

    def _tokens_of(self, name: str) -> tuple[int, ...]:
        """All tokens of a field."""
        value = getattr(self, name)
        if name == "bad_words_ids":
            return tuple(token for word in value or () for token in word)
        if name == "sequence_bias":
            return tuple(token for word, _ in value or () for token in word)
        return _tokens(value)

    @property
    def start(self) -> int:
        """The first token of every text; settings created by ``from_dict`` always have one.

        Raises:
            ValueError: there is none.
        """
        if self.decoder_start_token_id is None:
            raise ValueError("settings without decoder_start_token_id")
        return self.decoder_start_token_id

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a text; empty if ``eos_token_id`` is not set."""
        return _tokens(self.eos_token_id)

    @property
    def forced_ends(self) -> tuple[int, ...]:
        """The only tokens permitted as the last one at ``max_length``; empty if none is forced."""
        return _tokens(self.forced_eos_token_id)

    @property
    def gain(self) -> float:
        """The largest factor by which the processors increase the difference of two scores of a token.

        The two penalties of repetition multiply or divide a score, and ``exponential_decay_length_penalty`` adds up to
        ``factor ** n - 1`` times the size of an end token's. The others shift or forbid. For resolved settings.
        """
        gain = 1.0
        for penalty in (self.repetition_penalty, self.encoder_repetition_penalty):
            gain *= max(1.0, penalty, 1 / penalty)
        if self.exponential_decay_length_penalty is not None:
            start, factor = self.exponential_decay_length_penalty
            gain *= max(1.0, factor ** max(0, self.max_length - 2 - start))
        return float(gain)

    @property
    def reads_source(self) -> tuple[str, ...]:
        """The names among ``OF_SOURCE`` that have an effect."""
        return tuple(name for name in self.further if name in OF_SOURCE)

    @property
    def further(self) -> tuple[str, ...]:
        """The names among ``FURTHER`` that have an effect."""
        return tuple(name for name in FURTHER if getattr(self, name) not in (getattr(GenerationSettings, name), ()))

    def with_start(self) -> GenerationSettings:
        """A copy in which a missing ``decoder_start_token_id`` is replaced by ``bos_token_id``, as documented."""
        start = self.bos_token_id if self.decoder_start_token_id is None else self.decoder_start_token_id
        return replace(self, decoder_start_token_id=start)

    def resolved(self, dialect: Dialect) -> GenerationSettings:
        """A copy resolved for a dialect: both lengths include the start token, and applied ``*_new_tokens`` are None.

        To be called once: resolved settings must not be resolved again.
        """
        longest, shortest = self.max_length, self.min_length
        if self.max_new_tokens is not None:
            longest = 1 + self.max_new_tokens
        elif longest == 20 and self._longer(dialect.default_max_length):
            longest += 1
        if self.min_new_tokens is not None and dialect.min_new_tokens is MinNewTokens.COUNTS:
            shortest = 1 + self.min_new_tokens
        shortest += dialect.min_length is MinLength.EXCEEDED
        lengths = {"max_length": longest, "min_length": shortest, "max_new_tokens": None, "min_new_tokens": None}
        ngram = self.no_repeat_ngram_size if dialect.no_repeat_ngram is not NoRepeatNgram.IGNORED else 0
        ignored = {
            setting: getattr(GenerationSettings, setting)
            for choice, setting in IGNORABLE.items()
            if getattr(dialect, choice) in (Effect.IGNORED, EncoderPenalty.IGNORED)
        }
        renormalised = self.renormalize_logits or dialect.renormalisation is Renormalisation.ALWAYS
        early = self.early_stopping
        if dialect.stopping is Stopping.ENOUGH_FINISHED:
            # Without a length penalty scores only decrease, so that the heuristic of False is exact.
            early = self.length_penalty != 0
        return replace(
            self,
            **lengths,
            no_repeat_ngram_size=ngram,
            early_stopping=early,
            renormalize_logits=renormalised and dialect.renormalisation is not Renormalisation.NEVER,
            **ignored,
            start_in_ngrams=dialect.no_repeat_ngram is not NoRepeatNgram.WITHOUT_START,
        )

    def _longer(self, default_max_length: DefaultMaxLength) -> bool:
        passed, stored = "max_length" in self.passed, "max_length" in self.stored
        return {
            DefaultMaxLength.AS_WRITTEN: False,
            DefaultMaxLength.MORE_UNLESS_PASSED: not passed,
            DefaultMaxLength.MORE_UNLESS_GIVEN: not passed and not stored,
            DefaultMaxLength.MORE_IF_PASSED: passed,
        }[default_max_length]

    def fill(self, dialect: Dialect) -> int:
        """The token that fills a row after its end: ``pad_token_id``, else the first end token, else 0."""
        token = self.pad_token_id
        zero = token == 0 and self.num_beams > 1 and dialect.padding is Padding.END_IF_PAD_IS_ZERO
        if token is None or zero:
            token = self.ends[0] if self.ends else token
        return token or 0


def stored_settings(directory: Path | str, config: Config | None = None) -> tuple[dict[str, Any], Path]:
    """The generation settings of a checkpoint, not validated, and the file that they were read from.

    This is ``generation_config.json``, or without it the generation keys of ``config.json``
    (``GenerationSettings.read``).

    Args:
        config: the content of ``config.json``, if it has been read already.

    Raises:
        CheckpointError: neither can be read, or ``generation_config.json`` is not a JSON object.
    """
    path = Path(directory) / GENERATION_FILE
    if not path.is_file():
        return settings_in_config(read_config(directory) if config is None else config), Path(directory) / CONFIG_FILE
    data = read_json(directory, GENERATION_FILE)
    if not isinstance(data, Mapping):
        raise CheckpointError(path, f"contains {kind_of(data)}, not a JSON object")
    return dict(data), path


def held_settings(directory: Path | str) -> dict[str, Any]:
    """The settings of a checkpoint that apply without arguments, by documented name, including unsupported values.

    Raises:
        CheckpointError: as ``stored_settings``.
    """
    try:
        return GenerationSettings.read(directory).to_dict()
    except SettingError:
        stored, _ = stored_settings(directory)
        own = {name: stored[name] for name in _names() if stored.get(name) is not None}
        return {**GenerationSettings(decoder_start_token_id=own.get("bos_token_id")).to_dict(), **own}


def settings_in_config(config: Config) -> dict[str, Any]:
    """The generation keys of a ``config.json``.

    Until 2021, summarisation checkpoints had ``force_bos_token_to_be_generated`` for ``forced_bos_token_id =
    bos_token_id``. The libraries still read it this way if there is no ``forced_bos_token_id`` (transformers 4.37.2 and
    4.57.6, ``BartConfig.__init__``; 5.23.0, ``GenerationConfig.__init__``), in both cases for BART models only.
    """
    own = {**config.others, **{name: getattr(config, name) for name in TOKENS if hasattr(config, name)}}
    if config.model_type == "bart" and own["forced_bos_token_id"] is None and own.get(OLD_FORCED_BEGIN):
        own["forced_bos_token_id"] = own["bos_token_id"]
    if not isinstance(config, EncoderDecoderConfig):
        return own
    return {**settings_in_config(config.decoder), **{name: value for name, value in own.items() if value is not None}}


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


def _as_lists(value: Any) -> Any:
    return list(map(_as_lists, value)) if isinstance(value, tuple) else value


def _tokens(value: int | tuple[int, ...] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _names() -> set[str]:
    return {f.name for f in fields(GenerationSettings)} - {*NOT_SETTINGS}


def _check_whole(settings: GenerationSettings, location: Path | str) -> None:
    if settings.decoder_start_token_id is None:
        cause = "has neither decoder_start_token_id nor bos_token_id to start with"
        raise SettingError(location, cause, "decoder_start_token_id")
    lengths = settings.resolved(Dialect())
    if lengths.max_length < 2:
        raise SettingError(location, "max_length is 1, which leaves no token after the start token", "max_length")
    if lengths.min_length > lengths.max_length:
        cause = f"min_length {lengths.min_length} is longer than max_length {lengths.max_length}"
        raise SettingError(location, cause, "min_length" if settings.min_new_tokens is None else "min_new_tokens")
    if (found := conflict(settings)) is not None:
        name, cause = found
        raise SettingError("an argument" if name in settings.passed else location, cause, name)


def conflict(settings: GenerationSettings) -> tuple[str, str] | None:
    """The first field that contradicts other settings, and the reason; None if there is none.

    The range of ``temperature`` and the other sampling fields is checked only if ``do_sample`` is set: otherwise they
    are documented to have no effect.
    """
    results, beams = settings.num_return_sequences, settings.num_beams
    if settings.do_sample and beams > 1:
        return "do_sample", f"do_sample with num_beams {beams} is beam sampling, which the reference does not support"
    if not settings.do_sample and beams == 1 and results > 1:
        return "num_return_sequences", f"num_return_sequences is {results}, and greedy search has one result"
    if beams > 1 and results > beams:
        return "num_return_sequences", f"num_return_sequences is {results}, more than num_beams {beams}"
    return _warper_conflict(settings) if settings.do_sample else None


def _warper_conflict(settings: GenerationSettings) -> tuple[str, str] | None:
    if settings.temperature <= 0:
        return "temperature", f"temperature is {settings.temperature}, and text is drawn at one above 0"
    if settings.top_k < 0:
        return "top_k", f"top_k is {settings.top_k}, not a count of tokens (0 keeps all)"
    if not 0 < settings.top_p <= 1:
        return "top_p", f"top_p is {settings.top_p}, not above 0 and at most 1"
    if not 0 <= settings.min_p <= 1:
        return "min_p", f"min_p is {settings.min_p}, not between 0 and 1"
    if not 0 < settings.typical_p <= 1:
        return "typical_p", f"typical_p is {settings.typical_p}, not above 0 and at most 1"
    for name in ("epsilon_cutoff", "eta_cutoff"):
        if not 0 <= (value := getattr(settings, name)) < 1:
            return name, f"{name} is {value}, not at least 0 and below 1"
    return None
