"""The list of known issues of known divergences: a failure is ``known`` only where an entry says exactly so."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Annotated, Any, Literal

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from parity.checkpoint.weight_precedence import file_read
from parity.core.errors import InputError
from parity.core.records import CheckpointRecord, FileFacts, SubjectRecord, Verdict, WeightFacts
from parity.core.resources import data
from parity.core.subject import Variant
from parity.judge.results import Comparison, Finding, Result

Severity = Literal["critical", "high", "low"]


class NoSuchEntry(InputError):
    """The list of known issues knows nothing of what was asked for; the message says what there is."""


def _several(specifiers: Any) -> Any:
    return [specifiers] if isinstance(specifiers, str) else specifiers


class Entry(BaseModel):
    """One known divergence. Every condition that is given must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    script: str = ""
    """The script in ``reports/divergences`` that shows it, where that is another entry's: one cause, several signs."""
    severity: Severity
    """``critical``: silently wrong weights or text; ``high``: an error, or visibly wrong; ``low``: layout or words."""
    backends: list[str]
    versions: dict[str, Annotated[list[str], BeforeValidator(_several)]]
    """By distribution, the versions that diverge: one PEP 440 specifier, or several of which one must hold."""
    checks: list[str]
    cases: list[str] = Field(default_factory=list)
    """By name, ``*`` for anything; empty: all."""
    classes: list[str] = Field(default_factory=list)
    """Documented classes, by their PyTorch names; empty: all."""
    attention: list[str] = Field(default_factory=list)
    devices: list[str] = Field(default_factory=list)
    dtypes: list[str] = Field(default_factory=list)
    config: dict[str, Any] = Field(default_factory=dict)
    """Values of ``config.json`` under which it shows, each the one given or one of a list; ``encoder.model_type`` names
    a half's."""
    unless: dict[str, Any] = Field(default_factory=dict)
    """Values under which it does not show. A field that ``config.json`` does not name has its default, and that too is
    one of them."""
    tensors: list[str] = Field(default_factory=list)
    """Nothing but these may be out of tolerance (``*`` stands for anything); empty: whatever was found."""
    first: list[str] = Field(default_factory=list)
    """The first divergence must be at one of these."""
    only_at: dict[str, str] = Field(default_factory=dict)
    """Every slice out of tolerance lies there: an axis and the config's field that holds its index."""
    raises: str | None = None
    """The exception it shows as …"""
    message: str = ""
    """… a regular expression found in its message …"""
    raised_in: list[str] = Field(default_factory=list)
    """… and the deepest frame, one of these: ``*/modeling_flax_utils.py in from_pretrained``."""
    findings: list[str] = Field(default_factory=list)
    """Regular expressions: whatever was found and is no number is, as a whole, one of these."""
    dialect: str | None = None
    """The named way to search (``reference.generation.dialect``) in which the oracle writes the very same text; or
    ``LIBRARY_DEFAULTS``: it does so under the settings that the library holds without arguments, which are not the
    file's."""
    settings_lost: bool = False
    """The library holds other settings without arguments than the file's."""
    files: list[str] = Field(default_factory=list)
    """Files that the checkpoint has."""
    formats: list[str] = Field(default_factory=list)
    """Of the weight file that the backend reads: ``safetensors``, ``bin``, ``h5`` or ``msgpack``; empty: any."""
    converted: bool | None = None
    """Whether that file was written by another framework than the backend's."""
    written_by: list[str] = Field(default_factory=list)
    """The framework that wrote it: ``pt``, ``tf`` or ``flax``; empty: any."""
    holds: list[str] = Field(default_factory=list)
    """Parameters of the class, and other names of a tied table, that it holds, all of them."""
    lacks: list[str] = Field(default_factory=list)
    """The same that it does not hold, at least one of them. What is no name of the class is not lacking."""
    generation: dict[str, Any] = Field(default_factory=dict)
    """Settings of generation in force without arguments, each one of the listed values or the one given."""
    dtype: list[str] = Field(default_factory=list)
    """The dtype that the checkpoint states or is stored in (``FileFacts.dtype``) is one of these."""
    says_tensors: bool = False
    """``config.json`` itself names a field that ``tensors`` name."""
    always: str = ""
    """Why no condition on the checkpoint is needed: the cause is there whatever the files hold."""
    sometimes: str = ""
    """Where a cell it names may rightly pass: what else must be so. Without this, every cell of the baseline that it
    names has to show it (``unshown``)."""
    cause: str
    upstream: str
    """File and symbol in the library."""
    effect: str
    """What it does to users."""

    @property
    def conditional(self) -> bool:
        """Whether it holds only for some checkpoints, by what their files say."""
        by_file = (
            self.files,
            self.formats,
            self.written_by,
            self.holds,
            self.lacks,
            self.generation,
            self.config,
            self.unless,
            self.dtype,
        )
        # A file that was saved in the run itself is named by its case: who saved it, and in which form.
        saved = bool(self.cases) and all(name.startswith("saved.") for name in self.cases)
        return any(by_file) or self.converted is not None or self.says_tensors or saved

    def covers(
        self, check: str, case: str, subject: SubjectRecord, checkpoint: CheckpointRecord, versions: Mapping
    ) -> bool:
        """Whether this entry speaks about a cell at all: a check's id and a case's name, of a subject."""
        return self.applies(check, case, subject, checkpoint) and self.is_of(versions)

    def applies(self, check: str, case: str, subject: SubjectRecord, checkpoint: CheckpointRecord) -> bool:
        """Whether the cell and the checkpoint's files meet its conditions, whatever the versions."""
        if check not in self.checks or subject.backend not in self.backends:
            return False
        limits = (
            (self.classes, subject.documented_class),
            (self.attention, Variant.parse(subject.variant).attention),
            (self.devices, subject.device),
            (self.dtypes, subject.dtype),
        )
        if any(allowed and value not in allowed for allowed, value in limits):
            return False
        if self.cases and not _names(self.cases, case):
            return False
        config = checkpoint.config
        if any(not _is(_named(config, name), value) for name, value in self.config.items()):
            return False
        if any(_named(config, name) in (None, value) for name, value in self.unless.items()):
            return False
        return self._caused_by(checkpoint, subject)

    def _caused_by(self, checkpoint: CheckpointRecord, subject: SubjectRecord) -> bool:
        """Whether the files are such that the cause is there."""
        of_the_weights = any((self.formats, self.written_by, self.holds, self.lacks)) or self.converted is not None
        if not (of_the_weights or self.files or self.generation or self.says_tensors or self.dtype):
            return True
        facts = checkpoint.file_facts
        if facts is None or not set(self.files) <= set(facts.files):
            return False
        if any(not _is(facts.generation.get(name), value) for name, value in self.generation.items()):
            return False
        if self.dtype and facts.dtype not in self.dtype:
            return False
        if self.says_tensors and not any(_names(self.tensors, field) for field in facts.config_fields):
            return False
        if not of_the_weights:
            return True
        read = weights_read(facts, subject.backend)
        if read is None or (self.formats and read.format not in self.formats):
            return False
        if self.written_by and read.framework not in self.written_by:
            return False
        if self.converted is not None and (read.framework != _framework(subject.backend)) != self.converted:
            return False
        return set(self.holds) <= set(read.holds) and (not self.lacks or not set(self.lacks).isdisjoint(read.lacks))

    def names_tensor(self, tensor: str | None) -> bool:
        """Whether a tensor or parameter is one of those that may diverge."""
        return _names(self.tensors, tensor)

    def begins_at(self, tensor: str | None) -> bool:
        """Whether the first divergence is one that it names."""
        return _names(self.first, tensor)

    def is_of(self, versions: Mapping[str, str]) -> bool:
        """Whether it was measured at these versions of the distributions that it names."""
        return all(versions.get(name) and self.is_of_version(name, versions[name]) for name in self.versions)

    def is_of_version(self, name: str, version: str) -> bool:
        """Whether it was measured at this version of one distribution."""
        return matches(self.versions[name], version)

    def names(self, result: Result) -> bool:
        """Whether its evidence names what was found: the tensor, or the finding's own words."""
        if self.findings:
            return not isinstance(result, Finding) or self._says(result)
        return _names(self.tensors or self.first, result.tensor)

    def _says(self, result: Result) -> bool:
        return any(re.fullmatch(pattern, result.what, re.DOTALL) for pattern in self.findings)

    def _is_raised(self, evidence: Mapping[str, Any]) -> bool:
        """Whether an exception is this one: its type, its message, and who raised it."""
        if evidence.get("exception") != self.raises:
            return False
        if self.message and not re.search(self.message, str(evidence.get("message", ""))):
            return False
        frame = re.sub(r":\d+ in ", " in ", str(evidence.get("frame", "")))
        return not self.raised_in or _names(self.raised_in, frame)

    def explains(self, verdict: Verdict, failed: list[Result], config: dict[str, Any], attentions: bool = True) -> bool:
        """Whether what was found is what the entry says, no more and nothing else.

        Args:
            attentions: whether the subject gave its attentions. Where it did not (a golden keeps none), what is wrong
                in one shows first in the state after it.
        """
        if verdict.evidence.get("exception") is not None or self.raises is not None:
            return self._is_raised(verdict.evidence)
        if not failed:
            # It failed for want of an answer or of an oracle, of which no entry speaks.
            return False
        if self.dialect is not None and self.dialect not in verdict.evidence.get("dialects", ()):
            return False
        if self.settings_lost and not verdict.evidence.get("settings_held"):
            return False
        first = verdict.first_divergence.tensor if verdict.first_divergence else None
        names = self.first if attentions else [*self.first, *map(_state_after, self.first)]
        if self.first and not _names(names, first):
            return False
        if self.tensors and not all(_names(self.tensors, result.tensor) for result in failed):
            return False
        if self.first and verdict.check.startswith("LOAD") and not all(self.names(result) for result in failed):
            return False  # of loaded parameters none says anything of another
        if self.findings and not all(self._says(result) for result in failed if isinstance(result, Finding)):
            return False
        places = {axis: config.get(name) for axis, name in self.only_at.items()}
        return not places or all(_only_at(result, places) for result in failed)


def _state_after(name: str) -> str:
    """``decoder.hidden.1`` for ``decoder.attention.0``, the state that it goes into; any other name as it is."""
    half, _, rest = name.partition(".")
    kind, _, layer = rest.partition(".")
    return f"{half}.hidden.{int(layer) + 1}" if kind.endswith("attention") and layer.isdecimal() else name


def matches(specifiers: Iterable[str], version: str) -> bool:
    """Whether one of several PEP 440 specifiers holds for a version; for what is no version none does."""
    try:
        return any(SpecifierSet(each).contains(version, prereleases=True) for each in specifiers)
    except InvalidVersion:
        return False


def weights_read(facts: FileFacts, backend: str) -> WeightFacts | None:
    """The weight file that a backend loads (``parity.checkpoint.weight_precedence``); None where none can be read.

    A class reads its own framework's file where there is one, and otherwise PyTorch's with ``from_pt=True``; PyTorch's
    class, where none of its files is there, TensorFlow's or Flax's.
    """
    own = _framework(backend)
    from_pt = own != "pt" and all(each.framework != own for each in facts.weights)
    name = file_read(backend, (4, 57), facts.files, from_pt) or ""
    found = next((each for each in facts.weights if name.startswith(STEMS[each.format])), None)
    return found or next(iter(facts.weights), None)


STEMS = {"safetensors": "model.", "bin": "pytorch_model.", "h5": "tf_model.", "msgpack": "flax_model."}


def _framework(backend: str) -> str:
    """The framework whose files a backend reads without a conversion: ``pt``, ``tf`` or ``flax``."""
    last = backend.rpartition("-")[2]
    return last if last in ("tf", "flax") else "pt"


def _is(found: Any, wanted: Any) -> bool:
    """Whether a value is the one that is wanted, or one of several."""
    return found in wanted if isinstance(wanted, list) else found == wanted


def _named(config: dict[str, Any], name: str) -> Any:
    """A config's field, or that of one of its halves."""
    half, _, field = name.rpartition(".")
    return (config.get(half) or {} if half else config).get(field)


def _names(patterns: list[str], tensor: str | None) -> bool:
    return tensor is not None and any(fnmatchcase(tensor, pattern) for pattern in patterns)


def _only_at(result: Result, places: dict[str, Any]) -> bool:
    """Whether every slice out of tolerance is known and lies at these indices."""
    if not isinstance(result, Comparison) or result.slices_over != len(result.over_at):
        return False
    return all(at.get(axis) == index for at in (result.at, *result.over_at) for axis, index in places.items())


@cache
def entries() -> tuple[Entry, ...]:
    """All entries, in the order of the file."""
    return tuple(Entry(**entry) for entry in _file().get("divergence", []))


def measured_versions() -> dict[str, list[str]]:
    """By distribution, the versions that the entries were measured at, whether they diverge or not."""
    return _file()["measured"]


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(data("judge/data/known_issues.toml").read_text(encoding="utf-8"))
