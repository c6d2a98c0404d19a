"""Cases about files: ``config.json``, tokenizer files, and additional weight files in the directory.

Configs and tokenizers are read by the library's classes and by our own readers, weight files by our readers only.
"""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from parity.cases import tokenizer_texts
from parity.core.case import Case, Notes
from parity.core.model_spec import ModelSpec, config_class
from parity.core.resources import data
from reference.config import CONFIG_FILE, read_json
from reference.errors import CheckpointError
from reference.tokenizer.added import read_settings
from reference.tokenizer.inventory import WORDS_FILE
from reference.tokenizer.serialised import SERIALISED_FILE, is_alone, ranks_of, read_serialised
from reference.tokenizer.vocabulary import read_merges, read_vocabulary
from reference.weights import Format, files_of, find_weights, open_weights, weight_files

VOCABULARY = ("vocab.json", "merges.txt")
"""The files of a BART tokenizer (BART page, ``BartTokenizer``: ``vocab_file``, ``merges_file``)."""
BYTE_LEVEL = ("BartTokenizer", "RobertaTokenizer", "TokenizersBackend")
"""Values of ``tokenizer_class`` for such a tokenizer. RoBERTa's is the same, and transformers 5 may name only its base
class."""
UNNAMED = "PreTrainedTokenizer"
"""The base class that saves a ``tokenizer.json`` of any kind."""
PIECES_FILES = ("sentencepiece.bpe.model", "spiece.model", "tokenizer.model")
TOKENIZER_FILES = (*VOCABULARY, SERIALISED_FILE, WORDS_FILE, *PIECES_FILES)
"""Files whose presence shows that a checkpoint has a tokenizer."""
SHORT = 7
"""Tokens that a row is truncated or padded to."""
NO_FIELDS = ("model_type", "architectures", "transformers_version", "attn_implementation", "transformers_weights")
"""Fields of config.json about the class and the writer, which every save rewrites, as it does names with a leading
underscore, the library's own notes (``_name_or_path``). The last two control loading while the file is read and are not
fields of the result."""


@cache
def documented_configs() -> dict[str, Any]:
    """``parity/cases/data/configs.toml``."""
    return tomllib.loads(data("cases/data/configs.toml").read_text(encoding="utf-8"))


def file_cases(model_spec: ModelSpec, path: Path) -> list[Case]:
    """Case ``config``, the tokenizer's cases, and ``weight-files.NAME`` for each additional weight file.

    Args:
        path: the checkpoint's directory.
    """
    named = config_class(model_spec.model_class)
    documented = documented_configs()[named]
    raw = read_json(path, CONFIG_FILE)
    parts = documented.get("halves", ())
    fields = _fields({*raw, *documented["arguments"]} - set(parts))
    halves = {half: _fields(raw[half]) for half in parts}
    settings = {"fields": fields, "common": list(documented["common"]), "halves": halves}
    cases = [Case("config", "config", settings=settings, requires=("config",), notes={"class": named})]
    return [*cases, *_tokenizer_cases(model_spec, path), *_weight_files(path)]


def _weight_files(path: Path) -> list[Case]:
    """Compares the weight file that is read first with each other one; either may be an index of shards."""
    _, files = find_weights(path)
    cases = []
    for other, file in weight_files(path):
        if file.name == files[0].name:
            continue
        why = _no_reader(other.name)
        notes: Notes = {"roles": ["file"]}
        if why:
            notes["lacking"] = {f"read_{other.name}": why}
        needs = (f"read_{other.name}",) if why else ()
        name = f"weight-files.{file.name}"
        settings = {"file": file.name, "unreadable": "" if why else _unreadable(other, file)}
        cases.append(Case(name, "weight_files", settings=settings, requires=needs, notes=notes))
    return cases


def _unreadable(known: Format, file: Path) -> str:
    """Why a weight file cannot be read; "" where it can. The comparison only receives readable files."""
    try:
        open_weights(known, files_of(known, file))
    except CheckpointError as error:
        return error.cause
    return ""


def _no_reader(format: str) -> str:
    """Why files of a format cannot be read here; "" where they can."""
    lacks = format == "h5" and importlib.util.find_spec("h5py") is None
    return "reading tf_model.h5 needs the package h5py, which is not installed" if lacks else ""


def _fields(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name not in NO_FIELDS and not name.startswith("_"))


def _tokenizer_cases(model_spec: ModelSpec, path: Path) -> list[Case]:
    """Case ``tokenize``; where our own tokenizer does not support the type, ``tokenizer-files`` for the rest.

    For a composition without tokenizer files there is neither case.
    """
    there = [name for name in TOKENIZER_FILES if (path / name).is_file()]
    if model_spec.composed and not there:
        return []
    why = _unread(path, model_spec.composed)
    apart = bool(why) and any((path / name).is_file() for name in (SERIALISED_FILE, VOCABULARY[0], WORDS_FILE))
    texts = [*tokenizer_texts.texts(), *([] if why else tokenizer_texts.competing(_merges(path)))]
    settings = {"texts": texts, "pairs": tokenizer_texts.pairs(), "short": SHORT}
    serialised = (path / SERIALISED_FILE).is_file()
    alone = not why and is_alone(path)
    lacking = {"tokenizer_files": why} if why else {}
    notes: Notes = {"lacking": lacking, "serialised": serialised and not alone}
    if apart:
        notes["ids_apart"] = True
    needs = ("tokenize", *lacking, *(("serialised_tokenizer",) if alone else ()), *_form_of_merges(path))
    cases = [Case("tokenize", "tokenize", settings=settings, requires=needs, notes=notes)]
    if apart:
        both = serialised and any((path / name).is_file() for name in (VOCABULARY[0], WORDS_FILE))
        cases.append(Case("tokenizer-files", "tokenizer_files", notes={"roles": ["file"], "serialised": both}))
    return cases


def _form_of_merges(path: Path) -> tuple[str, ...]:
    """How ``tokenizer.json`` writes merges, which its readers depend on; empty where it cannot be read."""
    try:
        found = read_serialised(path)
    except CheckpointError:
        return ()
    return ("paired_merges",) if found is not None and found.paired else ()


def _merges(path: Path) -> list[tuple[str, str]]:
    """The checkpoint's own merges, best first; empty where they cannot be read, which the checks report."""
    try:
        if is_alone(path):
            found = read_serialised(path)
            return [] if found is None else list(ranks_of(found, path / SERIALISED_FILE))
        return list(read_merges(path, read_vocabulary(path)))
    except CheckpointError:
        return []


def _unread(path: Path, composed: bool) -> str:
    """Why a checkpoint's tokenizer cannot be checked on texts; "" where it can.

    One of BART's two files without the other, and without ``tokenizer.json``, is a broken BART tokenizer, not another
    type, and is checked.
    """
    try:
        named = read_settings(path).get("tokenizer_class")
    except CheckpointError:
        named = None
    kind = str(named).removesuffix("Fast")
    if is_alone(path):
        return _not_ours(path, kind)
    if not any((path / name).is_file() for name in VOCABULARY):
        if (path / WORDS_FILE).is_file():
            return "WordPiece tokenizers are not supported here"
        pieces = next((name for name in PIECES_FILES if (path / name).is_file()), None)
        if pieces is not None:
            return f"{pieces} holds a SentencePiece model, which is not supported here"
        return f"the checkpoint has no {' and no '.join(VOCABULARY)}"
    if composed and named is None and not all((path / name).is_file() for name in VOCABULARY):
        return "vocab.json or merges.txt alone does not determine the tokenizer type of a composition"
    return "" if named is None or kind in BYTE_LEVEL else f"tokenizers of type {named} are not supported here"


def _not_ours(path: Path, kind: str) -> str:
    """Why the tokenizer of a ``tokenizer.json`` is not supported; "" where it is, or where the file cannot be read."""
    try:
        found = read_serialised(path)
    except CheckpointError:
        return ""
    if found is None or found.not_byte_level:
        return f"only byte-level BPE tokenizers as BART's are supported here: {found and found.not_byte_level}"
    if kind not in ("None", *BYTE_LEVEL, UNNAMED):
        return f"tokenizers of type {kind} are not supported here"
    framed = kind in BYTE_LEVEL[:2] or found.frame
    return "" if framed else "tokenizers that add no special tokens around a text are not supported here"


def documented_value(named: str, field: str, raw: Mapping[str, Any]) -> Any:
    """The expected value of a field after reading: the file's value, else the documented default.

    Raises:
        KeyError: neither defines it.
    """
    return raw[field] if field in raw else documented_configs()[named]["arguments"][field]
