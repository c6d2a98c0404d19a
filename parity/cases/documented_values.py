"""Documented values of published checkpoints as cases ``documented.ID`` for the check DOC05.

A checkpoint counts as published where it lies in a hub cache under that id. The origin in its config
(``_name_or_path``) is not evidence: a fine-tuned model has the same entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.cases.audio import recorded
from parity.cases.catalogue import Label, Loss, Span, States, Text, Tokens, Value, Words, read_catalogue
from parity.cases.decoding import generation_case
from parity.cases.files import SHORT
from parity.cases.inputs import Encode, InputsFileError, tokenizer
from parity.checkpoint.inspection import generation_in_force, hub_id, resolve_checkpoint
from parity.core.case import Case, Notes
from parity.core.model_spec import ModelSpec, model_spec_of
from parity.core.records import CheckpointRecord, Manifest
from reference.errors import CheckpointError

LACKED = "documented_input"
"""A name in ``Case.requires`` that no backend has: why a value cannot be checked."""


def documented_values(manifest: Manifest, directory: Path) -> Mapping[str, list[Case]]:
    """Cases from the catalogue, by checkpoint. Does not read captured traces (``parity.capture.pipeline.Derive``)."""
    catalogue = read_catalogue()
    return {record.name: list(_cases(record, catalogue)) for record in manifest.checkpoints}


def _cases(record: CheckpointRecord, catalogue: list[Value]) -> Iterator[Case]:
    published = hub_id(Path(record.path))
    for value in catalogue:
        if value.checkpoint == published and getattr(value, "model_class", record.documented_class) == (
            record.documented_class
        ):
            yield case_of(value, record)


def case_of(value: Value, record: CheckpointRecord) -> Case:
    """The case of one value for the checkpoint it documents.

    Where its input is not available, the case states the reason and is skipped for every backend.
    """
    name = f"documented.{value.id}"
    notes: Notes = {"value": value.model_dump(by_alias=True)}
    if isinstance(value, Tokens):
        settings = {"texts": [value.input], "pairs": [], "short": SHORT}
        return Case(name, "tokenize", settings=settings, requires=("tokenize",), notes=notes)
    model_spec = model_spec_of(record.config, record.documented_class)
    try:
        read, written = _tokenizers(value, record)
        return _MAKERS[type(value)](value, name, notes, model_spec, (read, written), Path(record.path))
    except (InputsFileError, CheckpointError) as error:
        return Case(name, "forward", requires=(LACKED,), notes={**notes, "lacking": {LACKED: str(error)}})


def _tokenizers(value: Value, record: CheckpointRecord) -> tuple[Encode, Encode]:
    """The tokenizers of the source and of the output."""
    if value.tokenizers is None:
        own = tokenizer(Path(record.path), record.config)
        return own, own
    paths = [resolve_checkpoint(each, offline=True) for each in value.tokenizers]
    read, written = (tokenizer(path, record.config) for path in paths)
    return read, written


def _source(read: Encode, text: str, pair: str | None = None) -> dict[str, Any]:
    ids = read(text, pair)
    return {"input_ids": [ids], "attention_mask": [[1] * len(ids)]}


def bare(write: Encode, text: str, special: set[int]) -> list[int]:
    """A text's tokens without the special ones."""
    return [token for token in write(text) if token not in special | set(write(""))]


def _text(value: Text, name: str, notes: Notes, model_spec: ModelSpec, by: tuple[Encode, Encode], path: Path) -> Case:
    read, write = by
    source = _source(read, value.input) if value.recording is None else recorded(value.recording)
    case = generation_case(
        name, model_spec, source, dict(value.arguments), generation_in_force(path, model_spec.positions), notes
    )
    forced = case.notes["settings"]["forced_bos_token_id"]
    special = model_spec.special | set(write("")) | ({forced} if isinstance(forced, int) else set())
    tokens = bare(write, value.expected, special)
    return replace(case, notes={**case.notes, "special": sorted(special), "tokens": tokens})


def _label(value: Label, name: str, notes: Notes, model_spec: ModelSpec, by: tuple[Encode, Encode], path: Path) -> Case:
    names = dict(model_spec.raw.get("id2label", {}))
    return Case(name, "forward", _source(by[0], value.input), notes={**notes, "names": names})


def _span(value: Span, name: str, notes: Notes, model_spec: ModelSpec, by: tuple[Encode, Encode], path: Path) -> Case:
    source = _source(by[0], value.input, value.pair)
    tokens = bare(by[1], value.expected, model_spec.special)
    return Case(name, "forward", source, notes={**notes, "tokens": tokens, "source": source["input_ids"][0]})


def _words(value: Words, name: str, notes: Notes, model_spec: ModelSpec, by: tuple[Encode, Encode], path: Path) -> Case:
    source = _source(by[0], value.input)
    mask = bare(by[1], value.mask, model_spec.special)
    if len(mask) != 1 or mask[0] not in source["input_ids"][0]:
        raise InputsFileError(f"{path}: its tokenizer has no mask token {value.mask!r}")
    tokens = [bare(by[1], f" {word}", model_spec.special) for word in value.expected]
    if parted := [word for word, each in zip(value.expected, tokens, strict=True) if len(each) != 1]:
        raise InputsFileError(f"{path}: its tokenizer has no token for {parted[0]!r}")
    notes = {**notes, "place": source["input_ids"][0].index(mask[0]), "tokens": [each[0] for each in tokens]}
    made = Case(name, "forward", source, requires=("default_decoder_inputs",), notes=notes)
    return made.without(model_spec.lacking_to_shift)


def _loss(value: Loss, name: str, notes: Notes, model_spec: ModelSpec, by: tuple[Encode, Encode], path: Path) -> Case:
    labels = dict(value.given) if value.target is None else {"labels": [by[1](value.target)]}
    inputs = {**_source(by[0], value.input, value.pair), **labels}
    return Case(name, "forward", inputs, requires=("labels",), notes=notes).without(model_spec.lacking_to_shift)


def _states(
    value: States, name: str, notes: Notes, model_spec: ModelSpec, by: tuple[Encode, Encode], path: Path
) -> Case:
    fed = {"decoder_input_ids": [[model_spec.start or 0]], "decoder_attention_mask": [[1]]}
    made = Case(name, "forward", {**_source(by[0], value.input), **fed}, notes=notes)
    return made.without({} if model_spec.start is not None else model_spec.lacking("decoder_start_token_id"))


_MAKERS: dict[type, Callable[..., Case]] = {
    Text: _text,
    Label: _label,
    Span: _span,
    Words: _words,
    Loss: _loss,
    States: _states,
}
