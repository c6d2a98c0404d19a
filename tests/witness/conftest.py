"""keras-hub's BART captured as any third party's backend is: in a worker, which finds it through an entry point."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from safetensors.numpy import save_file

from parity.resources import fixture
from reference.config import BartConfig
from reference.names import expected_parameters

HERE = Path(__file__).parent
EVEN = {
    "model_type": "bart", "architectures": ["BartForConditionalGeneration"], "vocab_size": 83, "d_model": 28,
    "max_position_embeddings": 19, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 37, "decoder_ffn_dim": 37, "activation_function": "gelu",
    "scale_embedding": False, "tie_word_embeddings": True, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    "decoder_start_token_id": 2,
}  # fmt: skip
"""Both halves of one size and nothing scaled: what a ``BartSeq2SeqLM`` can be, with nothing of ours in between."""


def write_even(directory: Path) -> Path:
    """A checkpoint of the sizes ``EVEN``; every weight drawn, far from zero, biases and norms too."""
    directory.mkdir()
    rng = np.random.default_rng(20261121)
    shapes = {name: parameter.shape for name, parameter in expected_parameters(BartConfig.from_dict(EVEN)).items()}
    centres = {name: 1.0 if "norm" in name and name.endswith("weight") else 0.1 for name in shapes}
    weights = {name: rng.normal(centres[name], 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    (directory / "config.json").write_text(json.dumps(EVEN, indent=2), encoding="utf-8")
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def install(site: Path) -> None:
    """The witness as a distribution, which names it in an entry point."""
    package, information = site / "parity_keras_hub", site / "parity_keras_hub-1.0.dist-info"
    package.mkdir(parents=True)
    information.mkdir()
    shutil.copyfile(HERE / "keras_hub_bart.py", package / "__init__.py")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: parity-keras-hub\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[encdec_parity.backends]\nkeras-hub = parity_keras_hub:KerasHub\n")


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``tests.witness.ask`` filled, once for all of pytest's workers."""
    if importlib.util.find_spec("keras_hub") is None:
        pytest.skip("keras-hub is not installed: the extra `witness`")
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, cache = base / "witness", base / "product-cache"
    # The cache of tests/product, and its lock: the fixture's oracle and yardsticks are the same.
    with FileLock(f"{cache}.lock"):
        if not (folder / "finished").exists():
            ask(folder, cache)
            (folder / "finished").touch()
    return folder


def ask(folder: Path, cache: Path) -> None:
    """Captures the witness on what it can express, then asks it again with each fault."""
    install(folder / "site")
    checkpoints = [fixture("bart-odd"), write_even(folder / "even")]
    command = [sys.executable, "-m", "tests.witness.ask", *map(str, (folder, cache, *checkpoints))]
    variables = {**os.environ, "PYTHONPATH": str(folder / "site")}
    done = subprocess.run(command, cwd=HERE.parents[1], env=variables, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
