"""Where ``k`` and ``c`` come from: ``python -m parity.calibration`` measures honest backends on random checkpoints.

For every tensor of every case of every random configuration, the ratio of a backend's error to
``max(yardstick, c · unit roundoff)`` is kept. ``k`` is where one ratio in a million would lie, read from the tail of
those measured, and never less than the largest of them. The table by dtype, kind of tensor and backend goes into
``calibration.toml`` beside the factors.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from parity.budgets import UNIT_ROUNDOFF, Measured, Yardstick
from parity.capture import capture
from parity.judge import judge
from parity.ledger import entries
from parity.records import Report, SubjectRecord
from parity.run import CheckpointRun
from parity.tensors import TensorSpec
from reference.config import BartConfig
from reference.names import expected_parameters

C_SLICE, C_ELEMENT = 1.0, 4.0
"""Floors in unit roundoffs: one rounding of a result, and the largest of several over a tensor."""

TOP = 0.005
"""The share of the ratios that the tail is read from."""

TAIL = 1e-6
"""The share of comparisons that may exceed their budget by chance."""


@dataclass(frozen=True)
class Ratio:
    """One comparison: which backend, what kind of tensor, and its error in floored yardsticks."""

    backend: str
    dtype: str
    kind: str
    measure: str
    value: float

    @property
    def is_reference(self) -> bool:
        """Whether the yardstick was the other reference alone."""
        return self.backend.startswith("reference-")


def random_config(rng: np.random.Generator) -> dict[str, Any]:
    """A small legal BART: sizes, activation, tying and scale drawn at random."""
    encoder_heads, decoder_heads = (int(rng.integers(1, 6)) for _ in range(2))
    return {
        "model_type": "bart",
        "architectures": ["BartForConditionalGeneration"],
        "vocab_size": int(rng.integers(40, 400)),
        "d_model": int(np.lcm(encoder_heads, decoder_heads)) * int(rng.integers(1, 8)) * 2,
        "max_position_embeddings": int(rng.integers(16, 48)),
        "encoder_layers": int(rng.integers(1, 5)),
        "decoder_layers": int(rng.integers(1, 5)),
        "encoder_attention_heads": encoder_heads,
        "decoder_attention_heads": decoder_heads,
        "encoder_ffn_dim": int(rng.integers(8, 96)),
        "decoder_ffn_dim": int(rng.integers(8, 96)),
        "activation_function": str(rng.choice(["gelu", "gelu_new", "relu", "silu"])),
        "scale_embedding": bool(rng.integers(2)),
        "tie_word_embeddings": True,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
    }


def write_random_checkpoint(directory: Path, rng: np.random.Generator) -> None:
    """A random config with random weights (standard deviation drawn between 0.02 and 0.3) as ``directory``."""
    directory.mkdir(parents=True)
    config = random_config(rng)
    spread = float(np.exp(rng.uniform(np.log(0.02), np.log(0.3))))
    weights = {}
    for name, parameter in expected_parameters(BartConfig.from_dict(config)).items():
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        weights[name] = (centre + rng.normal(0.0, spread, parameter.shape)).astype(np.float32)
    (directory / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def ratios_of(run_directory: Path) -> Iterator[Ratio]:
    """Every candidate's errors in floored yardsticks, tensor by tensor, over all cases with an oracle.

    What the ledger knows to be wrong is no honest error and is left out: the tensors an entry names, or else the
    whole case, also where the fault is small enough here to pass.
    """
    wrong = set(_known_to_be_wrong(judge(run_directory)))
    _, (run,) = CheckpointRun.open_all(run_directory)
    for case in run.cases.values():
        if case.operation in ("load", "repeat", "tuple") or run.oracle(case.name) is None:
            continue
        found = run.errors(case.name)
        for index, subject in run.subjects("candidate"):
            yardstick = run.yardstick(subject)
            for spec in found.specs:
                measured = found.errors.get(index, {}).get(spec.name)
                place = (subject.backend, subject.variant, case.name)
                honest = not {(*place, spec.name), (*place, "")} & wrong
                if honest and isinstance(measured, Measured) and spec.name not in case.undefined:
                    yield from _ratios(subject, spec, measured, yardstick)


def _known_to_be_wrong(report: Report) -> Iterator[tuple[str, str, str, str]]:
    """Backend, variant, case and tensor of each known divergence, "" for all tensors."""
    named = {entry.id: entry.tensors for entry in entries()}
    for verdict in report.verdicts:
        if verdict.status == "known":
            for tensor in named[verdict.evidence["ledger"]] or [""]:
                yield verdict.backend, verdict.variant, verdict.case, tensor


def _ratios(subject: SubjectRecord, spec: TensorSpec, measured: Measured, yardstick: Yardstick) -> Iterator[Ratio]:
    error, unit = yardstick.error(spec.name, subject.backend), UNIT_ROUNDOFF[subject.dtype]
    for measure, floor in (("slice", C_SLICE), ("element", C_ELEMENT)) if error else ():
        value = getattr(measured, measure) / max(getattr(error, measure), floor * unit)
        yield Ratio(subject.label, subject.dtype, spec.kind, measure, value)


def tail_factor(values: np.ndarray) -> float:
    """Where one ratio in a million would lie, if the largest go on as a power law (Hill 1975, Annals of Statistics 3).

    The law's exponent is the mean logarithm by which the largest ``TOP`` of the ratios exceed the smallest of them.
    """
    largest = np.sort(values)[-max(10, int(TOP * len(values))) :]
    exponent = float(np.mean(np.log(largest / largest[0])))
    return float(largest[0] * (len(largest) / len(values) / TAIL) ** exponent)


def _factor(ratios: list[Ratio]) -> float:
    """Rounded up to one digit; never less than the largest ratio."""
    values = np.array([ratio.value for ratio in ratios])
    return float(np.ceil(max(tail_factor(values), values.max()) * 10) / 10)


def measure_configs(count: int, seed: int, backends: list[str] | None, dtypes: tuple[str, ...]) -> list[Ratio]:
    """Audits ``count`` random checkpoints, one after the other, each in the next dtype; leaves nothing behind."""
    found: list[Ratio] = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        scratch = Path(tempfile.mkdtemp(prefix="parity-calibration-"))
        try:
            write_random_checkpoint(scratch / "random", rng)
            asked = {"backends": backends, "dtypes": [dtypes[number % len(dtypes)]]}
            capture([scratch / "random"], out=scratch / "run", cache=scratch / "cache", **asked)
            found += ratios_of(scratch / "run")
        finally:
            shutil.rmtree(scratch)
        largest = max((ratio.value for ratio in found), default=0.0)
        print(f"{number + 1}/{count}: {len(found)} comparisons, largest ratio {largest:.2f}", flush=True)
    return found


def as_toml(found: list[Ratio], about: dict[str, Any]) -> str:
    """The factors, what they were measured on, and the table they follow from."""
    lines = [
        "# Written by `python -m parity.calibration`; not to be edited by hand.",
        "# budget = k * max(yardstick, c * unit roundoff); ratio = error / max(yardstick, c * unit roundoff).",
    ]
    for yardstick in ("ensemble", "twin"):
        lines += ["", f"[{yardstick}]"]
        for measure, floor in (("slice", C_SLICE), ("element", C_ELEMENT)):
            chosen = [r for r in found if (r.measure, r.is_reference) == (measure, yardstick == "twin")]
            lines += [f"k_{measure} = {_factor(chosen)}", f"c_{measure} = {floor}"]
    lines += ["", "[measured]", *(f"{name} = {json.dumps(value)}" for name, value in about.items())]
    grouped: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for ratio in found:
        grouped[ratio.dtype, ratio.kind, ratio.backend, ratio.measure].append(ratio.value)
    lines.append("ratios = [")
    for group, values in sorted(grouped.items()):
        words = zip(("dtype", "kind", "backend", "measure"), group, strict=True)
        quantiles = zip(("median", "q99", "largest"), np.quantile(values, [0.5, 0.99, 1.0]), strict=True)
        fields = [f'{name} = "{word}"' for name, word in words] + [f"count = {len(values)}"]
        fields += [f"{name} = {value:.3g}" for name, value in quantiles]
        lines.append(f"    {{ {', '.join(fields)} }},")
    return "\n".join([*lines, "]"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m parity.calibration", description=__doc__)
    parser.add_argument("--configs", type=int, default=40, help="random checkpoints to audit")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--backend", action="append", help="backends to measure; all by default")
    parser.add_argument("--dtype", action="append", help="taken in turn, one a checkpoint; float32 by default")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("calibration.toml"))
    asked = parser.parse_args()
    dtypes = tuple(asked.dtype or ["float32"])
    found = measure_configs(asked.configs, asked.seed, asked.backend, dtypes)
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python -m parity.calibration", *sys.argv[1:]]),
        "configs": asked.configs,
        "dtypes": list(dtypes),
        "python": platform.python_version(),
        "versions": [f"{name} {metadata.version(name)}" for name in ("numpy", "torch", "jax", "transformers")],
        "comparisons": len(found),
    }
    asked.out.write_text(as_toml(found, about), encoding="utf-8")


if __name__ == "__main__":
    main()
