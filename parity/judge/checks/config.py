"""Configs: fields read from config.json, documented defaults, and the round trip through saving."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from parity.cases.files import documented_configs, documented_value
from parity.checkpoint.unread_fields import SEARCHED, unread_fields
from parity.core.display import printable
from parity.judge.checks.registry import check
from parity.judge.checks.saving import finding_without_content, or_default
from parity.judge.evidence import Evidence
from parity.judge.results import Finding, Result

_PAGES = "BART page, BartConfig; encoder-decoder and speech-encoder-decoder pages, their configs"
_SAVING = "configuration page, save_pretrained: it can be read again with from_pretrained"
MISSING = object()


def _documented(evidence: Evidence) -> dict[str, Any]:
    return documented_configs()[evidence.case.notes["class"]]


def _compare(field: str, found: Mapping[str, Any], wanted: Any, where: str, origin: str) -> Finding:
    """Compares one attribute with its expected value, whose ``origin`` the finding names."""
    value = found.get(field, MISSING)
    if value is MISSING:
        return Finding(False, f"{field} is missing {where}; {origin}: {wanted!r}", field)
    return Finding(_equal(value, wanted), f"{field} is {value!r} {where}; {origin}: {wanted!r}", field)


def _equal(value: Any, wanted: Any) -> bool:
    """Whether two JSON values are the same: 1 and 1.0 are, 1 and true are not, NaN is NaN."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(_equal, value, wanted))
    if isinstance(value, dict) and isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(_equal(value[name], wanted[name]) for name in value)
    if isinstance(value, float) and isinstance(wanted, float) and math.isnan(wanted):
        return math.isnan(value)
    return value == wanted


@check(
    "CONF01",
    claim="every field has the value in config.json, or the documented default if config.json has none",
    source=_PAGES,
    likely_cause="a field renamed, moved to generation_config.json, or overwritten by a default of the class",
    cases=("config",),
    needs_oracle=False,
)
def fields_are_read(evidence: Evidence) -> Iterator[Result]:
    """A default that changed between releases changes every model whose file omits the field."""
    raw, read = evidence.reference_reading.facts["raw"], evidence.trace.facts["read"]
    named = evidence.case.notes["class"]
    yield Finding(evidence.trace.facts["class"] == named, f"the config is a {evidence.trace.facts['class']}", "class")
    for field in evidence.case.settings["fields"]:
        if field == "num_labels" and "num_labels" not in raw and "id2label" in raw:
            yield _compare(field, read["own"], len(raw["id2label"]), "after loading", "length of id2label")
            continue
        yield _compare(
            field, read["own"], documented_value(named, field, raw), "after loading", "in the file or documented"
        )
    for half, fields in evidence.case.settings["halves"].items():
        kind = read[half]["model_type"]
        yield Finding(kind == raw[half]["model_type"], f"the {half} is a {kind}", f"{half}.model_type")
        for field in fields:
            found = _compare(field, read[half], raw[half][field], f"in the {half}", "in the file")
            yield Finding(found.ok, found.what, f"{half}.{field}")


@check(
    "CONF02",
    claim="without arguments the class has the documented defaults; its arguments are in the documented order",
    source=_PAGES,
    likely_cause="a changed default, or arguments that can no longer be passed by position",
    cases=("config",),
    needs_oracle=False,
    applies=lambda case: not case.settings["halves"],
)
def defaults_are_documented(evidence: Evidence) -> Iterator[Result]:
    """The order matters: ``BartConfig(50265)`` sets the first argument."""
    wanted, facts = _documented(evidence)["arguments"], evidence.trace.facts
    for field, default in wanted.items():
        yield _compare(field, facts["without_arguments"].get("own", {}), default, "without arguments", "documented")
    positional = [name for name, _, by_position in facts["arguments"] if by_position]
    for position, name in enumerate(wanted):
        found = positional[position] if position < len(positional) else "none"
        what = f"argument {position} is {found}; documented is {name}"
        yield Finding(found == name, what, "arguments")


@check(
    "CONF03",
    claim="a config that is saved and loaded again, as files and as JSON text, is unchanged",
    source=_SAVING,
    likely_cause="a field omitted because it equals a default of another class, or a half that loses its class",
    cases=("config",),
    needs_oracle=False,
)
def round_trips(evidence: Evidence) -> Iterator[Result]:
    """A field lost on saving has its default after the next load."""
    facts = evidence.trace.facts
    for way in ("saved", "json"):
        for part, before in facts["read"].items():
            after = facts[way].get(part, {})
            for field, value in before.items():
                name = field if part == "own" else f"{part}.{field}"
                found = _compare(field, after, value, f"in {part} after the {way} round trip", "before")
                yield Finding(found.ok, found.what, name)


@check(
    "CONF04",
    claim="a config has the attributes common to all models, mapped to the names of its own architecture",
    source="configuration page: vocab_size, hidden_size, num_attention_heads and num_hidden_layers are in all of them",
    likely_cause="an attribute map that was removed in a new release",
    cases=("config",),
    needs_oracle=False,
    applies=lambda case: bool(case.settings["common"]),
)
def common_attributes(evidence: Evidence) -> Iterator[Result]:
    """Tools that are independent of the architecture read these attributes."""
    raw, read, named = (
        evidence.reference_reading.facts["raw"],
        evidence.trace.facts["read"],
        evidence.case.notes["class"],
    )
    for common, own in _documented(evidence)["common"].items():
        yield _compare(common, read["own"], documented_value(named, own, raw), "after loading", f"{own}")


@check(
    "CONF05",
    claim="a composition's config requires both halves; composed of two configs, its decoder is causal and has "
    "cross-attention",
    source="encoder-decoder page, from_encoder_decoder_configs: is_decoder and add_cross_attention are set",
    likely_cause="a flag that is set on only one of the two halves, or halves filled with defaults",
    cases=("config",),
    needs_oracle=False,
    applies=lambda case: bool(case.settings["halves"]),
)
def halves_are_composed(evidence: Evidence) -> Iterator[Result]:
    """Without these flags a decoder has no cross-attention and attends to future positions."""
    facts = evidence.trace.facts
    yield Finding(
        "raised" in facts["without_arguments"],
        "the config was created without halves; documented is an error",
        "without_arguments",
    )
    for flag in ("is_decoder", "add_cross_attention"):
        value = facts["joined"]["decoder"].get(flag)
        yield Finding(value is True, f"{flag} of the composed decoder is {value}", f"decoder.{flag}")
        value = facts["joined"]["encoder"].get(flag)
        yield Finding(not value, f"{flag} of the composed encoder is {value}", f"encoder.{flag}")


@check(
    "CONF06",
    claim="a config and generation settings that another version saved have the values of the original files",
    source=f"{_SAVING}; text generation page, GenerationConfig.save_pretrained",
    likely_cause="a field that one version writes to another file, or omits because its default differs",
    cases=("save-config", "saved-config.*"),
    needs_oracle=False,
    handles_exceptions=True,
)
def other_versions_read_the_same(evidence: Evidence) -> Iterator[Result]:
    """The reader reads the original files too: what it reads in them is the expected value. What the version that saved
    loses in its own files is reported there (CONF03).

    No documentation promises that an older version reads files of a newer one: it may raise a clear error.
    """
    if (found := finding_without_content(evidence)) is not None:
        yield found
        return
    saved, original = evidence.trace.facts["after"], evidence.trace.facts["before"]
    by_saver, where = evidence.read_by_saver, f"in files saved by {evidence.saver}"
    for part, before in original.items():
        for field, value in before.items():
            name = field if part == "own" else f"{part}.{field}"
            after = saved.get(part, {}).get(field, MISSING)
            if part == "generation":
                after, value = or_default(field, None if after is MISSING else after), or_default(field, value)
            read, again = (by_saver[when].get(part, {}).get(field, MISSING) for when in ("read", "saved"))
            if not _equal(again, read):
                continue
            if after is MISSING and not value:
                continue  # this version does not know the field, and the other omitted its default
            yield _compare(name, {name: after}, value, where, "in the original files")


@check(
    "FILE04",
    claim="every documented field of config.json has a value of the documented type: number, boolean or string",
    source=_PAGES,
    likely_cause="a tool without a schema wrote a number as a string, or a boolean as a number",
    cases=("config",),
    needs_oracle=False,
    role="file",
    applies=lambda case: not case.settings["halves"],
)
def fields_have_the_documented_type(evidence: Evidence) -> Iterator[Result]:
    """Most libraries do not validate types: they raise when the value is used, or compute with it."""
    raw = evidence.trace.facts["raw"]
    for field, default in _documented(evidence)["arguments"].items():
        value = raw.get(field)
        what = f"config.json: {field} is {value!r}; documented is a value of the type of {default!r}"
        yield Finding(value is None or _has_type(field, value, default), what, field)


def _has_type(field: str, value: Any, default: Any) -> bool:
    """An integer is valid for a float; ``eos_token_id`` may be a list (generation page)."""
    if field.endswith("eos_token_id") and isinstance(value, list):
        return all(_has_type("", each, default) for each in value)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(default)


@check(
    "FILE06",
    claim="no unread field of config.json describes another model than the one that is computed",
    source="parity/checkpoint/data/unread_fields.toml: names of early releases, fairseq and misspellings, with sources",
    likely_cause="a checkpoint converted from another architecture, a config of an early release, or a misspelt field",
    cases=("config",),
    needs_oracle=False,
    role="file",
)
def no_unread_field_changes_the_model(evidence: Evidence) -> Iterator[Result]:
    """Every library loads such a checkpoint without a warning, and computes another model than its author trained.

    Only fields of the table are judged. Other unread fields do not affect the computation.
    """
    raw, named = evidence.trace.facts["raw"], 0
    for field in unread_fields(raw, evidence.config):
        named += 1
        what = (
            f"config.json: {field.name} is {_short(field.value)}, but the model is computed with "
            f"{_short(field.computed)}: it {field.why}, and no release of transformers from {SEARCHED} reads it"
        )
        yield Finding(field.harmless, what, field.name)
    yield Finding(True, f"{named} fields of the table are in config.json")


def _short(value: Any) -> str:
    """A value as JSON writes it."""
    return printable(json.dumps(value, default=repr), limit=60)
