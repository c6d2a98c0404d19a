"""Saving: what stood in memory stands in the file, and whoever loads the file has it again or says that it cannot.

What is promised of which loader stands in ``parity/judge/data/saving.toml``. The truth here is what the saver held:
where that is not what its own checkpoint says, LOAD01 tells.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from parity.core.model_spec import model_spec_of
from parity.core.trace import FILE, Raised
from parity.judge.checks.loading import carries_nothing, table_names, tied_groups_of
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence
from parity.judge.initial_values import made_of
from parity.judge.results import Finding, Result
from reference.generation.settings import OLD_FORCED_BEGIN

_SAVING = (
    "main classes, PreTrainedModel.save_pretrained: the model and its configuration, so that from_pretrained has both"
)
CLEAR = ("OSError", "ValueError", "RuntimeError", "ImportError", "NotImplementedError", "SafetensorError")
"""Exceptions by which a library says that it will not load a file. What Python itself raises in the midst of work
(KeyError, AttributeError, UnicodeDecodeError) tells a user nothing."""
_IN_MEMORY = "in the model that was loaded"
Parameters = Mapping[str, Mapping[str, Any]]


@check(
    "SAVE01",
    claim="a saved file holds every parameter of the model, bit for bit, and nothing else",
    source=_SAVING,
    likely_cause="a tied table is dropped under the name that readers look for, or a name is one that only its "
    "writer reads",
    cases=("save.*",),
    requires=("load",),
    needs_oracle=False,
)
def saved_files_hold_the_model(evidence: Evidence) -> Iterator[Result]:
    """The files are read without the library that wrote them, and held against what it had in memory."""
    facts, arrays = evidence.trace.facts, evidence.trace.arrays
    for name, said in facts["files"].items():
        if name in facts.get("let_go", ()):
            continue  # large, and gone since it was loaded; what was read of it stands among the facts
        whole = hashlib.sha256(arrays[f"{FILE}{name}"].data).hexdigest() == said["sha256"]
        yield Finding(whole, f"{name} is not what was saved: its digest is another", name)
    stored = facts["stored"]
    if "unreadable" in stored:
        yield Finding(False, f"the saved files cannot be read: {stored['unreadable']}")
        return
    yield from _equal(evidence, stored["parameters"], facts["parameters"], "in the saved file")
    for name in stored["missing"]:
        yield Finding(carries_nothing(evidence, name), f"{name} is missing from the saved file", name)
    for name in stored["surplus"]:
        yield Finding(name in facts["parameters"], f"{name} in the saved file is nothing that the model has", name)


@check(
    "SAVE02",
    claim="a saved config says of the model what the one that was loaded says",
    source=_SAVING,
    likely_cause="a field is left out because it equals a default, and the reader's default is another",
    cases=("save.*",),
    requires=("load",),
    needs_oracle=False,
)
def saved_config_is_the_loaded_one(evidence: Evidence) -> Iterator[Result]:
    """Read with the documented defaults, as a config that leaves fields out is meant to be."""
    raw = evidence.trace.arrays.get(f"{FILE}config.json")
    if raw is None:
        yield Finding(False, "no config.json was saved")
        return
    # Later versions keep settings of generation in their own file, and only there.
    beside = evidence.trace.arrays.get(f"{FILE}generation_config.json")
    kept = {} if beside is None else json.loads(beside.tobytes())
    # What the loaded config says nothing of is no field of it: a composition without an end has its decoder's there.
    said = {name: value for name, value in kept.items() if evidence.model_spec.raw.get(name) is not None}
    config = model_spec_of({**said, **json.loads(raw.tobytes())}, evidence.subject.documented_class).config
    yield from _same_fields(evidence.model_spec.config, config, "")


def _same_fields(loaded: Any, saved: Any, half: str) -> Iterator[Result]:
    """What is left out and documented to be another field's value may be written out: ``output_hidden_size`` is the
    encoder's own, and ``force_bos_token_to_be_generated``, as summarisers were saved, makes the first token the
    beginning's (``BartConfig`` of transformers 4.x reads it as ``forced_bos_token_id``)."""
    if type(loaded) is not type(saved):
        yield Finding(False, f"{half or 'the config'} is of another kind: {saved.model_type}")
        return
    for name in (field.name for field in fields(loaded) if field.name != "others"):
        ours, theirs = getattr(loaded, name), getattr(saved, name)
        if hasattr(ours, "__dataclass_fields__"):
            yield from _same_fields(ours, theirs, f"{half}{name}.")
        else:
            filled = ours is None and theirs is not None and theirs == _written_out(name, loaded, saved)
            yield Finding(ours == theirs or filled, f"{half}{name} is {theirs!r}, and {ours!r} was loaded")


def _written_out(name: str, loaded: Any, saved: Any) -> Any:
    """The value that a field has where it is left out; None where it has none."""
    if name == "output_hidden_size":
        return saved.hidden_size
    if name == "forced_bos_token_id" and loaded.others.get(OLD_FORCED_BEGIN):
        return loaded.bos_token_id
    return None


@check(
    "SAVE03",
    claim="what a class saved, it or a later version of it loads as the same bits, and tied tables are one again",
    source=_SAVING,
    likely_cause="a table that was tied when it was saved is initialised anew when it is loaded",
    cases=("saved.*.own",),
    requires=("load",),
    needs_oracle=False,
    reads_raised=True,
)
def own_files_come_back(evidence: Evidence) -> Iterator[Result]:
    """No document promises that an older version reads what a newer one wrote: it may say that it cannot."""
    yield from _kept(evidence)


@check(
    "SAVE04",
    claim="what one framework saved, another loads by the documented flag, the same bits and tied tables one again",
    source="main classes, from_pretrained: from_tf, from_flax and from_pt load a save file of another framework",
    likely_cause="a name that the conversion does not map, so that a parameter is random, or a kernel not transposed",
    cases=("saved.*.from_*",),
    requires=("load",),
    needs_oracle=False,
    reads_raised=True,
)
def converted_files_come_over(evidence: Evidence) -> Iterator[Result]:
    """A square kernel that is not transposed has the right shape: only its bits show it."""
    yield from _kept(evidence)


@check(
    "SAVE05",
    claim="what one framework saved, another loads without a flag as the same bits, or its error says that it cannot",
    source="main classes, from_pretrained: without its flag no argument speaks of another framework's file",
    likely_cause="names that do not match are warned of, and the parameters they stood for are random",
    cases=("saved.*.plain",),
    requires=("load",),
    needs_oracle=False,
    reads_raised=True,
)
def foreign_files_are_never_wrong_in_silence(evidence: Evidence) -> Iterator[Result]:
    """No document promises that it loads; nothing may be taken for loaded that was not."""
    raised = evidence.trace.raised
    yield from _loaded(evidence) if raised is None else [_refused(raised)]


def _kept(evidence: Evidence) -> Iterator[Result]:
    """The same bits and the same ties; or an error, where no document promises more."""
    raised = evidence.trace.raised
    if raised is None:
        yield from _loaded(evidence)
        yield from _tied(evidence)
    elif evidence.saved_by_newer:
        yield _refused(raised)
    else:
        yield Finding(False, f"loading raised {raised.type}: {raised.message} ({raised.frame})", evidence=_told(raised))


def _refused(raised: Raised) -> Finding:
    what = f"loading raised {raised.type}: {raised.message}, which does not say that the file is not for it"
    return Finding(raised.type in CLEAR and bool(raised.message), what, evidence=_told(raised))


def _told(raised: Raised) -> dict[str, Any]:
    return {"raises": raised.type, "exception": raised.type, "message": raised.message, "frame": raised.frame}


def _tied(evidence: Evidence) -> Iterator[Result]:
    """A name the backend does not expose is tied by construction; of the exposed ones, those tied when saved."""
    loaded = evidence.trace.facts["parameters"]
    before = [set(group) for group in evidence.saved.facts["tied"]]
    together = [set(group) for group in evidence.trace.facts["report"]["tied"]]
    for group in tied_groups_of(evidence):
        exposed = [name for name in group if name in loaded]
        for name in exposed[1:]:
            one = any({exposed[0], name} <= storage for storage in together)
            apart = bool(before) and not any({exposed[0], name} <= storage for storage in before)
            yield Finding(one or apart, f"{name} is not tied to {exposed[0]}", name)
    if not tied_groups_of(evidence):
        for group in together:
            yield Finding(False, f"{' and '.join(sorted(group))} are one table, and the config ties nothing")


def _loaded(evidence: Evidence) -> Iterator[Result]:
    """What was loaded against what the saver held, and what the library says of the load."""
    report, loaded = evidence.trace.facts["report"], evidence.trace.facts["parameters"]
    yield from _equal(evidence, loaded, evidence.saved.facts["parameters"], _IN_MEMORY)
    for name in report["not_materialised"]:
        yield Finding(False, f"{name} is on a meta device, without values", name)


def _equal(evidence: Evidence, found: Parameters, held: Parameters, where: str) -> Iterator[Result]:
    """Every parameter that the saver held, and every one that is there now; a tied name stands for its table."""
    for name, parameter in held.items():
        group = table_names(evidence, name)
        now = found.get(name) or next((found[each] for each in group if each in found), None)
        if now is None:
            yield Finding(carries_nothing(evidence, name), f"{name} is not {where}", name)
            continue
        same = now["digest"] == parameter["digest"] or carries_nothing(evidence, name)
        yield Finding(same, f"{name} {where} {_unlike(now, parameter)}", name)
    for name in found:
        group = table_names(evidence, name)
        known = any(each in held for each in group) or carries_nothing(evidence, name)
        loaded = where == _IN_MEMORY and not known
        what = f": {made_of(evidence.trace, name, held)}" if loaded else ""
        yield Finding(known, f"{name} {where} was never saved{what}", name)
        if name not in held and (table := next((each for each in group if each in held), None)):
            same = found[name]["digest"] == held[table]["digest"]
            yield Finding(same, f"{name} {where} {_unlike(found[name], held[table])}", name)


def _unlike(now: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    for word in ("shape", "dtype"):
        if now[word] != before[word]:
            return f"has {word} {now[word]}, and {before[word]} was saved"
    return "holds other values than were saved"
