"""Loading: what stands in memory is what stands in the file. No forward pass can show one wrong bit in one weight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from parity.checkpoint.conversion import flags_for
from parity.checkpoint.weight_precedence import file_read
from parity.core.backends import BACKENDS
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence
from parity.judge.initial_values import made_of
from parity.judge.results import Finding, Result
from reference.names import Entry, table_of
from reference.names.layouts import SPELLINGS

_FILE = "definition of a checkpoint: config.json states the parameters, the weight file holds them"
_LOADING = "main classes, PreTrainedModel.from_pretrained: the model is loaded with the weights of the file"


TIED_DIFFERS = " differs from the table it is tied to"
"""How the report of the file's own load says so, behind the name in the file."""

OUTPUT_TABLES = ("lm_head.weight", "lm_head.decoder.weight", "predictions.decoder.weight")
"""How the families call the table of an output head that is no input table's duplicate."""


@check(
    "FILE01",
    claim="the weight file holds every parameter that the config asks for, in its shape, finite, and nothing else",
    source=_FILE,
    likely_cause="the file was saved by another class, or the training diverged, or the config is that of "
    "another model",
    cases=("load",),
    needs_oracle=False,
    role="file",
)
def file_is_complete(evidence: Evidence) -> Iterator[Result]:
    """A parameter that is missing is initialised anew by each backend; one that is not finite spoils all of them."""
    trace = evidence.trace
    report, parameters = trace.facts["report"], trace.facts["parameters"]
    # The file's values are rounded to the type under test, in which a finite one may be infinite.
    rounded = f" in {evidence.subject.dtype}" if evidence.subject.dtype == "float16" else ""
    for name in report["missing"]:
        yield Finding(False, f"{name} is missing from the file", name)
    for name in report["unexpected"]:
        yield Finding(False, f"{name} in the file is no parameter of this config", name)
    for note in report["notes"]:
        yield Finding(False, note, note.split(" ")[0])
    for name, parameter in parameters.items():
        count = parameter["non_finite"]
        yield Finding(count == 0, f"{name} holds {count} values that are NaN or infinite{rounded}", name)


@check(
    "FILE05",
    claim="all weight files of the directory hold the same parameters, bit for bit where their types are the same",
    source="main classes, from_pretrained: of several weight files the class loads the one that it looks for first, so "
    "that one checkpoint is one set of weights",
    likely_cause="one format was saved anew after training and the others were left as they were, or shards of "
    "an earlier "
    "save lie beside a whole file",
    cases=("weight-files.*",),
    needs_oracle=False,
    role="file",
)
def weight_files_are_one_model(evidence: Evidence) -> Iterator[Result]:
    """Each framework reads another file: the same directory is then two models, and no library says so.

    Where two files hold a parameter in different types, they are compared in the less precise of these.
    """
    facts = evidence.trace.facts
    read, file, who = facts["read"], facts["file"], _who_reads(evidence)
    if "unreadable" in facts:
        yield Finding(False, f"{file} cannot be read: {facts['unreadable']}; {who}", file)
        return
    compared, differing = facts["compared"], facts["differing"]
    yield Finding(compared > 0, f"{file} holds no parameter that {read} holds: {who}", file)
    if differing:
        worst = facts["differs"][0]
        what = f"{read} and {file} differ in {differing} of {compared} parameters, most in {worst['name']}"
        yield Finding(False, f"{what}: {_parting(worst)}; {who}", worst["name"])
    for each in facts["differs"][1:]:
        yield Finding(False, f"{each['name']}: {_parting(each)}, in {read} and {file}", each["name"])
    for holder, lacks, names in ((read, file, facts["missing"]), (file, read, facts["added"])):
        for name in names:
            yield Finding(False, f"{name} is in {holder} and missing from {lacks}; {who}", name)
    for name in facts["unequal_duplicates"]:
        yield Finding(False, f"{file}: {name} differs from the table it is tied to", name)


def _parting(difference: dict[str, Any]) -> str:
    if "shapes" in difference:
        return "shapes {} and {}".format(*difference["shapes"])
    size = difference["relative"]
    relative = "" if size is None else f", {size:.2g} of the tensor's root mean square apart"
    return "{} and {} at {}{}".format(*difference["values"], difference["at"], relative)


def _who_reads(evidence: Evidence) -> str:
    """Which of the directory's weight files each implementation of the run reads."""
    facts = evidence.trace.facts
    there = {case.settings["file"] for case in evidence.cases("weight_files")} | {facts["read"]}
    readers: dict[str, list[str]] = {}
    for subject, version in evidence.implementations:
        name = file_read(subject.backend, version, there, _is_told_from_pt(subject.backend, facts["stored_for"]))
        if name is not None:
            readers.setdefault(name, []).append(subject.label)
    found = [f"{name} is read by {', '.join(dict.fromkeys(labels))}" for name, labels in readers.items()]
    return "; ".join(found) or "which of them is read depends on the library"


def _is_told_from_pt(backend: str, stored: Sequence[str]) -> bool:
    """Whether a user must pass that flag to a backend, where a directory's files were written for these frameworks."""
    weights = BACKENDS[backend].weights if backend in BACKENDS else None
    return weights is not None and "from_pt" in flags_for(stored, weights.own, weights.converts)


@check(
    "LOAD01",
    claim="every loaded parameter equals the file, bit for bit",
    source=_LOADING,
    likely_cause="a transposed square matrix, two names exchanged, a trip through half precision, a "
    "re-initialised layer",
    cases=("load",),
    requires=("load",),
    needs_oracle=False,
)
def loaded_bits_equal_the_file(evidence: Evidence) -> Iterator[Result]:
    """Compares digests, and where they differ names the rows by their checksums."""
    ours, theirs = evidence.trace, evidence.file
    aliases = {name: group[0] for group in tied_groups_of(evidence) for name in group}
    stored_ones = theirs.facts["parameters"]
    if not any(aliases.get(name, name) in stored_ones for name in ours.facts["parameters"]):
        yield Finding(False, "no parameter of the model is in the file, so that none was loaded from it")
        return
    for name, parameter in ours.facts["parameters"].items():
        stored_name: str = aliases.get(name) or name
        stored = stored_ones.get(stored_name)
        if stored is None:
            continue
        same = parameter["digest"] == stored["digest"]
        what = "" if same else _difference(evidence, name, stored_name)
        yield Finding(same, f"{name} differs from the file: {what}", name)
    yield from _without_values(evidence)


def _difference(evidence: Evidence, name: str, stored_name: str) -> str:
    ours, theirs = evidence.trace, evidence.file
    found, stored = ours.facts["parameters"][name], theirs.facts["parameters"][stored_name]
    for word in ("shape", "dtype"):
        if found[word] != stored[word]:
            return f"{word} {found[word]}, in the file {stored[word]}"
    rows = np.flatnonzero(ours.arrays[f"rows.{name}"] != theirs.arrays[f"rows.{stored_name}"])
    shown = ", ".join(map(str, rows[:3])) + (" …" if len(rows) > 3 else "")
    return f"{len(rows)} of {found['shape'][0]} rows ({shown})"


def tied_groups_of(evidence: Evidence) -> list[list[str]]:
    """Groups of names that the config says are one table, the table's own name first."""
    return evidence.model_spec.table.groups


def table_names(evidence: Evidence, name: str) -> list[str]:
    """All names of the table that a parameter is, the table's own first; its own alone where nothing is tied to it."""
    return next((group for group in tied_groups_of(evidence) if name in group), [name])


def carries_nothing(evidence: Evidence, name: str) -> bool:
    """Whether the model computes with a parameter nowhere (the pooler of an encoder): then it need not be stored."""
    entry = evidence.model_spec.table.entry(name)
    return entry is not None and entry.role == "ignored"


@check(
    "LOAD02",
    claim="after loading no parameter is missing, surplus, random, or left on a meta device",
    source=_LOADING,
    likely_cause="a prefix or a head the library does not map, so that it invents the parameter and only warns",
    cases=("load",),
    requires=("load",),
    needs_oracle=False,
)
def nothing_is_missing(evidence: Evidence) -> Iterator[Result]:
    """Holds the names in memory against those of the file, and listens to what the library says of the load."""
    report, loaded = evidence.trace.facts["report"], evidence.trace.facts["parameters"]
    stored = evidence.file.facts["parameters"]
    aliases = {name for group in tied_groups_of(evidence) for name in group}
    for name in stored:
        yield Finding(name in loaded, f"{name} is in the file but not in the model", name)
    for name in loaded:
        known = name in stored or name in aliases or carries_nothing(evidence, name)
        what = "" if known else made_of(evidence.trace, name, stored)
        yield Finding(known, f"{name} is in the model but not in the file: {what}", name)
    for name in report["missing"]:
        # A tied duplicate that the bits show to be right was only not stored twice; a buffer need not be stored.
        tied = name in aliases and name in loaded
        harmless = tied or carries_nothing(evidence, name) or _is_the_buffer(evidence, name)
        what = "" if harmless else made_of(evidence.trace, name, stored)
        yield Finding(harmless, f"the library did not find {name} in the file: {what}", name)
    for name in report["unexpected"]:
        harmless = carries_nothing(evidence, name) or _is_stored_twice(evidence, name)
        yield Finding(harmless, f"the library did not use {name} of the file", name)
    for name in report["not_materialised"]:
        yield Finding(False, f"{name} is on a meta device, without values", name)


def _is_the_buffer(evidence: Evidence, name: str) -> bool:
    """Whether a name is a buffer's that holds what the file means, zeros where it does not say."""
    entry = evidence.model_spec.table.entry(name)
    loaded, stored = evidence.trace.facts["parameters"].get(name), evidence.file.facts["parameters"].get(name)
    buffer = entry is not None and entry.role == "buffer"
    return buffer and loaded is not None and stored is not None and loaded["digest"] == stored["digest"]


def _is_stored_twice(evidence: Evidence, raw: str) -> bool:
    """Whether a name of the file is another name of a table that the model has, and the file holds the same bits there.

    transformers 4.x saves a tied table under all of its names in ``pytorch_model.bin``; TensorFlow and Flax have one.
    """
    entry = _meant(evidence, raw)
    if entry is None or entry.role != "tied" or entry.name not in evidence.trace.facts["parameters"]:
        return False
    notes = evidence.file.facts["report"]["notes"]
    differing = [note.removesuffix(TIED_DIFFERS) for note in notes if note.endswith(TIED_DIFFERS)]
    same = {_spelling(raw), *evidence.model_spec.table.spelled(_spelling(raw))}
    return not any(_spelling(name) in same for name in differing)


def _meant(evidence: Evidence, raw: str) -> Entry | None:
    return evidence.model_spec.table.entry(_spelling(raw))


def _spelling(raw: str) -> str:
    """A name as PyTorch spells it: a conversion reports what it did not use as the model's framework spells it."""
    found = SPELLINGS["tf" if ":" in raw else "flax" if "/" in raw else "torch"](raw)
    return found[0] if found else raw


@check(
    "LOAD03",
    claim="loading the same checkpoint twice gives the same bits",
    source=_LOADING,
    likely_cause="a parameter filled with random numbers, or a state shared between two models",
    cases=("load",),
    requires=("load",),
    needs_oracle=False,
)
def two_loads_are_equal(evidence: Evidence) -> Iterator[Result]:
    """A random parameter differs between two loads even where nothing reports it."""
    first, second = evidence.trace.facts["parameters"], evidence.trace.facts["second"]
    for name, parameter in first.items():
        same = parameter["digest"] == second.get(name) or carries_nothing(evidence, name)
        yield Finding(same, f"{name} differs between two loads", name)
    yield from _without_values(evidence)


def _without_values(evidence: Evidence) -> Iterator[Result]:
    """What was left on a meta device has no bits to compare: a load of which nothing came is wrong, not unjudged."""
    for name in evidence.trace.facts["report"]["not_materialised"]:
        yield Finding(False, f"{name} is on a meta device, without values", name)


@check(
    "LOAD04",
    claim="weights that the config ties are one table, and weights that it does not tie are apart",
    source="configuration page, tie_word_embeddings: whether input and output word embeddings are tied",
    likely_cause="a head that was loaded on its own and re-tied, or never tied, so that training drives two "
    "tables apart",
    cases=("load",),
    requires=("load",),
    needs_oracle=False,
)
def tied_weights_are_tied(evidence: Evidence) -> Iterator[Result]:
    """A name the backend does not expose is tied by construction; two exposed ones must share their storage."""
    loaded = evidence.trace.facts["parameters"]
    together = [set(group) for group in evidence.trace.facts["report"]["tied"]]
    wanted = [[name for name in group if name in loaded] for group in tied_groups_of(evidence)]
    for group in wanted:
        yield Finding(bool(group), "the shared table is not among the model's parameters")
        for name in group[1:]:
            one = any({group[0], name} <= storage for storage in together)
            yield Finding(one, f"{name} is not tied to {group[0]}", name)
    for name in (row.name for row in evidence.model_spec.table.rows if row.name.endswith(OUTPUT_TABLES)):
        apart = not any(name in storage for storage in together) and name in loaded
        yield Finding(apart, f"{name} is not a table of its own", name)


@check(
    "LOAD05",
    claim="another class of the family loads every weight that it shares with the file, bit for bit, and names the "
    "rest as newly initialised",
    source="main classes, PreTrainedModel.from_pretrained: weights that do not come pretrained are warned of by name",
    likely_cause="a prefix that one class writes and another does not look for, so that a whole half is random",
    cases=("load-as.*",),
    requires=("load",),
    needs_oracle=False,
)
def what_is_shared_is_loaded(evidence: Evidence) -> Iterator[Result]:
    """A bare model's file in a class with a head, a head's file in the bare class, one head's file in another's.

    A head's table that is tied to the tokens is in the file with them. A buffer that no file holds is zeros, as it is
    documented to begin with.
    """
    report, loaded = evidence.trace.facts["report"], evidence.trace.facts["parameters"]
    stored, rows = evidence.file.facts["parameters"], evidence.trace.arrays
    table = table_of(evidence.model_spec.config, evidence.case.settings["model_class"])
    groups = [*table.groups, *tied_groups_of(evidence)]
    for name in (row.name for row in table.rows):
        names = _one_table(name, groups)
        inside = [each for each in names if each in loaded]
        yield Finding(bool(inside), f"{name} is not in the model", name)
        held = next((stored[each]["digest"] for each in names if each in stored), None)
        for each in inside:
            if held is not None:
                yield Finding(loaded[each]["digest"] == held, f"{each} differs from the file", each)
            else:
                told = any(_names(said, names) for said in report["missing"]) or not rows[f"rows.{each}"].any()
                what = "" if told else made_of(evidence.trace, each, stored)
                yield Finding(told, f"{each} is not in the file, and nothing says so: {what}", each)
    for name in report["missing"]:
        there = [each for each in _one_table(name, groups) if each in stored]
        tied = any(name in group and len(group) > 1 for group in table.groups)
        yield Finding(not there or tied, f"the library did not find {name}, which is in the file", name)
    for name in report["not_materialised"]:
        yield Finding(False, f"{name} is on a meta device, without values", name)


def _names(said: str, names: Iterable[str]) -> bool:
    """Whether a library names a parameter: by a name of its own, or, as TensorFlow does, by that of its layer."""
    return any(name == said or name.startswith(f"{said}.") for name in names)


def _one_table(name: str, groups: Iterable[list[str]]) -> list[str]:
    """All names of one table, by the ties of either class: a decoder alone calls the tokens' table its own."""
    return list(dict.fromkeys([name, *(each for group in groups if name in group for each in group)]))
