"""The list of known issues: a failure is ``known`` only if an entry explains it exactly."""

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
    """The requested known issue, backend or severity does not exist; the message lists the existing ones."""


def _several(specifiers: Any) -> Any:
    return [specifiers] if isinstance(specifiers, str) else specifiers


class Entry(BaseModel):
    """One known issue. All conditions of an entry must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    script: str = ""
    """The script in ``reports/divergences`` that reproduces it, if it is another entry's (one cause, several
    effects)."""
    severity: Severity
    """``critical``: silently wrong weights or text; ``high``: an error, or visibly wrong; ``low``: layout or
    messages."""
    backends: list[str]
    versions: dict[str, Annotated[list[str], BeforeValidator(_several)]]
    """By distribution, the affected versions: a PEP 440 specifier, or several, of which one must match."""
    checks: list[str]
    cases: list[str] = Field(default_factory=list)
    """Names of cases, ``*`` matches anything; empty: all."""
    classes: list[str] = Field(default_factory=list)
    """Documented classes, by their PyTorch names; empty: all."""
    attention: list[str] = Field(default_factory=list)
    devices: list[str] = Field(default_factory=list)
    dtypes: list[str] = Field(default_factory=list)
    config: dict[str, Any] = Field(default_factory=dict)
    """Required values of ``config.json``, each a value or a list of values; ``encoder.model_type`` is a field of a
    half."""
    unless: dict[str, Any] = Field(default_factory=dict)
    """Values of ``config.json`` that exclude the issue. A missing field excludes it too."""
    differ: list[str] = Field(default_factory=list)
    """Fields of ``config.json`` that must not all have the same value."""
    several: list[str] = Field(default_factory=list)
    """Fields of ``config.json`` that must be lists."""
    tensors: list[str] = Field(default_factory=list)
    """Only these tensors may be out of tolerance (``*`` matches anything); empty: any."""
    first: list[str] = Field(default_factory=list)
    """The first divergence must be one of these tensors."""
    only_at: dict[str, str] = Field(default_factory=dict)
    """All slices out of tolerance must have this index: by axis, the field of the config with the index."""
    raises: str | None = None
    """The type of the exception."""
    message: str = ""
    """A regular expression that its message must contain."""
    raised_in: list[str] = Field(default_factory=list)
    """Patterns of its deepest frame: ``*/modeling_flax_utils.py in from_pretrained``."""
    findings: list[str] = Field(default_factory=list)
    """Regular expressions, one of which must match each finding as a whole."""
    dialect: str | None = None
    """The dialect (``reference.generation.dialect``) in which the oracle generates exactly the same text; or
    ``LIBRARY_DEFAULTS``, the settings that the library uses without arguments, if they differ from the file's."""
    settings_lost: bool = False
    """Whether the library must use other settings without arguments than the file's."""
    ignored: list[str] = Field(default_factory=list)
    """Settings of sampling of which one, left out, must explain the distribution."""
    further: str = ""
    """A setting that forbids or reweights tokens, which must be in force."""
    equals: str = ""
    """What the values must equal within tolerance instead: the oracle's in another case (``forward``), or the loss by
    another definition (``parity.judge.other_values``). A second fault in the same cell is then a failure."""
    files: list[str] = Field(default_factory=list)
    """Files that the checkpoint must have."""
    formats: list[str] = Field(default_factory=list)
    """The format of the weight file that the backend reads: ``safetensors``, ``bin``, ``h5``, ``msgpack``; empty:
    any."""
    converted: bool | None = None
    """Whether that file must be of another framework than the backend's."""
    written_by: list[str] = Field(default_factory=list)
    """The framework that wrote it: ``pt``, ``tf`` or ``flax``; empty: any."""
    holds: list[str] = Field(default_factory=list)
    """Parameters of the class, or aliases of a tied table, that the file must contain."""
    lacks: list[str] = Field(default_factory=list)
    """Parameters or aliases of which at least one must be missing from the file."""
    generation: dict[str, Any] = Field(default_factory=dict)
    """Required generation settings in force without arguments, each a value or a list of values."""
    dtype: list[str] = Field(default_factory=list)
    """Allowed values of the checkpoint's stated or stored dtype (``FileFacts.dtype``); empty: any."""
    says_tensors: bool = False
    """Whether ``config.json`` must have a field that ``tensors`` matches."""
    always: str = ""
    """The reason why the issue does not depend on the checkpoint's files."""
    sometimes: str = ""
    """The reason why a matching cell may pass. If empty, every matching cell of the baseline must show the issue
    (``unshown``)."""
    cause: str
    upstream: str
    """File and symbol in the library."""
    effect: str
    """The effect on users."""

    @property
    def conditional(self) -> bool:
        """Whether it depends on the checkpoint's files."""
        by_file = (
            self.files,
            self.formats,
            self.written_by,
            self.holds,
            self.lacks,
            self.generation,
            self.config,
            self.unless,
            self.differ,
            self.several,
            self.dtype,
        )
        # The case names the saver and the format of a file that was saved during the run.
        saved = bool(self.cases) and all(name.startswith("saved.") for name in self.cases)
        return any(by_file) or self.converted is not None or self.says_tensors or saved

    def covers(
        self, check: str, case: str, subject: SubjectRecord, checkpoint: CheckpointRecord, versions: Mapping
    ) -> bool:
        """Whether the entry applies to a cell, versions included."""
        return self.applies(check, case, subject, checkpoint) and self.is_of(versions)

    def applies(self, check: str, case: str, subject: SubjectRecord, checkpoint: CheckpointRecord) -> bool:
        """Whether the cell and the checkpoint's files meet the conditions, ignoring versions."""
        if check not in self.checks or {subject.derives_from, subject.backend}.isdisjoint(self.backends):
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
        if self.differ and len({repr(_named(config, name)) for name in self.differ}) == 1:
            return False
        if not all(isinstance(_named(config, name), list) for name in self.several):
            return False
        return self._caused_by(checkpoint, subject)

    def _caused_by(self, checkpoint: CheckpointRecord, subject: SubjectRecord) -> bool:
        """Whether the files meet the conditions."""
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
        backend = subject.derives_from or subject.backend
        read = weights_read(facts, backend)
        if read is None or (self.formats and read.format not in self.formats):
            return False
        if self.written_by and read.framework not in self.written_by:
            return False
        if self.converted is not None and (read.framework != _framework(backend)) != self.converted:
            return False
        return set(self.holds) <= set(read.holds) and (not self.lacks or not set(self.lacks).isdisjoint(read.lacks))

    def names_tensor(self, tensor: str | None) -> bool:
        """Whether ``tensors`` matches a tensor or parameter."""
        return _names(self.tensors, tensor)

    def begins_at(self, tensor: str | None) -> bool:
        """Whether ``first`` matches the first divergence."""
        return _names(self.first, tensor)

    def is_of(self, versions: Mapping[str, str]) -> bool:
        """Whether it was measured at these versions."""
        return all(versions.get(name) and self.is_of_version(name, versions[name]) for name in self.versions)

    def is_of_version(self, name: str, version: str) -> bool:
        """Whether it was measured at this version of one distribution."""
        return matches(self.versions[name], version)

    def names(self, result: Result) -> bool:
        """Whether the entry matches a result, by its tensor or the text of the finding."""
        if self.findings:
            return not isinstance(result, Finding) or self._says(result)
        return _names(self.tensors or self.first, result.tensor)

    def _says(self, result: Result) -> bool:
        return any(re.fullmatch(pattern, result.what, re.DOTALL) for pattern in self.findings)

    def _is_raised(self, evidence: Mapping[str, Any]) -> bool:
        """Whether the type, message and frame of an exception match."""
        if evidence.get("exception") != self.raises:
            return False
        if self.message and not re.search(self.message, str(evidence.get("message", ""))):
            return False
        frame = re.sub(r":\d+ in ", " in ", str(evidence.get("frame", "")))
        return not self.raised_in or _names(self.raised_in, frame)

    def explains(self, verdict: Verdict, failed: list[Result], config: dict[str, Any], attentions: bool = True) -> bool:
        """Whether the entry explains all failed results of a verdict.

        Args:
            attentions: whether the subject returned attentions. Without them (a golden stores none) an error in an
                attention first shows in the following hidden state.
        """
        if verdict.evidence.get("exception") is not None or self.raises is not None:
            return self._is_raised(verdict.evidence)
        if not failed:
            # It failed because a trace is missing, which no entry explains.
            return False
        if self.dialect is not None and self.dialect not in verdict.evidence.get("dialects", ()):
            return False
        if self.settings_lost and not verdict.evidence.get("settings_held"):
            return False
        if self.further and self.further not in verdict.evidence.get("further", ()):
            return False
        if self.equals and self.equals not in verdict.evidence.get("equals", ()):
            return False
        if self.ignored and set(self.ignored).isdisjoint(verdict.evidence.get("ignored", ())):
            return False
        first = verdict.first_divergence.tensor if verdict.first_divergence else None
        names = self.first if attentions else [*self.first, *map(_state_after, self.first)]
        if self.first and not _names(names, first):
            return False
        if self.tensors and not all(_names(self.tensors, result.tensor) for result in failed):
            return False
        if self.first and verdict.check.startswith("LOAD") and not all(self.names(result) for result in failed):
            return False  # loaded parameters are independent of each other
        if self.findings and not all(self._says(result) for result in failed if isinstance(result, Finding)):
            return False
        indices = {axis: config.get(name) for axis, name in self.only_at.items()}
        return not indices or all(_only_at(result, indices) for result in failed)


def _state_after(name: str) -> str:
    """The hidden state after an attention: ``decoder.hidden.1`` for ``decoder.attention.0``; other names unchanged."""
    half, _, rest = name.partition(".")
    kind, _, layer = rest.partition(".")
    return f"{half}.hidden.{int(layer) + 1}" if kind.endswith("attention") and layer.isdecimal() else name


def matches(specifiers: Iterable[str], version: str) -> bool:
    """Whether one of several PEP 440 specifiers matches a version; an invalid version matches none."""
    try:
        return any(SpecifierSet(each).contains(version, prereleases=True) for each in specifiers)
    except InvalidVersion:
        return False


def weights_read(facts: FileFacts, backend: str) -> WeightFacts | None:
    """The weight file that a backend loads (``parity.checkpoint.weight_precedence``); None if none can be read.

    A class reads the file of its own framework, or else PyTorch's with ``from_pt=True``; the PyTorch class without a
    file of its own reads TensorFlow's or Flax's.
    """
    own = _framework(backend)
    from_pt = own != "pt" and all(each.framework != own for each in facts.weights)
    name = file_read(backend, (4, 57), facts.files, from_pt) or ""
    found = next((each for each in facts.weights if name.startswith(STEMS[each.format])), None)
    return found or next(iter(facts.weights), None)


STEMS = {"safetensors": "model.", "bin": "pytorch_model.", "h5": "tf_model.", "msgpack": "flax_model."}


def _framework(backend: str) -> str:
    """The framework of a backend's own files: ``pt``, ``tf`` or ``flax``."""
    last = backend.rpartition("-")[2]
    return last if last in ("tf", "flax") else "pt"


def _is(found: Any, wanted: Any) -> bool:
    """Whether a value equals ``wanted``, or is in it if it is a list."""
    return found in wanted if isinstance(wanted, list) else found == wanted


def _named(config: dict[str, Any], name: str) -> Any:
    """A config's field, or that of one of its halves."""
    half, _, field = name.rpartition(".")
    return (config.get(half) or {} if half else config).get(field)


def _names(patterns: list[str], tensor: str | None) -> bool:
    return tensor is not None and any(fnmatchcase(tensor, pattern) for pattern in patterns)


def _only_at(result: Result, indices: dict[str, Any]) -> bool:
    """Whether every slice out of tolerance is recorded and has these indices."""
    if not isinstance(result, Comparison) or result.slices_over != len(result.over_at):
        return False
    return all(at.get(axis) == index for at in (result.at, *result.over_at) for axis, index in indices.items())


@cache
def entries() -> tuple[Entry, ...]:
    """All entries, in the order of the file."""
    return tuple(Entry(**entry) for entry in _file().get("divergence", []))


def measured_versions() -> dict[str, list[str]]:
    """By distribution, the measured versions, affected or not."""
    return _file()["measured"]


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(data("judge/data/known_issues.toml").read_text(encoding="utf-8"))
