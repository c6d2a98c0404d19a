"""Loading: the parameters in memory equal the file bit for bit. No forward pass shows one wrong bit of one weight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from parity.checkpoint.conversion import flags_for
from parity.checkpoint.weight_precedence import file_read
from parity.core.backends import BACKENDS
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence
from parity.judge.initial_values import describe_values
from parity.judge.results import Finding, Result
from reference.names import Entry, table_of
from reference.names.layouts import SPELLINGS

_FILE = "definition of a checkpoint: config.json defines the parameters, the weight file contains them"
_LOADING = "main classes, PreTrainedModel.from_pretrained: the model is loaded with the weights of the file"


TIED_DIFFERS = " differs from the table it is tied to"
"""Suffix of a note in the report of the file's own load; the name in the file precedes it."""

OUTPUT_TABLES = ("lm_head.weight", "lm_head.decoder.weight", "predictions.decoder.weight")
"""Names of an output embedding that is not tied to an input embedding, by architecture."""


@check(
    "FILE01",
    claim="the weight file contains every parameter that the config defines, in its shape, finite, and no other",
    source=_FILE,
    likely_cause="a file saved by another class, diverged training, or the config of another model",
    cases=("load",),
    needs_oracle=False,
    role="file",
)
def file_is_complete(evidence: Evidence) -> Iterator[Result]:
    """Each backend initialises a missing parameter by its own rule; a non-finite one makes every output non-finite."""
    trace = evidence.trace
    report, parameters = trace.facts["report"], trace.facts["parameters"]
    # The file's values are rounded to the type under test, in which a finite one may be infinite.
    rounded = f" in {evidence.subject.dtype}" if evidence.subject.dtype == "float16" else ""
    for name in report["missing"]:
        yield Finding(False, f"{name} is missing from the file", name)
    for name in report["unexpected"]:
        yield Finding(False, f"{name} in the file is not a parameter of this config", name)
    for note in report["notes"]:
        yield Finding(False, note, note.split(" ")[0])
    for name, parameter in parameters.items():
        count = parameter["non_finite"]
        yield Finding(count == 0, f"{name} has {count} values that are NaN or infinite{rounded}", name)


@check(
    "FILE05",
    claim="all weight files of the directory contain the same parameters, bit for bit where the dtypes are equal",
    source="main classes, from_pretrained: of several weight files a class loads the first one in its own order, so "
    "a checkpoint must be one set of weights",
    likely_cause="one format was saved again after training and the others were not, or shards of an earlier save "
    "are left",
    cases=("weight-files.*",),
    needs_oracle=False,
    role="file",
)
def weight_files_are_one_model(evidence: Evidence) -> Iterator[Result]:
    """Each framework reads another file: the directory is then two models, and no library reports it.

    A parameter with different dtypes in two files is compared in the less precise of them.
    """
    facts = evidence.trace.facts
    read, file, readers = facts["read"], facts["file"], _readers(evidence)
    if "unreadable" in facts:
        yield Finding(False, f"{file} cannot be read: {facts['unreadable']}; {readers}", file)
        return
    compared, differing = facts["compared"], facts["differing"]
    yield Finding(compared > 0, f"{file} has no parameter in common with {read}: {readers}", file)
    if differing:
        worst = facts["differs"][0]
        what = f"{read} and {file} differ in {differing} of {compared} parameters, the most in {worst['name']}"
        yield Finding(False, f"{what}: {_difference_text(worst)}; {readers}", worst["name"])
    for each in facts["differs"][1:]:
        yield Finding(False, f"{each['name']}: {_difference_text(each)}, in {read} and {file}", each["name"])
    for holder, lacks, names in ((read, file, facts["missing"]), (file, read, facts["added"])):
        for name in names:
            yield Finding(False, f"{name} is in {holder} and missing from {lacks}; {readers}", name)
    for name in facts["unequal_duplicates"]:
        yield Finding(False, f"{file}: {name} differs from the table it is tied to", name)


def _difference_text(difference: dict[str, Any]) -> str:
    if "shapes" in difference:
        return "shapes {} and {}".format(*difference["shapes"])
    size = difference["relative"]
    relative = "" if size is None else f", a difference of {size:.2g} × the tensor's root mean square"
    return "{} and {} at {}{}".format(*difference["values"], difference["at"], relative)


def _readers(evidence: Evidence) -> str:
    """The weight file of the directory that each implementation of the run reads, as text."""
    facts = evidence.trace.facts
    files = {case.settings["file"] for case in evidence.cases("weight_files")} | {facts["read"]}
    readers: dict[str, list[str]] = {}
    for subject, version in evidence.implementations:
        name = file_read(subject.backend, version, files, _needs_from_pt(subject.backend, facts["stored_for"]))
        if name is not None:
            readers.setdefault(name, []).append(subject.label)
    found = [f"{name} is read by {', '.join(dict.fromkeys(labels))}" for name, labels in readers.items()]
    return "; ".join(found) or "the library decides which of them is read"


def _needs_from_pt(backend: str, stored: Sequence[str]) -> bool:
    """Whether a backend needs ``from_pt=True`` for a directory with files of these frameworks."""
    weights = BACKENDS[backend].weights if backend in BACKENDS else None
    return weights is not None and "from_pt" in flags_for(stored, weights.own, weights.converts)


@check(
    "LOAD01",
    claim="every loaded parameter equals the file, bit for bit",
    source=_LOADING,
    likely_cause="a transposed square matrix, two swapped names, a cast through half precision, a re-initialised layer",
    cases=("load",),
    requires=("load",),
    needs_oracle=False,
)
def loaded_bits_equal_the_file(evidence: Evidence) -> Iterator[Result]:
    """Compares digests. If they differ, the checksums of the rows show which rows differ."""
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
    """Groups of names that the config ties to one table, the table's own name first."""
    return evidence.model_spec.table.groups


def table_names(evidence: Evidence, name: str) -> list[str]:
    """All names of a parameter's table, the table's own first; only its own name if nothing is tied to it."""
    return next((group for group in tied_groups_of(evidence) if name in group), [name])


def is_ignored(evidence: Evidence, name: str) -> bool:
    """Whether no output depends on a parameter (the pooler of an encoder). It need not be stored."""
    entry = evidence.model_spec.table.entry(name)
    return entry is not None and entry.role == "ignored"


@check(
    "LOAD02",
    claim="after loading no parameter is missing, additional, random, or on a meta device",
    source=_LOADING,
    likely_cause="a prefix or head that the library does not map, so that it randomly initialises it with a warning",
    cases=("load",),
    requires=("load",),
    needs_oracle=False,
)
def nothing_is_missing(evidence: Evidence) -> Iterator[Result]:
    """Compares the names in memory with those of the file, and reads the library's loading report."""
    report, loaded = evidence.trace.facts["report"], evidence.trace.facts["parameters"]
    stored = evidence.file.facts["parameters"]
    aliases = {name for group in tied_groups_of(evidence) for name in group}
    for name in stored:
        yield Finding(name in loaded, f"{name} is in the file but not in the model", name)
    for name in loaded:
        known = name in stored or name in aliases or is_ignored(evidence, name)
        what = "" if known else describe_values(evidence.trace, name, stored)
        yield Finding(known, f"{name} is in the model but not in the file: {what}", name)
    for name in report["missing"]:
        # A tied duplicate with the right bits need not be stored twice, and a buffer need not be stored at all.
        tied = name in aliases and name in loaded
        harmless = tied or is_ignored(evidence, name) or _is_equal_buffer(evidence, name)
        what = "" if harmless else describe_values(evidence.trace, name, stored)
        yield Finding(harmless, f"the library did not find {name} in the file: {what}", name)
    for name in report["unexpected"]:
        harmless = is_ignored(evidence, name) or _is_stored_twice(evidence, name)
        yield Finding(harmless, f"the library did not use {name} of the file", name)
    for name in report["not_materialised"]:
        yield Finding(False, f"{name} is on a meta device, without values", name)


def _is_equal_buffer(evidence: Evidence, name: str) -> bool:
    """Whether a name is a buffer with the values of the file (zeros if the file has none)."""
    entry = evidence.model_spec.table.entry(name)
    loaded, stored = evidence.trace.facts["parameters"].get(name), evidence.file.facts["parameters"].get(name)
    buffer = entry is not None and entry.role == "buffer"
    return buffer and loaded is not None and stored is not None and loaded["digest"] == stored["digest"]


def _is_stored_twice(evidence: Evidence, raw: str) -> bool:
    """Whether a name in the file is an alias of a table of the model, with the same bits in the file.

    transformers 4.x saves a tied table under all its names in ``pytorch_model.bin``; TensorFlow and Flax have one name.
    """
    entry = _entry_of(evidence, raw)
    if entry is None or entry.role != "tied" or entry.name not in evidence.trace.facts["parameters"]:
        return False
    notes = evidence.file.facts["report"]["notes"]
    differing = [note.removesuffix(TIED_DIFFERS) for note in notes if note.endswith(TIED_DIFFERS)]
    same = {_torch_name(raw), *evidence.model_spec.table.spelled(_torch_name(raw))}
    return not any(_torch_name(name) in same for name in differing)


def _entry_of(evidence: Evidence, raw: str) -> Entry | None:
    return evidence.model_spec.table.entry(_torch_name(raw))


def _torch_name(raw: str) -> str:
    """The PyTorch form of a name: a conversion reports unused names in the form of the model's framework."""
    found = SPELLINGS["tf" if ":" in raw else "flax" if "/" in raw else "torch"](raw)
    return found[0] if found else raw


@check(
    "LOAD03",
    claim="loading the same checkpoint twice gives the same bits",
    source=_LOADING,
    likely_cause="a randomly initialised parameter, or state shared between two models",
    cases=("load",),
    requires=("load",),
    needs_oracle=False,
)
def two_loads_are_equal(evidence: Evidence) -> Iterator[Result]:
    """A random parameter differs between two loads, even if nothing reports it."""
    first, second = evidence.trace.facts["parameters"], evidence.trace.facts["second"]
    for name, parameter in first.items():
        same = parameter["digest"] == second.get(name) or is_ignored(evidence, name)
        yield Finding(same, f"{name} differs between two loads", name)
    yield from _without_values(evidence)


def _without_values(evidence: Evidence) -> Iterator[Result]:
    """Findings for parameters on a meta device: they have no bits to compare, and that is a failure."""
    for name in evidence.trace.facts["report"]["not_materialised"]:
        yield Finding(False, f"{name} is on a meta device, without values", name)


@check(
    "LOAD04",
    claim="weights that the config ties share one table, and weights that it does not tie are separate",
    source="configuration page, tie_word_embeddings: whether input and output word embeddings are tied",
    likely_cause="a head loaded separately and tied again, or never tied, so that training changes two tables",
    cases=("load",),
    requires=("load",),
    needs_oracle=False,
)
def tied_weights_are_tied(evidence: Evidence) -> Iterator[Result]:
    """A name that the backend does not expose is tied by construction; two exposed names must share their storage."""
    loaded = evidence.trace.facts["parameters"]
    together = [set(group) for group in evidence.trace.facts["report"]["tied"]]
    wanted = [[name for name in group if name in loaded] for group in tied_groups_of(evidence)]
    for group in wanted:
        yield Finding(bool(group), "the shared table is not among the model's parameters")
        for name in group[1:]:
            one = any({group[0], name} <= storage for storage in together)
            yield Finding(one, f"{name} is not tied to {group[0]}", name)
    for name in (row.name for row in evidence.model_spec.table.rows if row.name.endswith(OUTPUT_TABLES)):
        separate = not any(name in storage for storage in together) and name in loaded
        yield Finding(separate, f"{name} is not a table of its own", name)


@check(
    "LOAD05",
    claim="another class of the architecture loads every weight that it shares with the file, bit for bit, and reports "
    "the rest as newly initialised",
    source="main classes, PreTrainedModel.from_pretrained: a warning names the weights that are not pretrained",
    likely_cause="a prefix that one class writes and another does not map, so that a whole half is random",
    cases=("load-as.*",),
    requires=("load",),
    needs_oracle=False,
)
def shared_weights_are_loaded(evidence: Evidence) -> Iterator[Result]:
    """Loads the file of a base model into a class with a head, and the file of a class with a head into other classes.

    The table of a head that is tied to the token embedding is in the file with it. A buffer that no file contains is
    documented to be zeros.
    """
    report, loaded = evidence.trace.facts["report"], evidence.trace.facts["parameters"]
    stored, rows = evidence.file.facts["parameters"], evidence.trace.arrays
    table = table_of(evidence.model_spec.config, evidence.case.settings["model_class"])
    groups = [*table.groups, *tied_groups_of(evidence)]
    for name in (row.name for row in table.rows):
        names = _aliases(name, groups)
        inside = [each for each in names if each in loaded]
        yield Finding(bool(inside), f"{name} is not in the model", name)
        stored_digest = next((stored[each]["digest"] for each in names if each in stored), None)
        for each in inside:
            if stored_digest is not None:
                yield Finding(loaded[each]["digest"] == stored_digest, f"{each} differs from the file", each)
            else:
                reported = any(_matches(each_name, names) for each_name in report["missing"])
                reported = reported or not rows[f"rows.{each}"].any()
                what = "" if reported else describe_values(evidence.trace, each, stored)
                yield Finding(reported, f"{each} is not in the file, and the library does not report it: {what}", each)
    for name in report["missing"]:
        in_file = [each for each in _aliases(name, groups) if each in stored]
        tied = any(name in group and len(group) > 1 for group in table.groups)
        yield Finding(not in_file or tied, f"the library did not find {name}, which is in the file", name)
    for name in report["not_materialised"]:
        yield Finding(False, f"{name} is on a meta device, without values", name)


def _matches(reported: str, names: Iterable[str]) -> bool:
    """Whether a reported name is one of the parameter's names, or the name of its layer, as TensorFlow reports it."""
    return any(name == reported or name.startswith(f"{reported}.") for name in names)


def _aliases(name: str, groups: Iterable[list[str]]) -> list[str]:
    """All names of one table, by the ties of either class: a decoder-only class owns the token embedding."""
    return list(dict.fromkeys([name, *(each for group in groups if name in group for each in group)]))
