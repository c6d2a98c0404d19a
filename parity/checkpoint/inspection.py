"""Resolves a checkpoint, a directory or a hub id, and checks that it is readable before anything is captured."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from parity.checkpoint.diagnosis import explained, notices_of, refusal
from parity.checkpoint.facts import file_facts
from parity.checkpoint.files import HandedFile, digested, examine, list_files, statuses
from parity.checkpoint.generation_settings import generation_in_force
from parity.core.model_spec import ModelSpec, model_spec_of
from parity.core.records import FileFacts, Notice
from reference.config import CONFIG_FILE, Config, EncoderDecoderConfig, read_config, read_json
from reference.errors import CheckpointError
from reference.weights import find_weights, open_weights
from reference.weights.bounds import check_requested_size

HUB_PATTERNS = ("*.json", "*.safetensors", "*.bin", "*.msgpack", "*.h5", "*.txt")
"""Files downloaded from a hub: no code, and weights of every format, because each backend reads its own."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose config and weight headers have been read."""

    name: str
    """The directory's last component; for a snapshot in a hub cache, the hub id's."""
    path: Path
    digest: str
    """sha256 over the names and bytes of ``files``."""
    config: dict[str, Any]
    """``config.json`` with the documented defaults of all fields it omits."""
    model_class: str
    """The documented class it is loaded as, by its PyTorch name."""
    generation: dict[str, Any]
    """The generation settings in force without arguments, by documented name, and which of them cannot be judged
    (``parity.checkpoint.generation_settings``)."""
    files: tuple[str, ...]
    """All relevant files (config, generation config, weights of all formats, tokenizer), sorted."""
    format: str
    """The format of the weights our own readers read: ``safetensors``, ``bin``, ``h5`` or ``msgpack``."""
    weight_bytes: int
    """Size in float32 of all tensors in those files, each array once."""
    handed: tuple[HandedFile, ...] = ()
    """The same files, each with its status and digest."""
    unused: tuple[str, ...] = ()
    """Other entries of the directory, which no backend receives."""
    unexamined: Mapping[str, str] = field(default_factory=dict)
    """Weight files that may contain more than tensors, with the reason (``parity.checkpoint.files.examine``)."""
    notices: tuple[Notice, ...] = ()
    """Diagnosed problems (``parity.checkpoint.diagnosis``)."""
    facts: FileFacts = field(default_factory=FileFacts)
    """Facts about the files for the conditions of known issues."""

    @property
    def model_spec(self) -> ModelSpec:
        """The model spec."""
        return model_spec_of(self.config, self.model_class)


def inspect_checkpoint(path: Path, model_class: str | None = None) -> Checkpoint:
    """Reads the config and the headers of the weights, and computes the checkpoint's digest.

    Args:
        model_class: the documented class to load it as, by its PyTorch name; the one it was saved by where None.

    Weights are streamed for the digest, not loaded. Missing, surplus or misshapen parameters are left to the checks:
    only an unreadable file is invalid input.

    Raises:
        CheckpointError: no such directory, no or a broken ``config.json`` or ``generation_config.json``, a
            ``model_type`` or class that is not judged here, inconsistent sizes, no weight file or an unreadable one,
            quantised weights. A diagnosed cause comes first in the message.
    """
    try:
        return _inspect(path, model_class)
    except CheckpointError as error:
        raise explained(path, error) from error


def _inspect(path: Path, model_class: str | None) -> Checkpoint:
    listing = list_files(path)
    before = statuses(listing)
    config = filled(read_json(path, CONFIG_FILE), read_config(path))
    model_spec = model_spec_of(config, model_class, path / CONFIG_FILE)
    known, weights = find_weights(path)
    opened = open_weights(known, weights)
    if (refused := refusal(path, opened)) is not None:
        raise refused
    check_requested_size(model_spec.config, model_spec.model_class, opened, path / CONFIG_FILE)
    unexamined = examine(listing)
    generation = generation_in_force(path, model_spec.positions) if model_spec.generates else {}
    notices, files = tuple(notices_of(path, opened, model_spec)), tuple(listing.paths)
    facts = file_facts(path, model_spec.model_class, files, generation)
    # A tied table has several names in some formats.
    arrays = {each.identity or name: each for name, each in opened.tensors.items()}
    handed = digested(listing, before)  # after all other reads
    return Checkpoint(
        name=_name(path),
        path=path,
        digest=_digest(handed),
        config=config,
        model_class=model_spec.model_class,
        generation=generation,
        files=files,
        format=known.name,
        weight_bytes=4 * sum(math.prod(each.shape) for each in arrays.values()),
        handed=handed,
        unused=listing.unused,
        unexamined=unexamined,
        notices=notices,
        facts=facts,
    )


def filled(raw: dict[str, Any], config: Config) -> dict[str, Any]:
    """``config.json`` with every documented default, including those of a composition's halves."""
    if isinstance(config, EncoderDecoderConfig):
        halves = {half: filled(raw[half], getattr(config, half)) for half in ("encoder", "decoder")}
        own = ("decoder_start_token_id", "pad_token_id", "eos_token_id")
        return {**{name: getattr(config, name) for name in own}, **raw, **halves}
    # bert-generation has no token types, and no field for their number.
    undocumented = ("others", "type_vocab_size") if config.model_type == "bert-generation" else ("others",)
    return {key: value for key, value in asdict(config).items() if key not in undocumented} | raw


def hub_id(path: Path) -> str | None:
    """``facebook/bart-base`` for ``models--facebook--bart-base/snapshots/<revision>``; None for any other directory."""
    parts = path.resolve().parts
    if len(parts) >= 3 and parts[-2] == "snapshots" and parts[-3].startswith("models--"):
        return parts[-3].removeprefix("models--").replace("--", "/")
    return None


def _name(path: Path) -> str:
    """``facebook--bart-base`` of a snapshot in a hub cache, else the directory's last part."""
    if published := hub_id(path):
        return published.replace("/", "--")
    parts = path.resolve().parts
    return parts[-1] if len(parts) > 1 else "checkpoint"


def _digest(files: Sequence[HandedFile]) -> str:
    """sha256 over each file's name and digest, ordered by name."""
    lines = "".join(f"{file.name}\0{file.sha256}\n" for file in files)
    # A file name may not be valid UTF-8.
    return hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()


def resolve_checkpoint(text: str, offline: bool = False, cache: Path | None = None, revision: str = "") -> Path:
    """Resolves a path or a hub id (``name`` or ``owner/name``) to a directory.

    A directory takes precedence over a hub id of the same name. Giving an id permits the download; with ``offline``
    only the cache is searched.

    Args:
        cache: the folder of snapshots; None for the hub library's own cache.
        revision: a branch, tag or commit of the hub; empty for the default branch.

    Raises:
        CheckpointError: no such directory, no such id or revision, or the download failed.
    """
    if not text:
        raise CheckpointError("''", "no such directory")
    path = Path(text).expanduser()
    if path.is_dir():
        if revision:
            raise CheckpointError(text, f"a directory has no revision {revision}")
        return path
    if path.exists():
        raise explained(path, CheckpointError(text, "not a directory"))
    if _looks_like_path(text):
        raise CheckpointError(text, "no such directory")
    return _fetch(text, offline, cache, revision)


def _looks_like_path(text: str) -> bool:
    """Whether a text is a path: by its form, or because it is below an existing directory."""
    if _HUB_ID.fullmatch(text) is None or "--" in text or ".." in text:
        return True
    return "/" in text and Path(text).parent.is_dir()


def _fetch(hub_id: str, offline: bool, cache: Path | None, revision: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        message = f"no such directory; as a hub id it needs the package huggingface_hub, which is missing: {error}"
        raise CheckpointError(hub_id, message) from error
    try:
        found = snapshot_download(
            hub_id,
            revision=revision or None,
            cache_dir=cache,
            local_files_only=offline,
            allow_patterns=list(HUB_PATTERNS),
            max_workers=2,
        )
    except LocalEntryNotFoundError as error:
        cause = "it is not in the cache, and --offline forbids to fetch it" if offline else "the hub cannot be reached"
        raise CheckpointError(hub_id, f"no such directory; as a hub id: {cause}") from error
    except GatedRepoError as error:
        raise CheckpointError(hub_id, "the hub asks for permission to fetch it") from error
    except RevisionNotFoundError as error:
        raise CheckpointError(hub_id, f"the hub has no revision {revision} of it") from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(hub_id, "no such directory, and the hub knows no such id") from error
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise CheckpointError(hub_id, f"cannot be fetched from the hub: {first[0]}") from error
    return Path(found)
