"""Decides which backends must not load a checkpoint, because what they would read may be more than data.

A library chooses one of several weight files by name. Where the file it would choose cannot be examined, or a config
names code or files elsewhere, the backend's cells fail with that reason and the library is never called: substituting
another file would not show what a user gets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from parity.checkpoint.conversion import flags_needed
from parity.checkpoint.files import (
    CONFIG_FILE,
    TOKENIZER_CONFIG,
    explicit_weights,
    is_plain,
    json_object,
    versioned_names,
)
from parity.checkpoint.weight_precedence import file_read
from parity.core.backends import Entry, find_entry, library_backends

_TF1 = "model.ckpt.index"
RELEASES = ((4, 37, 2), (4, 57, 6))
"""transformers releases between which the order of weight files changed."""


def refusal(backend: str, directory: Path, names: Collection[str], unexamined: Mapping[str, str]) -> str:
    """Why a backend must not load a checkpoint; empty where it may.

    Args:
        names: the files of the checkpoint that backends receive. unexamined: those that cannot be examined, with the
            reason.
    """
    if find_entry(backend).reads_data_only:
        return ""
    return next((reason for rule in _RULES for reason in rule(backend, directory, names, unexamined)), "")


def chosen(backend: str, flags: Collection[str], names: Collection[str]) -> set[str]:
    """Weight files that any library release from 4.37 to 5.23 may choose from these, with these flags.

    Sources: ``parity.checkpoint.weight_precedence``; for ``from_tf`` and ``from_flax`` transformers 4.37.2 and 4.57.6,
    modeling_utils.py, ``from_pretrained``.
    """
    first = [file_read(backend, version, names, "from_pt" in flags) for version in RELEASES]
    if "from_tf" in flags:
        # A composition may be loaded by its TensorFlow class first (modeling_encoder_decoder.py).
        first = [next((name for name in (_TF1, "tf_model.h5") if name in names), None), *first]
        others = library_backends(framework="tensorflow")
        first += [file_read(other, version, names) for other in others for version in RELEASES]
    if "from_flax" in flags and "flax_model.msgpack" in names:
        first = ["flax_model.msgpack"]
    return {name for name in first if name is not None}


def _of_weights(backend: str, directory: Path, names: Collection[str], unexamined: Mapping[str, str]) -> Iterator[str]:
    entry = find_entry(backend)
    if entry.component != "model":
        return
    if entry.weights is None:
        # Which file a third party's backend would choose is unknown.
        read: Collection[str] = names
    else:
        flags = flags_needed(directory, entry.weights.own, entry.weights.converts)
        beside = [_TF1] if (directory / _TF1).exists() else []
        read = chosen(backend, flags, [*names, *beside])
        if _TF1 in read:
            yield f"{_TF1} would be read by this backend, and nothing here can examine a checkpoint of TensorFlow 1"
        if _may_be_pytorchs(entry):
            read |= set(explicit_weights(directory, names))
    for name in sorted(read):
        if name in unexamined:
            yield f"{name}, which this backend would read, is not known to hold tensors alone: {unexamined[name]}"


def _explicit(backend: str, directory: Path, names: Collection[str], unexamined: Mapping[str, str]) -> Iterator[str]:
    if not _may_be_pytorchs(find_entry(backend)):
        return
    for name in explicit_weights(directory, names):
        if not is_plain(name):
            yield f"{CONFIG_FILE} names transformers_weights {name!r:.100}, which lies outside the directory"
        elif not name.endswith((".safetensors", ".safetensors.index.json")):
            yield f"{CONFIG_FILE} names transformers_weights {name!r:.100}, which is of no known format"


def _versioned(backend: str, directory: Path, names: Collection[str], unexamined: Mapping[str, str]) -> Iterator[str]:
    for holder in (CONFIG_FILE, *([TOKENIZER_CONFIG] if _reads_tokenizers(backend) else [])):
        for name in versioned_names(directory, holder) if holder in names else ():
            if not is_plain(name):
                yield f"{holder} names the file {name!r:.100} for some version, which lies outside the directory"


def _halves(backend: str, directory: Path, names: Collection[str], unexamined: Mapping[str, str]) -> Iterator[str]:
    """A half is built from its own part of the config, in a directory without the checkpoint's other files."""
    for name in configs_of(directory, names):
        for half in ("encoder", "decoder"):
            own = json_object(directory, name).get(half)
            for key in ("transformers_weights", "configuration_files"):
                if isinstance(own, dict) and own.get(key) is not None:
                    yield f"{name} names {key} of its {half} alone, which a library would look for elsewhere"


def _kernels(backend: str, directory: Path, names: Collection[str], unexamined: Mapping[str, str]) -> Iterator[str]:
    """An attention from a hub repository is downloaded and imported where the package ``kernels`` is installed."""
    if not _may_be_pytorchs(find_entry(backend)):
        return
    for name in configs_of(directory, names):
        for key, value in _settings(json_object(directory, name)):
            if "attn_implementation" in key and any("/" in text for text in _texts(value)):
                yield f"{name} names the attention {value!r:.100}, which a library would fetch and import"


def _tokenizer(backend: str, directory: Path, names: Collection[str], unexamined: Mapping[str, str]) -> Iterator[str]:
    """File names in a tokenizer's config take precedence over the files in the directory, wherever they point.

    Source: transformers 4.37.2 and 4.57.6, tokenization_utils_base.py, ``_from_pretrained``: a resolved file is passed
    on only where the config has no argument of that name, and ``init_inputs`` are passed on as they are.
    """
    if not _reads_tokenizers(backend) or TOKENIZER_CONFIG not in names:
        return
    settings = json_object(directory, TOKENIZER_CONFIG)
    for key, value in settings.items():
        if key in _TOKENIZER_ARGUMENTS and isinstance(value, str):
            yield f"{TOKENIZER_CONFIG} names a file of its own as {key}, {value!r:.100}, which a library would read"
    if any(_texts(settings.get("init_inputs"))):
        yield f"{TOKENIZER_CONFIG} has init_inputs, which a library would read files by"


def _reads_tokenizers(backend: str) -> bool:
    entry = find_entry(backend)
    return not entry.library or entry.component == "tokenizer"


def _may_be_pytorchs(entry: Entry) -> bool:
    """Whether it loads through the library's PyTorch classes, as a third party's backend may."""
    return entry.component == "model" and (not entry.library or entry.framework == "torch")


_TOKENIZER_ARGUMENTS = ("vocab_file", "merges_file", "tokenizer_file", "spm_file", "vocab", "merges", "sp_model_file")
_RULES: tuple[Callable[[str, Path, Collection[str], Mapping[str, str]], Iterator[str]], ...] = (
    _versioned,
    _explicit,
    _halves,
    _kernels,
    _tokenizer,
    _of_weights,
)


def configs_of(directory: Path, names: Collection[str]) -> list[str]:
    """``config.json`` and the files it names for other versions, where they exist."""
    return [name for name in (CONFIG_FILE, *versioned_names(directory, CONFIG_FILE)) if name in names]


def _settings(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings of a config and of its halves. The nesting depth is the file's choice, so this does not recurse."""
    waiting: list[Any] = [config]
    while waiting:
        for key, value in waiting.pop().items():
            yield key, value
            if isinstance(value, dict):
                waiting.append(value)


def _texts(value: Any) -> Iterator[str]:
    """The strings in a value, at any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
