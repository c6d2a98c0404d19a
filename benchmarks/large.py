"""The overhead of an audit of a large checkpoint over the calls that it makes.

``python benchmarks/large.py FOLDER [--size large] [--memory 12GB] [--backend NAME]`` creates a random checkpoint of
BART's published size, audits it with an empty cache, and then makes the same calls with the same arguments in one
process per backend: loads, passes, gradients, text and saves of the library and of the references. These processes
hash, write and judge nothing. Both are measured in wall time, processor time and, for the audit, memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"base": (6, 768, 3072, 12), "large": (12, 1024, 4096, 16)}
"""Layers of each stack, ``d_model``, ``ffn`` and heads (Lewis et al. 2020, section 2.1)."""


def make(folder: Path, size: str) -> None:
    """A checkpoint of random weights."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    layers, width, ffn, heads = SIZES[size]
    stacks = {f"{half}_{word}": n for half in ("encoder", "decoder") for word, n in _stack(layers, ffn, heads).items()}
    torch.manual_seed(0)
    BartForConditionalGeneration(BartConfig(vocab_size=50265, d_model=width, **stacks)).save_pretrained(folder)


def _stack(layers: int, ffn: int, heads: int) -> dict[str, int]:
    return {"layers": layers, "ffn_dim": ffn, "attention_heads": heads}


def make_calls(run: Path, backend: str) -> None:
    """Makes every call of one backend that is recorded in a run's manifest."""
    from parity.backends.registry import get_backend
    from parity.capture.task import THREADS
    from parity.core.subject import Variant

    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    (checkpoint,) = manifest["checkpoints"]
    cases = {case["name"]: case for case in manifest["cases"][checkpoint["name"]]}
    adapter = get_backend(backend)
    with tempfile.TemporaryDirectory() as scratch:
        adapter.setup(threads=THREADS, device="cpu", cache=Path(scratch, "compiled"))
        for index, subject in enumerate(manifest["subjects"]):
            captured = [cases[t["case"]] for t in manifest["traces"] if t["subject"] == index and t["path"]]
            if subject["backend"] != backend or not captured or subject["component"] != "model":
                continue
            calls = Calls(adapter, Path(checkpoint["path"]), Variant.parse(subject["variant"]), subject, Path(scratch))
            before = time.process_time()
            for case in captured:
                calls.make(case)
            who = f"{subject['role']:9} {subject['label']:42} {subject['dtype']:8}"
            print(f"  {who} {time.process_time() - before:7.1f} s of processors", flush=True)


class Calls:
    """The calls of one subject, by operation; the model is loaded on first use."""

    def __init__(self, adapter: Any, checkpoint: Path, variant: Any, subject: dict[str, Any], scratch: Path) -> None:
        self.adapter, self.checkpoint, self.variant, self.scratch = adapter, checkpoint, variant, scratch
        self.how = {"device": subject["device"], "dtype": subject["dtype"], "model_class": subject["model_class"]}
        self._model: Any = None

    @property
    def model(self) -> Any:
        if self._model is None:
            self._model = self.load()
        return self._model

    def load(self, checkpoint: Path | None = None, **others: Any) -> Any:
        self._model = None
        return self.adapter.load(checkpoint or self.checkpoint, self.variant, **{**self.how, **others})

    def make(self, case: dict[str, Any]) -> None:
        from parity.capture.worker.operations import permute
        from parity.core.case import Case

        loaded_case = Case.from_json(case)
        inputs = {name: loaded_case.array(name) for name in loaded_case.inputs}
        make = self.load_twice if case["operation"] == "load" else getattr(self, case["operation"], self.other)
        make(permute(inputs) if self.variant.permuted else inputs, case)

    def other(self, inputs: Any, case: dict[str, Any]) -> None:
        """Settings, signatures: operations that compute nothing."""

    def load_twice(self, inputs: Any, case: dict[str, Any]) -> None:
        self.load()
        self._model = self.load()

    def forward(self, inputs: Any, case: dict[str, Any]) -> None:
        self.model.call(inputs)

    def repeat(self, inputs: Any, case: dict[str, Any]) -> None:
        self.model.call(inputs), self.model.call(inputs)

    def tuple(self, inputs: Any, case: dict[str, Any]) -> None:
        self.model.call(inputs), self.model.call(inputs, as_tuple=True)

    def encode_decode(self, inputs: Any, case: dict[str, Any]) -> None:
        self.model.encode_then_decode(inputs)

    def decode_steps(self, inputs: Any, case: dict[str, Any]) -> None:
        from parity.backends.protocol import Reorder

        order = case["settings"].get("reorder")
        for _ in self.model.decode_steps(
            inputs, case["settings"]["sizes"], Reorder(order["at"], tuple(order["rows"])) if order else None
        ):
            pass

    def generate(self, inputs: Any, case: dict[str, Any]) -> None:
        others = {name: value for name, value in case["settings"].items() if name != "arguments"}
        self.model.generate(inputs, case["settings"]["arguments"], **others)

    def score(self, inputs: Any, case: dict[str, Any]) -> None:
        sequences = inputs.pop("sequences")
        self.model.call({**inputs, "decoder_input_ids": sequences[:, :-1]})

    def reachable(self, inputs: Any, case: dict[str, Any]) -> None:
        self.model.reachable(inputs, case["settings"]["arguments"], case["settings"]["tolerance"])

    def gradients(self, inputs: Any, case: dict[str, Any]) -> None:
        self.model.gradients(inputs)
        if hasattr(self.model, "softmax_cancellation"):
            self.model.softmax_cancellation(inputs)

    def plain_load(self, inputs: Any, case: dict[str, Any]) -> None:
        self._model = None
        self.adapter.load_plain(self.checkpoint, self.how["model_class"]).call(inputs)

    def load_as(self, inputs: Any, case: dict[str, Any]) -> None:
        self.load(model_class=case["settings"]["model_class"])

    def save(self, inputs: Any, case: dict[str, Any]) -> None:
        folder = self.scratch / case["name"]
        folder.mkdir()
        self.model.save(folder, case["settings"]["format"])

    def load_saved(self, inputs: Any, case: dict[str, Any]) -> None:
        self.load(self.scratch / case["notes"]["save"], route=case["settings"]["route"])


def measured(command: list[str], quiet: bool = False) -> tuple[float, float, int]:
    """Wall time and processor time of a command and its descendants, and its exit code."""
    from parity.capture.probe import child_environment

    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    # Threads wait as in workers: spinning threads would consume processor time.
    out = subprocess.DEVNULL if quiet else None
    code = subprocess.run(command, cwd=ROOT, env=child_environment({}), check=False, stdout=out).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="large")
    parser.add_argument("--memory", default=None)
    parser.add_argument("--backend", default="hf-torch")
    parser.add_argument("--calls", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    run = given.folder / "run"
    if given.calls:
        make_calls(run, given.calls)
        os._exit(0)
    checkpoint = given.folder / given.size
    if not checkpoint.is_dir():
        make(checkpoint, given.size)
    with tempfile.TemporaryDirectory(dir=given.folder) as cache:
        audit = [sys.executable, "-m", "parity", "audit", str(checkpoint), "--backend", given.backend]
        options = ["--memory", given.memory] if given.memory else []
        wall, cpu, code = measured([*audit, *options, "--out", str(run), "--cache", cache], quiet=True)
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    peak = report["cost"]["peak_memory"] / 1e9
    print(f"audit: {wall:.0f} s, {cpu:.0f} s of processors, {peak:.2f} GB in all processes, exit code {code}")
    for each in report["cost"]["spent"][:12]:
        own, beside = each["seconds"], each["io_seconds"]
        print(f"  {each['subject']:44} {each['work']:12} {each['traces']:4} {own:7.1f} s {beside:6.1f} s beside it")
    spent = []
    computing = [each for each in report["subjects"] if each["component"] == "model" and each["role"] != "file"]
    for backend in dict.fromkeys(each["backend"] for each in computing):
        own = [str(Path(__file__).resolve()), str(given.folder.resolve()), "--calls", backend]
        spent.append(measured([sys.executable, *own]))
        print(f"calls of {backend}, its import among them: {spent[-1][0]:.0f} s, {spent[-1][1]:.0f} s of processors")
    walls, cpus = (sum(each[index] for each in spent) for index in (0, 1))
    print(f"calls: {walls:.0f} s one after another, {cpus:.0f} s of processors")
    print(f"audit / calls: {wall / walls:.2f} in wall time, {cpu / cpus:.2f} in processor time")


if __name__ == "__main__":
    main()
