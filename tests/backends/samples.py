"""What the adapters' tests ask, and the process that answers; every axis has its own size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from parity.cases import IGNORED

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "fixtures" / "checkpoints" / "bart-odd"
CONFIG = json.loads((CHECKPOINT / "config.json").read_text(encoding="utf-8"))
BATCH, SRC, TGT = 2, 7, 5


def given() -> dict[str, np.ndarray]:
    """The documented call with nothing left to a default; the second row is shorter."""
    rng = np.random.default_rng(3)
    source = rng.integers(4, CONFIG["vocab_size"], (BATCH, SRC))
    mask = np.ones_like(source)
    source[1, 5:], mask[1, 5:] = CONFIG["pad_token_id"], 0
    target = rng.integers(4, CONFIG["vocab_size"], (BATCH, TGT))
    return {"input_ids": source, "attention_mask": mask, "decoder_input_ids": target}


def labelled() -> dict[str, np.ndarray]:
    """The same with labels in place of the decoder's inputs; two of them ignored, none of them padding."""
    inputs = given()
    labels = np.random.default_rng(5).integers(4, CONFIG["vocab_size"], (BATCH, TGT))
    labels[0, 3:] = IGNORED
    return {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"], "labels": labels}


def head_masks() -> dict[str, np.ndarray]:
    """Silences one head of each attention."""
    masks = {}
    for name, part in (("head_mask", "encoder"), ("decoder_head_mask", "decoder"), ("cross_attn_head_mask", "decoder")):
        masks[name] = np.ones((CONFIG[f"{part}_layers"], CONFIG[f"{part}_attention_heads"]))
        masks[name][0, 1] = 0.0
    return masks


@dataclass(frozen=True)
class Answers:
    """What one backend said."""

    told: dict[str, Any]
    folder: Path
    stdout: str

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"{name}.npz") as file:
            return dict(file)


@cache
def answers(backend: str, variant: str = "eager", *dtypes: str) -> Answers:
    """Asks a backend in a process of its own, once in a test session."""
    folder = Path(tempfile.mkdtemp(prefix=f"asked-{backend}-"))
    compiled = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(folder))
    command = [sys.executable, "-m", "tests.backends.ask", backend, variant, str(folder), *dtypes]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "ASK_CACHE": compiled}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    return Answers(told, folder, done.stdout)
