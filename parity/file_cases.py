"""Questions about files: ``config.json``, those of a tokenizer, and weights that a directory holds more than once.

Configs and tokenizers are put to the library's classes and to our own readers, the last to our readers alone.
"""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from parity import hostile_texts
from parity.anatomy import Anatomy, config_class
from parity.cases import Case
from parity.resources import data
from reference.config import CONFIG_FILE, read_json
from reference.errors import CheckpointError
from reference.tokenizer.added import read_settings
from reference.tokenizer.serialised import SERIALISED_FILE
from reference.tokenizer.vocabulary import read_merges, read_vocabulary
from reference.weights import find_weights, weight_files

VOCABULARY = ("vocab.json", "merges.txt")
"""What a BART tokenizer is made of (BART page, ``BartTokenizer``: ``vocab_file``, ``merges_file``)."""
BYTE_LEVEL = ("BartTokenizer", "RobertaTokenizer", "TokenizersBackend")
"""What ``tokenizer_class`` says of such a tokenizer: RoBERTa's is the same, and transformers 5 may name only its own
base class."""
SHORT = 7
"""Tokens that a row is cut or padded to."""
NO_FIELDS = ("model_type", "architectures", "transformers_version")
"""What a config.json says of the class and of who wrote it: every save writes it anew. So are names that begin with an
underscore, which are the library's own notes (``_name_or_path``)."""


@cache
def documented_configs() -> dict[str, Any]:
    """``parity/documented/configs.toml``."""
    return tomllib.loads(data("documented/configs.toml").read_text(encoding="utf-8"))


def file_cases(anatomy: Anatomy, path: Path) -> list[Case]:
    """``config``, and for BART's own classes ``tokenize``.

    Args:
        path: the checkpoint's directory.
    """
    named = config_class(anatomy.model_class)
    documented = documented_configs()[named]
    raw = read_json(path, CONFIG_FILE)
    parts = documented.get("halves", ())
    fields = _fields({*raw, *documented["arguments"]} - set(parts))
    halves = {half: _fields(raw[half]) for half in parts}
    settings = {"fields": fields, "common": list(documented["common"]), "halves": halves}
    cases = [Case("config", "config", settings=settings, requires=("config",), notes={"class": named})]
    if not anatomy.composed:
        cases.append(_tokenize(path))
    return [*cases, *_weight_files(path)]


def _weight_files(path: Path) -> list[Case]:
    """A comparison with the weight file that is read first for each other one, whole or an index of shards."""
    _, files = find_weights(path)
    cases = []
    for other, file in weight_files(path):
        if file.name == files[0].name:
            continue
        why = _no_reader(other.name)
        notes = {"roles": ["file"], **({"lacking": {f"read_{other.name}": why}} if why else {})}
        needs = (f"read_{other.name}",) if why else ()
        name = f"weight-files.{file.name}"
        cases.append(Case(name, "weight_files", settings={"file": file.name}, requires=needs, notes=notes))
    return cases


def _no_reader(format: str) -> str:
    """Why files of a format cannot be read here; "" where they can."""
    lacks = format == "h5" and importlib.util.find_spec("h5py") is None
    return "tf_model.h5 is read by the package h5py, which is not installed" if lacks else ""


def _fields(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name not in NO_FIELDS and not name.startswith("_"))


def _tokenize(path: Path) -> Case:
    why = _unread(path)
    texts = [*hostile_texts.texts(), *([] if why else hostile_texts.competing(_merges(path)))]
    settings = {"texts": texts, "pairs": hostile_texts.pairs(), "short": SHORT}
    notes = {"lacking": {"tokenizer_files": why} if why else {}, "serialised": (path / SERIALISED_FILE).is_file()}
    return Case("tokenize", "tokenize", settings=settings, requires=("tokenize", *notes["lacking"]), notes=notes)


def _merges(path: Path) -> list[tuple[str, str]]:
    """The checkpoint's own, best first; none where they cannot be read, which is for the checks to say."""
    try:
        return list(read_merges(path, read_vocabulary(path)))
    except CheckpointError:
        return []


def _unread(path: Path) -> str:
    """Why a checkpoint's tokenizer cannot be asked about; "" where it can.

    One of BART's two files without the other is no other kind of tokenizer but a broken one, and is asked about.
    """
    if not any((path / name).is_file() for name in VOCABULARY):
        return f"the checkpoint has no {' and no '.join(VOCABULARY)}"
    try:
        named = read_settings(path).get("tokenizer_class")
    except CheckpointError:
        return ""
    known = named is None or str(named).removesuffix("Fast") in BYTE_LEVEL
    return "" if known else f"a tokenizer of type {named} is not written here"


def documented_value(named: str, field: str, raw: Mapping[str, Any]) -> Any:
    """What a field is to be after reading: the file's value, or where it says nothing the documented default.

    Raises:
        KeyError: neither says anything of it.
    """
    return raw[field] if field in raw else documented_configs()[named]["arguments"][field]
