"""keras-hub is asked in processes of its own: its BART as an engine of an audit, its other models directly."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from parity.core.resources import fixture
from parity.tools.fuzz import architectures as draw
from reference.config import BartConfig
from reference.names import table_of
from tests.end_to_end.conftest import shared_cache
from tests.keras_hub.backbones import CONFIGS, write, write_weights

HERE = Path(__file__).parent
EVEN = {
    "model_type": "bart",
    "architectures": ["BartForConditionalGeneration"],
    "vocab_size": 83,
    "d_model": 28,
    "max_position_embeddings": 19,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
    "activation_function": "gelu",
    "scale_embedding": False,
    "tie_word_embeddings": True,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
"""Both halves of one size and nothing scaled: what a ``BartSeq2SeqLM`` can be, with nothing of ours in between."""


def write_even(directory: Path) -> Path:
    """A checkpoint of the sizes ``EVEN``; every weight drawn, biases and norms too."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(EVEN, indent=2), encoding="utf-8")
    table = table_of(BartConfig.from_dict(EVEN))
    write_weights(directory, draw.weights(table, np.random.default_rng(20261121), 0.2))
    return directory


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all of pytest's workers have in common; skips where there is no witness to ask."""
    if importlib.util.find_spec("keras_hub") is None:
        pytest.skip("keras-hub is not installed: the extra `witness`")
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def asked(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``tests.keras_hub.ask`` filled, once for all of pytest's workers."""
    folder = shared / "witness"
    with FileLock(f"{folder}.lock"):
        if not (folder / "finished").exists():
            # The cache of tests/end_to_end has the same oracle and noise floors. Its lock is not taken: a worker of
            # pytest would wait for the audit of all fixtures.
            ask(folder, shared_cache(tmp_path_factory))
            (folder / "finished").touch()
    return folder


@pytest.fixture(scope="session")
def backbones(shared: Path) -> Path:
    """A checkpoint of each family, and under ``answers`` what ``tests.keras_hub.ask_backbones`` was told of them."""
    folder = shared / "witness-backbones"
    with FileLock(f"{folder}.lock"):
        if not (folder / "finished").exists():
            run("tests.keras_hub.ask_backbones", folder / "answers", *(write(folder / name, name) for name in CONFIGS))
            (folder / "finished").touch()
    return folder


def ask(folder: Path, cache: Path) -> None:
    """Captures the witness on what it can express, then asks it again with each fault."""
    checkpoints = [fixture("bart-odd"), write_even(folder / "even")]
    run("tests.keras_hub.ask", folder, cache, *checkpoints)


def run(module: str, *arguments: Path) -> None:
    """In a process of its own, where Keras may be told its backend."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
