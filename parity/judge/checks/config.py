"""Configs: what a class reads of config.json, what it is without one, and what is left of it after saving."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from parity.cases.files import documented_configs, documented_value
from parity.checkpoint.unread_fields import SEARCHED, unread_fields
from parity.core.display import printable
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence
from parity.judge.results import Finding, Result

_PAGES = "BART page, BartConfig; encoder-decoder and speech-encoder-decoder pages, their configs"
_SAVING = "configuration page, save_pretrained: it can be read again with from_pretrained"
MISSING = object()


def _documented(evidence: Evidence) -> dict[str, Any]:
    return documented_configs()[evidence.case.notes["class"]]


def _same(field: str, found: Mapping[str, Any], wanted: Any, about: str, wants: str) -> Finding:
    """One attribute compared with its value."""
    value = found.get(field, MISSING)
    if value is MISSING:
        return Finding(False, f"{about} has no {field}; {wants} is {wanted!r}", field)
    return Finding(_equal(value, wanted), f"{field} is {value!r} {about}; {wants} is {wanted!r}", field)


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
    claim="every field has the value that config.json gives it, or where it gives none the documented default",
    source=_PAGES,
    likely_cause="a field renamed, moved to generation_config.json, or overwritten by a default of the class",
    cases=("config",),
    needs_oracle=False,
)
def fields_are_read(evidence: Evidence) -> Iterator[Result]:
    """A default that changed between releases changes every model whose file leaves the field out."""
    raw, read = evidence.reference_reading.facts["raw"], evidence.trace.facts["read"]
    named = evidence.case.notes["class"]
    yield Finding(evidence.trace.facts["class"] == named, f"the config is a {evidence.trace.facts['class']}", "class")
    for field in evidence.case.settings["fields"]:
        if field == "num_labels" and "num_labels" not in raw and "id2label" in raw:
            yield _same(field, read["own"], len(raw["id2label"]), "after reading", "the length of id2label")
            continue
        yield _same(
            field, read["own"], documented_value(named, field, raw), "after reading", "in the file or documented"
        )
    for half, fields in evidence.case.settings["halves"].items():
        kind = read[half]["model_type"]
        yield Finding(kind == raw[half]["model_type"], f"the {half} is a {kind}", f"{half}.model_type")
        for field in fields:
            found = _same(field, read[half], raw[half][field], f"in the {half}", "in the file")
            yield Finding(found.ok, found.what, f"{half}.{field}")


@check(
    "CONF02",
    claim="without arguments the class has the documented defaults, and takes its arguments in the documented order",
    source=_PAGES,
    likely_cause="a default that changed, or arguments that can no longer be given by their place",
    cases=("config",),
    needs_oracle=False,
    applies=lambda case: not case.settings["halves"],
)
def defaults_are_documented(evidence: Evidence) -> Iterator[Result]:
    """Order counts: ``BartConfig(50265)`` sets what stands first."""
    wanted, facts = _documented(evidence)["arguments"], evidence.trace.facts
    for field, default in wanted.items():
        yield _same(field, facts["bare"].get("own", {}), default, "without arguments", "documented")
    placed = [name for name, _, by_place in facts["arguments"] if by_place]
    for place, name in enumerate(wanted):
        found = placed[place] if place < len(placed) else "none"
        what = f"argument {place} is {found}; documented is {name}"
        yield Finding(found == name, what, "arguments")


@check(
    "CONF03",
    claim="a config saved and read again, as files and as JSON text, is the same",
    source=_SAVING,
    likely_cause="a field that is left out where it equals a default of another class, or a half that loses its class",
    cases=("config",),
    needs_oracle=False,
)
def round_trips(evidence: Evidence) -> Iterator[Result]:
    """What a save loses is the next load's default."""
    facts = evidence.trace.facts
    for way in ("saved", "json"):
        for part, before in facts["read"].items():
            after = facts[way].get(part, {})
            for field, value in before.items():
                name = field if part == "own" else f"{part}.{field}"
                found = _same(field, after, value, f"of {part} after its way through {way}", "before")
                yield Finding(found.ok, found.what, name)


@check(
    "CONF04",
    claim="a config has the common attributes of every model, under its own family's names",
    source="configuration page: vocab_size, hidden_size, num_attention_heads and num_hidden_layers are in all of them",
    likely_cause="an attribute map that a new release left out",
    cases=("config",),
    needs_oracle=False,
    applies=lambda case: bool(case.settings["common"]),
)
def common_attributes(evidence: Evidence) -> Iterator[Result]:
    """Tools that know no family read these."""
    raw, read, named = (
        evidence.reference_reading.facts["raw"],
        evidence.trace.facts["read"],
        evidence.case.notes["class"],
    )
    for common, own in _documented(evidence)["common"].items():
        yield _same(common, read["own"], documented_value(named, own, raw), "after reading", f"{own}")


@check(
    "CONF05",
    claim="a composition's config cannot be made without both halves, and made of two configs its decoder is causal "
    "with cross-attention",
    source="encoder-decoder page, from_encoder_decoder_configs: is_decoder and add_cross_attention are set",
    likely_cause="a flag that is set on one of the two only, or halves that are made up of defaults",
    cases=("config",),
    needs_oracle=False,
    applies=lambda case: bool(case.settings["halves"]),
)
def halves_are_joined(evidence: Evidence) -> Iterator[Result]:
    """A decoder without the flags has no cross-attention, and looks ahead."""
    facts = evidence.trace.facts
    yield Finding("raised" in facts["bare"], "without halves it raises nothing, and is made of something else", "bare")
    for flag in ("is_decoder", "add_cross_attention"):
        value = facts["joined"]["decoder"].get(flag)
        yield Finding(value is True, f"{flag} of the joined decoder is {value}", f"decoder.{flag}")
        value = facts["joined"]["encoder"].get(flag)
        yield Finding(not value, f"{flag} of the joined encoder is {value}", f"encoder.{flag}")


@check(
    "FILE04",
    claim="what config.json says of a documented field is of the documented kind: a number, a switch, a name",
    source=_PAGES,
    likely_cause="a number written as text, or a switch as a number, by a tool that knows no kinds",
    cases=("config",),
    needs_oracle=False,
    role="file",
    applies=lambda case: not case.settings["halves"],
)
def fields_are_of_their_kind(evidence: Evidence) -> Iterator[Result]:
    """Most libraries take what they are given, and raise where the value is used, or compute with it."""
    raw = evidence.trace.facts["raw"]
    for field, default in _documented(evidence)["arguments"].items():
        value = raw.get(field)
        what = f"config.json: {field} is {value!r}, where the documents have the like of {default!r}"
        yield Finding(value is None or _of_the_kind(field, value, default), what, field)


def _of_the_kind(field: str, value: Any, default: Any) -> bool:
    """Whole numbers may stand for real ones; of ends there may be several (generation page, ``eos_token_id``)."""
    if field.endswith("eos_token_id") and isinstance(value, list):
        return all(_of_the_kind("", each, default) for each in value)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(default)


@check(
    "FILE06",
    claim="no field of config.json that nothing reads asks for another model than the one that is computed",
    source="parity/checkpoint/data/unread_fields.toml: early releases, fairseq's names, misspelt ones, with sources",
    likely_cause="a checkpoint converted from another architecture, a config of an early release, or a misspelt field",
    cases=("config",),
    needs_oracle=False,
    role="file",
)
def no_field_asks_for_another_model(evidence: Evidence) -> Iterator[Result]:
    """Every library loads such a checkpoint without a word, and computes another model than its author trained.

    Only fields of a table are judged. What else a config holds besides says nothing of the computation.
    """
    raw, named = evidence.trace.facts["raw"], 0
    for field in unread_fields(raw, evidence.config):
        named += 1
        what = (
            f"config.json: {field.name} is {_short(field.value)}, and computed with is {_short(field.computed)}: it "
            f"{field.why}, and no release of transformers from {SEARCHED} reads it"
        )
        yield Finding(field.harmless, what, field.name)
    yield Finding(True, f"{named} fields of the table are in config.json")


def _short(value: Any) -> str:
    """A value as JSON writes it."""
    return printable(json.dumps(value, default=repr), limit=60)
