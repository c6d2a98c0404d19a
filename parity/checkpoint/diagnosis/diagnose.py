"""All diagnoses together: those that refuse a checkpoint, and those reported above its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from parity.checkpoint.diagnosis import directories, files, models, tensors
from parity.checkpoint.diagnosis.reading import json_object, names_in
from parity.checkpoint.diagnosis.settings import notices_of_settings
from parity.checkpoint.diagnosis.tokens import notices_of_tokens
from parity.core.model_spec import ModelSpec
from parity.core.records import Notice
from reference.config import CONFIG_FILE
from reference.errors import CheckpointError
from reference.generation import GENERATION_FILE
from reference.weights import FORMATS
from reference.weights.stored import Opened

LOOKED_AT = 64
"""Maximum number of files of a directory whose first bytes are read."""
_STEMS = "|".join(re.escape(Path(known.file).stem) for known in FORMATS)
_WEIGHTS = re.compile(rf"({_STEMS})(-\d+-of-\d+)?\.(safetensors|bin|h5|msgpack)(\.index\.json)?")
_TEXTS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)


def explained(path: Path, error: CheckpointError) -> CheckpointError:
    """The same refusal, preceded by a diagnosed cause if there is one; else the error itself."""
    notice = _reason_to_refuse(path, error)
    if notice is None or error.cause.startswith(notice.cause):
        return error
    where = "" if error.path == str(path) else f"{Path(error.path).name}: "
    return CheckpointError(path, f"{notice.cause}. What to do: {notice.advice} [{where}{error.cause}]")


def refusal(path: Path, opened: Opened) -> CheckpointError | None:
    """Why a readable checkpoint is not audited: its weights are quantised."""
    notice = tensors.quantised(json_object(path, CONFIG_FILE) or {}, opened)
    return None if notice is None else CheckpointError(path, f"{notice.cause}. What to do: {notice.advice}")


def _reason_to_refuse(path: Path, error: CheckpointError) -> Notice | None:
    if path.exists() and not path.is_dir():
        return directories.kind_of_file(path)
    raw, names = json_object(path, CONFIG_FILE), names_in(path)[0]
    file = Path(error.path)
    broken = files.notice_of(file) if file.parent == path else None
    if broken is not None:
        return broken
    if raw is not None:
        unusable = tensors.quantised(raw) or models.refusal(raw)
        # An unsupported model is unsupported in any form; the config of an adapter or export is less specific.
        if unusable is not None:
            return unusable
    kind = tensors.unread_dtype(error.cause) or next(files.unfinished(path, names), None) or directories.kind_of(path)
    return kind or _cut_short(error)


def _cut_short(error: CheckpointError) -> Notice | None:
    """A truncated weight file, as an interrupted download or a full disk leaves it."""
    if not re.search(r"^truncated|larger than the file|truncated or damaged", error.cause):
        return None
    name = Path(error.path).name
    return Notice(
        id="truncated-file",
        cause=f"{name} ends before its last tensor: a download, a copy or a save that was cut short",
        advice=f"fetch or save {name} again",
    )


def notices_of(path: Path, opened: Opened, model_spec: ModelSpec) -> list[Notice]:
    """Notices reported once, above the tensors, for a checkpoint that can be audited."""
    return list(_unique(_all(path, opened, model_spec)))


def _all(path: Path, opened: Opened, model_spec: ModelSpec) -> Iterator[Notice]:
    raw = json_object(path, CONFIG_FILE) or {}
    yield from tensors.notices_of_loading(raw)
    yield from tensors.notices_of_names(opened, model_spec.table, model_spec.model_class)
    stored = json_object(path, GENERATION_FILE)
    if model_spec.generates:
        yield from notices_of_settings(model_spec, raw, stored)
    yield from notices_of_tokens(model_spec, (model_spec.generates and stored) or {})
    names = names_in(path)[0]
    for name in sorted(name for name in names if name in _TEXTS or _WEIGHTS.fullmatch(name))[:LOOKED_AT]:
        notice = files.notice_of(path / name)
        if notice is not None:
            yield notice
    yield from files.unfinished(path, names)
    beside = directories.adapter(directories.Listing(path))
    if beside is not None:
        yield beside


def _unique(notices: Iterable[Notice]) -> Iterator[Notice]:
    seen = set()
    for notice in notices:
        if (notice.id, notice.cause) not in seen:
            seen.add((notice.id, notice.cause))
            yield notice
