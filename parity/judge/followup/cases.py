"""Cases made from what was captured: what the oracle says of the texts that candidates wrote, what others load of
what they saved.

Run in the order of ``DERIVED`` between capturing and judging: a later one looks at the answers that an earlier one
brought. Only the manifest and the run directory are read, without any framework; a trace that cannot be read is the
judge's to report.

A case rests on nothing but what a backend is handed: whose texts called for it stands in its notes, which are no part
of its digest. So a run of one stack finds in the cache what a run of several asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from parity.core.case import Case, Notes
from parity.core.options import SAVE_LIMIT
from parity.core.records import Manifest
from parity.core.trace import TraceError, digest_array
from parity.judge.captured_run import CheckpointRun
from parity.judge.followup.eos_cases import PLAIN, end_cases
from parity.judge.followup.saving import save_cases, saved_cases
from parity.judge.generated_text import (
    SEQUENCES,
    judged,
    overridden_settings,
    score_tolerance,
    search_tolerance,
    sequences_of,
    settings_of,
    table_of,
)
from reference.generation import DOCUMENTED, GenerationSettings, dialect
from reference.generation.dialect import Dialect

NOISE_FLOOR_TEXT = "generate.beams"
"""The case whose text, as the oracle wrote it, everyone scores: the noise floor of kind ``score``."""

PARTNERS = {"generate.perturbed-batch": "generate.defaults", "generate.single-row": "generate.greedy"}
"""Cases that a claim compares: where a dialect explains one of them, it must explain the other."""

LIBRARY_DEFAULTS = "LIBRARY_DEFAULTS"
"""No dialect, but what explains a text likewise: the documented search under other settings than the file's."""

DIALECTS = {
    name: value for name, value in sorted(vars(dialect).items()) if isinstance(value, Dialect) and value != DOCUMENTED
}


def ends(manifest: Manifest, directory: Path, save_limit: float = SAVE_LIMIT) -> Mapping[str, list[Case]]:
    """What the oracle's own text makes a question to everyone, when a text may end and what a given one is worth; and
    saving, so that backends need be started once for both."""
    return _by_checkpoint(
        manifest, directory, lambda run: chain(_cases_of_the_oracle(run), save_cases(run, save_limit))
    )


def scores(manifest: Manifest, directory: Path) -> Mapping[str, list[Case]]:
    """What the oracle gives each text that a candidate wrote; and what every candidate makes of what each saved."""
    return _by_checkpoint(manifest, directory, lambda run: chain(_score_cases(run), saved_cases(run)))


def ties(manifest: Manifest, directory: Path) -> Mapping[str, list[Case]]:
    """Where beams brought other texts than the oracle's: all that it could have written with near ties turned."""
    return _by_checkpoint(manifest, directory, _tie_cases)


def dialects(manifest: Manifest, directory: Path) -> Mapping[str, list[Case]]:
    """Where a text or a score is wrong: what the oracle writes under each named dialect."""
    return _by_checkpoint(manifest, directory, _dialect_cases)


def saves(manifest: Manifest, directory: Path) -> Mapping[str, list[Case]]:
    """Saving alone, for a capture that asks for nothing else."""
    return _by_checkpoint(manifest, directory, save_cases)


def loads(manifest: Manifest, directory: Path) -> Mapping[str, list[Case]]:
    """What every candidate makes of what each saved, alone."""
    return _by_checkpoint(manifest, directory, saved_cases)


def layers(manifest: Manifest, directory: Path) -> Mapping[str, list[Case]]:
    """Every layer alone, given the states that the oracle had there: error made in it is told from error that came."""
    return _by_checkpoint(manifest, directory, _layer_cases)


SAVING = (saves, loads)
DERIVED = (ends, scores, ties, dialects)


def stages(save_limit: float) -> tuple[Callable[[Manifest, Path], Mapping[str, list[Case]]], ...]:
    """``DERIVED`` where all copies of a checkpoint that are saved may take so many GB."""
    return partial(ends, save_limit=save_limit), *DERIVED[1:]


def _by_checkpoint(
    manifest: Manifest, directory: Path, make: Callable[[CheckpointRun], Iterator[Case]]
) -> dict[str, list[Case]]:
    runs = (CheckpointRun(directory, manifest, checkpoint) for checkpoint in manifest.checkpoints)
    return {run.checkpoint.name: list(make(run)) for run in runs}


def _generated(run: CheckpointRun) -> Iterator[tuple[Case, list[tuple[int, np.ndarray]]]]:
    """Each ``generate`` case that the oracle answered, with the subjects and texts there are of it, its own first."""
    for case in run.cases.values():
        if case.operation != "generate" or "of" in case.notes:
            continue
        tables = [
            (index, table)
            for index, _ in run.subjects("oracle", "candidate")
            if (table := _table(run, index, case)) is not None
        ]
        if tables and tables[0][0] == run.oracle_index:
            yield case, tables


def _table(run: CheckpointRun, index: int, case: Case) -> np.ndarray | None:
    try:
        sequences = sequences_of(run, index, case)
    except (TraceError, OSError):
        return None
    return None if sequences is None else table_of(sequences, settings_of(case))


def _cases_of_the_oracle(run: CheckpointRun) -> Iterator[Case]:
    for case, tables in _generated(run):
        plain = tables[0][1]
        if case.name == PLAIN:
            yield from end_cases(case, plain)
        if case.name == NOISE_FLOOR_TEXT:
            missing = settings_of(case).max_length - plain.shape[1]
            padded = np.pad(plain, [(0, 0), (0, missing)], constant_values=settings_of(case).fill(DOCUMENTED))
            yield _scored(case, "score.beams", plain, padded, {"sets_noise_floor": True})


def _score_cases(run: CheckpointRun) -> Iterator[Case]:
    for case, tables in _generated(run):
        seen = {digest_array(tables[0][1])} if case.name == NOISE_FLOOR_TEXT else set()
        for _, table in tables[1:]:
            if (digest := digest_array(table)) not in seen:
                seen.add(digest)
                yield _scored(case, f"{case.name}.score-{digest[:8]}", table, table, {"roles": ["oracle"]})


def _scored(case: Case, name: str, table: np.ndarray, given: np.ndarray, notes: Notes) -> Case:
    inputs = {**case.inputs, SEQUENCES: given.tolist()}
    settings = {"arguments": case.notes["settings"]}
    return Case(name, "score", inputs, settings, notes={**notes, "of": case.name, "text": digest_array(table)})


def _layer_cases(run: CheckpointRun) -> Iterator[Case]:
    """None where a model cannot be asked for its encoder and its decoder apart."""
    try:
        oracle = run.oracle("forward") if "encode-decode" in run.cases else None
    except (TraceError, OSError):
        return
    if oracle is not None:
        states = [digest_array(array) for name, array in sorted(oracle.arrays.items()) if ".hidden." in name]
        notes: Notes = {"roles": ["oracle", "candidate"], "trace": oracle.provenance.get("key", "")}
        needs, parents = ("encode_decode", "layerwise"), (hashlib.sha256("".join(states).encode()).hexdigest()[:32],)
        yield Case("each-layer", "layerwise", run.cases["forward"].inputs, {}, needs, notes=notes, parents=parents)


def _tie_cases(run: CheckpointRun) -> Iterator[Case]:
    for case, tables in _generated(run):
        if settings_of(case).num_beams == 1:
            continue
        found: dict[float, list[int]] = {}
        for index, table in tables[1:]:
            tolerance = search_tolerance(run, run.manifest.subjects[index], case)
            if tolerance is not None and not np.array_equal(table, tables[0][1]):
                found.setdefault(tolerance, []).append(index)
        for tolerance, subjects in found.items():
            notes: Notes = {"roles": ["oracle"], "of": case.name, "subjects": subjects}
            settings = {"arguments": case.notes["settings"], "tolerance": tolerance}
            yield Case(f"{case.name}.reachable-{tolerance:.1e}", "reachable", case.inputs, settings, notes=notes)


def _dialect_cases(run: CheckpointRun) -> Iterator[Case]:
    wrong = [case.name for case, tables in _generated(run) if _is_unexplained(run, case, tables)]
    for pair in PARTNERS.items():
        if set(pair) <= set(run.cases) and set(pair) & set(wrong):
            wrong += [name for name in pair if name not in wrong]
    for name in wrong:
        case = run.cases[name]
        for dialect_name in (known for known in DIALECTS if may_differ(DIALECTS[known], case)):
            notes: Notes = {
                "roles": ["oracle"],
                "of": name,
                "dialect": dialect_name,
                "settings": case.notes["settings"],
            }
            settings = {**case.settings, "dialect": dialect_name}
            label = f"{name}.as-{dialect_name.lower().replace('_', '-')}"
            yield Case(label, "generate", case.inputs, settings, notes=notes)
        yield from _held_cases(run, case)


def _held_cases(run: CheckpointRun, case: Case) -> Iterator[Case]:
    """What the oracle writes under the settings that a subject holds, where they are not the documented ones.

    In every dialect: a library that holds other settings searches in its own way all the same.
    """
    holders: dict[str, tuple[dict[str, Any], list[int]]] = {}
    for index, _ in run.subjects("candidate"):
        if held := overridden_settings(run, index, case):
            holders.setdefault(json.dumps(held, sort_keys=True), (held, []))[1].append(index)
    passed = case.settings.get("arguments", {})
    for number, (held, subjects) in enumerate(holders.values()):
        default_max_length = held["max_length"] == 20 and held["max_new_tokens"] is None and "max_length" not in passed
        for longer in ({}, {"max_new_tokens": 20}) if default_max_length else ({},):
            notes: Notes = {
                "roles": ["oracle"],
                "of": case.name,
                "dialect": LIBRARY_DEFAULTS,
                "settings": {**held, **longer},
                "subjects": subjects,
            }
            asked = replace(case, notes=notes)
            for spoken in (None, *(name for name in DIALECTS if may_differ(DIALECTS[name], asked))):
                # What the case switched off besides is in force nowhere.
                settings = {"arguments": {**passed, **held, **longer}, **({"dialect": spoken} if spoken else {})}
                words = [
                    f"{case.name}.as-held-{number}",
                    *(["longer"] if longer else ()),
                    *([spoken] if spoken else ()),
                ]
                label = "-".join(words).lower().replace("_", "-")
                yield Case(label, "generate", case.inputs, settings, notes=notes)


def may_differ(spoken: Dialect, case: Case) -> bool:
    """Whether a dialect differs from the documented one in anything that decides this case's text or score."""
    settings = GenerationSettings.from_dict(case.notes["settings"])
    counts = {
        "default_max_length": settings.max_length == 20 and settings.max_new_tokens is None,
        "min_new_tokens": settings.min_new_tokens is not None,
        "no_repeat_ngram": bool(settings.no_repeat_ngram_size),
        "padding": False,
    }
    searched = settings.num_beams > 1
    names = (field.name for field in fields(Dialect) if counts.get(field.name, searched))
    return any(getattr(spoken, name) != getattr(DOCUMENTED, name) for name in names)


def _is_unexplained(run: CheckpointRun, case: Case, tables: list[tuple[int, np.ndarray]]) -> bool:
    """Whether any of the candidates' texts is wrong, or its scores are."""
    return any(_is_wrong(run, index, case) for index, _ in tables[1:])


def _is_wrong(run: CheckpointRun, index: int, case: Case) -> bool:
    texts, returned = judged(run, index, case), run.captured(index, case.name).arrays.get("sequences_scores")
    if any(text.word == "wrong" for text in texts):
        return True
    if returned is None or returned.shape != (len(texts),):
        return False
    bounds = [score_tolerance(run, run.manifest.subjects[index], case, text) for text in texts]
    return any(
        bound is not None and not abs(score - text.oracle_score) <= bound
        for bound, text, score in zip(bounds, texts, returned.tolist(), strict=True)
    )


OF_TEXTS: tuple[Callable[[CheckpointRun], Iterator[Case]], ...] = (
    _cases_of_the_oracle,
    _score_cases,
    _tie_cases,
    _dialect_cases,
)
"""The stages of ``DERIVED`` for one run, without saving: each is to see what the ones before it brought."""
