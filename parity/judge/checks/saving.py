"""Saving: a saved file equals the parameters in memory, and every loader restores them or raises an error.

``parity/judge/data/saving.toml`` lists what the documentation promises for each loader. The expected values are those
that the saver had in memory; whether these equal its own checkpoint is LOAD01's claim.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from parity.core.model_spec import model_spec_of
from parity.core.trace import FILE, Raised
from parity.judge.checks.loading import is_ignored, table_names, tied_groups_of
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence
from parity.judge.initial_values import describe_values
from parity.judge.results import Finding, Result
from reference.generation import GenerationSettings
from reference.generation.settings import OLD_FORCED_BEGIN

_SAVING = "main classes, PreTrainedModel.save_pretrained: saves a model and its configuration for from_pretrained"
CLEAR = ("OSError", "ValueError", "RuntimeError", "ImportError", "NotImplementedError", "SafetensorError")
"""Exceptions by which a library rejects a file. Incidental ones (KeyError, AttributeError, UnicodeDecodeError) do not
tell a user that the file is unsuitable."""
_IN_MEMORY = "in the loaded model"
Parameters = Mapping[str, Mapping[str, Any]]


@check(
    "SAVE01",
    claim="a saved file contains every parameter of the model, bit for bit, and no other",
    source=_SAVING,
    likely_cause="a tied table saved only under a name that readers do not look up, or names that only the writer "
    "reads",
    cases=("save.*",),
    requires=("load",),
    needs_oracle=False,
)
def saved_files_equal_the_model(evidence: Evidence) -> Iterator[Result]:
    """The files are read without the library that wrote them, and compared with the parameters in memory."""
    facts, arrays = evidence.trace.facts, evidence.trace.arrays
    for name, recorded in facts["files"].items():
        if name in facts.get("let_go", ()):
            continue  # a large file that was deleted after loading; what was read of it is among the facts
        whole = hashlib.sha256(arrays[f"{FILE}{name}"].data).hexdigest() == recorded["sha256"]
        yield Finding(whole, f"{name} was changed after saving: its digest differs", name)
    stored = facts["stored"]
    if "unreadable" in stored:
        yield Finding(False, f"the saved files cannot be read: {stored['unreadable']}")
        return
    yield from _equal(evidence, stored["parameters"], facts["parameters"], "in the saved file")
    for name in stored["missing"]:
        yield Finding(is_ignored(evidence, name), f"{name} is missing from the saved file", name)
    for name in stored["surplus"]:
        yield Finding(name in facts["parameters"], f"{name} in the saved file is not a parameter of the model", name)


@check(
    "SAVE02",
    claim="a saved config describes the same model as the loaded config",
    source=_SAVING,
    likely_cause="a field omitted because it equals a default, while the reader has another default",
    cases=("save.*",),
    requires=("load",),
    needs_oracle=False,
)
def saved_config_is_the_loaded_one(evidence: Evidence) -> Iterator[Result]:
    """Omitted fields have the documented defaults."""
    raw = evidence.trace.arrays.get(f"{FILE}config.json")
    if raw is None:
        yield Finding(False, "no config.json was saved")
        return
    # Later versions store generation settings only in their own file.
    beside = evidence.trace.arrays.get(f"{FILE}generation_config.json")
    generation = {} if beside is None else json.loads(beside.tobytes())
    # Only fields that the loaded config has: a composition without an EOS id has its decoder's in that file.
    moved = {name: value for name, value in generation.items() if evidence.model_spec.raw.get(name) is not None}
    config = model_spec_of({**moved, **json.loads(raw.tobytes())}, evidence.subject.documented_class).config
    yield from _same_fields(evidence.model_spec.config, config, "")


def _same_fields(loaded: Any, saved: Any, half: str) -> Iterator[Result]:
    """Compares all fields of two configs.

    An omitted field whose documented default is the value of another field may be written out: ``output_hidden_size``
    defaults to the encoder's, and ``force_bos_token_to_be_generated``, an old field of summarisation models, sets
    ``forced_bos_token_id`` to the BOS id (``BartConfig`` of transformers 4.x).
    """
    if type(loaded) is not type(saved):
        yield Finding(False, f"{half or 'the config'} has another type: {saved.model_type}")
        return
    for name in (field.name for field in fields(loaded) if field.name != "others"):
        ours, theirs = getattr(loaded, name), getattr(saved, name)
        if hasattr(ours, "__dataclass_fields__"):
            yield from _same_fields(ours, theirs, f"{half}{name}.")
        else:
            filled = ours is None and theirs is not None and theirs == _implied_value(name, loaded, saved)
            yield Finding(ours == theirs or filled, f"{half}{name} is {theirs!r}; loaded was {ours!r}")


def _implied_value(name: str, loaded: Any, saved: Any) -> Any:
    """The value of an omitted field that follows from another field; None if there is none."""
    if name == "output_hidden_size":
        return saved.hidden_size
    if name == "forced_bos_token_id" and loaded.others.get(OLD_FORCED_BEGIN):
        return loaded.bos_token_id
    return None


@check(
    "SAVE03",
    claim="a class, or a later version of it, loads its own saved file bit for bit, with tied tables tied again",
    source=_SAVING,
    likely_cause="a table that was tied when saved is randomly initialised when loaded",
    cases=("saved.*.own",),
    requires=("load",),
    needs_oracle=False,
    handles_exceptions=True,
)
def own_files_are_restored(evidence: Evidence) -> Iterator[Result]:
    """No documentation promises that an older version reads files of a newer one: it may raise a clear error."""
    yield from _restored(evidence)


@check(
    "SAVE04",
    claim="a file of another framework, loaded with the documented flag, gives the same bits, with tied tables tied "
    "again",
    source="main classes, from_pretrained: from_tf, from_flax and from_pt load a save file of another framework",
    likely_cause="a name that the conversion does not map, so that a parameter is random, or an untransposed kernel",
    cases=("saved.*.from_*",),
    requires=("load",),
    needs_oracle=False,
    handles_exceptions=True,
)
def converted_files_are_restored(evidence: Evidence) -> Iterator[Result]:
    """An untransposed square kernel has the right shape; only its bits differ."""
    yield from _restored(evidence)


@check(
    "SAVE05",
    claim="a file of another framework, loaded without a flag, gives the same bits or a clear error",
    source="main classes, from_pretrained: no argument but from_tf, from_flax and from_pt covers files of another "
    "framework",
    likely_cause="unmatched names cause only a warning, and their parameters are randomly initialised",
    cases=("saved.*.plain",),
    requires=("load",),
    needs_oracle=False,
    handles_exceptions=True,
)
def foreign_files_never_load_wrong_silently(evidence: Evidence) -> Iterator[Result]:
    """No documentation promises that the file loads, but a load that succeeds must have the right values."""
    raised = evidence.trace.raised
    yield from _loaded(evidence) if raised is None else [_rejected(raised)]


@check(
    "SAVE06",
    claim="a model that is loaded from saved files generates with the settings of the model that was saved",
    source="text generation page, GenerationConfig: save_pretrained of a model writes generation_config.json",
    likely_cause="a route that does not read generation_config.json, while the settings are no longer in config.json",
    cases=("saved.*",),
    depends_on=("generate.settings",),
    requires=("load",),
    needs_oracle=False,
    handles_exceptions=True,
)
def saved_settings_are_restored(evidence: Evidence) -> Iterator[Result]:
    """The settings in force without arguments, compared with those of the checkpoint itself.

    The saver may have read the checkpoint in another way than the loader, which GEN01 reports: either reading is right.
    Files that are not loaded are judged by SAVE03, SAVE04 and SAVE05.
    """
    if evidence.trace.raised is not None:
        yield Finding(True, "the files were not loaded", exercised=False)
        return
    before = evidence.settings_before_saving
    for name, value in evidence.trace.facts["settings"].items():
        values = [or_default(name, each.get(name)) for each in before]
        what = f"{name} is {value!r} in the loaded model; before saving it was {values[0]!r}"
        yield Finding(or_default(name, value) in values, what, name, exercised=True)


def _restored(evidence: Evidence) -> Iterator[Result]:
    """The same bits and ties; or a clear error, if no documentation promises that the file loads."""
    raised = evidence.trace.raised
    if raised is None:
        yield from _loaded(evidence)
        yield from _tied(evidence)
    else:
        yield restoring_raised(evidence, raised)


def finding_without_content(evidence: Evidence) -> Finding | None:
    """The whole finding about a case that saves a config or tokenizer, or that cannot load the saved files; None if
    they were loaded."""
    raised = evidence.trace.raised
    if evidence.case.name.startswith("save-"):
        said = "" if raised is None else f"saving raised {raised.type}: {raised.message} ({raised.frame})"
        return Finding(raised is None, said, evidence={} if raised is None else _exception_details(raised))
    return None if raised is None else restoring_raised(evidence, raised)


def restoring_raised(evidence: Evidence, raised: Raised) -> Finding:
    """A finding about saved files that cannot be loaded: a failure, except for a clear error of an older version."""
    if evidence.saved_by_newer:
        return _rejected(raised)
    what = f"loading raised {raised.type}: {raised.message} ({raised.frame})"
    return Finding(False, what, evidence=_exception_details(raised))


def _rejected(raised: Raised) -> Finding:
    what = f"loading raised {raised.type}: {raised.message}, which does not tell the user that the file is unsuitable"
    return Finding(raised.type in CLEAR and bool(raised.message), what, evidence=_exception_details(raised))


def _exception_details(raised: Raised) -> dict[str, Any]:
    return {"raises": raised.type, "exception": raised.type, "message": raised.message, "frame": raised.frame}


def _tied(evidence: Evidence) -> Iterator[Result]:
    """Findings for names that were tied when saved. A name that the backend does not expose is tied by construction."""
    loaded = evidence.trace.facts["parameters"]
    before = [set(group) for group in evidence.saved.facts["tied"]]
    together = [set(group) for group in evidence.trace.facts["report"]["tied"]]
    for group in tied_groups_of(evidence):
        exposed = [name for name in group if name in loaded]
        for name in exposed[1:]:
            one = any({exposed[0], name} <= storage for storage in together)
            separate = bool(before) and not any({exposed[0], name} <= storage for storage in before)
            yield Finding(one or separate, f"{name} is not tied to {exposed[0]}", name)
    if not tied_groups_of(evidence):
        for group in together:
            yield Finding(False, f"{' and '.join(sorted(group))} share one table, but the config ties none")


def _loaded(evidence: Evidence) -> Iterator[Result]:
    """Compares the loaded parameters with the saver's, and reads the library's loading report."""
    report, loaded = evidence.trace.facts["report"], evidence.trace.facts["parameters"]
    yield from _equal(evidence, loaded, evidence.saved.facts["parameters"], _IN_MEMORY)
    for name in report["not_materialised"]:
        yield Finding(False, f"{name} is on a meta device, without values", name)


def or_default(name: str, value: Any) -> Any:
    """The value of a generation setting, which has its documented default if it is None or an empty list."""
    return getattr(GenerationSettings, name) if value in (None, []) else value


def _equal(evidence: Evidence, found: Parameters, expected: Parameters, where: str) -> Iterator[Result]:
    """Compares all parameters of the saver and all that were found. A tied name stands for its table."""
    for name, parameter in expected.items():
        group = table_names(evidence, name)
        now = found.get(name) or next((found[each] for each in group if each in found), None)
        if now is None:
            yield Finding(is_ignored(evidence, name), f"{name} is not {where}", name)
            continue
        same = now["digest"] == parameter["digest"] or is_ignored(evidence, name)
        yield Finding(same, f"{name} {where} {_mismatch(now, parameter)}", name)
    for name in found:
        group = table_names(evidence, name)
        known = any(each in expected for each in group) or is_ignored(evidence, name)
        loaded = where == _IN_MEMORY and not known
        what = f": {describe_values(evidence.trace, name, expected)}" if loaded else ""
        yield Finding(known, f"{name} {where} was not saved{what}", name)
        if name not in expected and (table := next((each for each in group if each in expected), None)):
            same = found[name]["digest"] == expected[table]["digest"]
            yield Finding(same, f"{name} {where} {_mismatch(found[name], expected[table])}", name)


def _mismatch(now: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    for word in ("shape", "dtype"):
        if now[word] != before[word]:
            return f"has {word} {now[word]}; saved was {before[word]}"
    return "differs from the saved values"
