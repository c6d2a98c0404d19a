"""Questions about the files beside the weights: ``config.json``, and those of a tokenizer.

They are put to the library's config and tokenizer classes and to our own readers of these files, not to models.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from parity import hostile_texts
from parity.anatomy import Anatomy
from parity.cases import Case
from parity.resources import data

VOCABULARY = ("vocab.json", "merges.txt")
"""What a BART tokenizer is made of (BART page, ``BartTokenizer``: ``vocab_file``, ``merges_file``)."""
SHORT = 7
"""Tokens that a row is cut or padded to."""


@cache
def documented_configs() -> dict[str, Any]:
    """``parity/documented/configs.toml``."""
    return tomllib.loads(data("documented/configs.toml").read_text(encoding="utf-8"))


def config_class(anatomy: Anatomy) -> str:
    """The documented config class of a checkpoint."""
    if not anatomy.composed:
        return "BartConfig"
    return "SpeechEncoderDecoderConfig" if anatomy.speech is not None else "EncoderDecoderConfig"


def file_cases(anatomy: Anatomy, path: Path) -> list[Case]:
    """``config``, and for BART's own classes ``tokenize``.

    Args:
        path: the checkpoint's directory.
    """
    named = config_class(anatomy)
    documented = documented_configs()[named]
    raw = json.loads((path / "config.json").read_text(encoding="utf-8"))
    fields = sorted({*raw, *documented["arguments"]} - {"model_type", "architectures", *documented.get("halves", ())})
    halves = {half: sorted(set(raw[half]) - {"model_type"}) for half in documented.get("halves", ())}
    settings = {"fields": fields, "common": list(documented["common"]), "halves": halves}
    cases = [Case("config", "config", settings=settings, requires=("config",), notes={"class": named})]
    if not anatomy.composed:
        cases.append(_tokenize(path))
    return cases


def _tokenize(path: Path) -> Case:
    missing = [name for name in VOCABULARY if not (path / name).is_file()]
    lacking = {"tokenizer_files": f"the checkpoint has no {' and no '.join(missing)}"} if missing else {}
    return Case(
        "tokenize",
        "tokenize",
        settings={"texts": hostile_texts.texts(), "pairs": hostile_texts.pairs(), "short": SHORT},
        requires=("tokenize", *lacking),
        notes={"lacking": lacking},
    )


def documented_value(named: str, field: str, raw: Mapping[str, Any]) -> Any:
    """What a field is to be after reading: the file's value, or where it says nothing the documented default.

    Raises:
        KeyError: neither says anything of it.
    """
    return raw[field] if field in raw else documented_configs()[named]["arguments"][field]
