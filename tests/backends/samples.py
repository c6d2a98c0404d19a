"""The inputs of the adapters' tests, and the process that captures outputs; every axis has its own size."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from parity.core.case import IGNORED

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "fixtures" / "checkpoints" / "bart-odd"
CONFIG = json.loads((CHECKPOINT / "config.json").read_text(encoding="utf-8"))
BATCH, SRC, TGT = 2, 7, 5
LIMIT = 1500.0
"""Seconds for all answers of one backend. Beside audits on two cores XLA's compilations take several times as long."""


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


REORDER = (3, (1, 0))
"""From which token on each row goes on as which one."""

LAYERS = ("encoder.hidden.1", "decoder.hidden.1")
"""States that one layer is given turned round, while all others are given their own."""

PLAIN = {"num_beams": 1, "min_length": 0, "no_repeat_ngram_size": 0, "max_length": 6}
TEXTS = {
    "defaults": {},
    "stored-bos": PLAIN,
    "greedy": {**PLAIN, "forced_bos_token_id": None, "forced_eos_token_id": None},
    "beams": {**PLAIN, "num_beams": 3, "early_stopping": False, "length_penalty": 1.0},
    "no-repeat": {**PLAIN, "no_repeat_ngram_size": 2},
}
"""Arguments of ``generate``; what is not among them is as the checkpoint's file says."""


def stepwise() -> dict[str, np.ndarray]:
    """``given`` with the decoder's mask, which every step is given a part of."""
    return {**given(), "decoder_attention_mask": np.ones((BATCH, TGT), np.int64)}


LACKED, SURPLUS = "model.decoder.layers.1.fc2.bias", "model.encoder.adapter.weight"


def faulty(folder: Path) -> Path:
    """The checkpoint without the parameter ``LACKED`` and with a ``SURPLUS`` one."""
    weights = load_file(CHECKPOINT / "model.safetensors")
    del weights[LACKED]
    weights[SURPLUS] = np.zeros((2, 3), np.float32)
    folder.mkdir()
    shutil.copy(CHECKPOINT / "config.json", folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


SAVED = ("4.37.2", "4.57.6", "5.23.0", "5.23.0-from-config")
"""The folders of ``tests/backends/saved``: what the checkpoint's files become when that release saves it."""


def saved(version: str, folder: Path) -> Path:
    """The checkpoint with a release's configuration files."""
    shutil.copytree(Path(__file__).parent / "saved" / version, folder)
    shutil.copy(CHECKPOINT / "model.safetensors", folder)
    return folder


@dataclass(frozen=True)
class Answers:
    """The outputs of one backend."""

    outputs: dict[str, Any]
    folder: Path
    stdout: str

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"{name}.npz") as file:
            return dict(file)


class Capture:
    """Captures each backend's outputs once in a test session, in a process of its own, for any number of xdist workers.

    Workers share ``folder``: the first to make a backend's folder captures, the others wait for its outputs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cache  # noqa: B019 (one object a session)
    def __call__(self, backend: str, variant: str = "eager", *dtypes: str) -> Answers:
        folder = self._folder / f"{backend}-{variant}"
        try:
            folder.mkdir()
        except FileExistsError:
            until = time.monotonic() + LIMIT
            while not (folder / "done.json").exists() and time.monotonic() < until:
                time.sleep(0.1)
        else:
            self._run(folder, backend, variant, dtypes)
        done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        assert done["code"] == 0, done["stderr"]
        return Answers(json.loads((folder / "answers.json").read_text(encoding="utf-8")), folder, done["stdout"])

    def _run(self, folder: Path, backend: str, variant: str, dtypes: tuple[str, ...]) -> None:
        compiled = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(self._folder / "compiled"))
        command = [sys.executable, "-m", "tests.backends.capture_outputs", backend, variant, str(folder), *dtypes]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "CAPTURE_CACHE": compiled},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        outcome = {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr[-3000:]}
        (folder / "part").write_text(json.dumps(outcome), encoding="utf-8")
        (folder / "part").rename(folder / "done.json")
