"""Reports made by hand, for tests of what is shown."""

from __future__ import annotations

from collections import Counter
from typing import Any

from parity.core.records import (
    CheckpointRecord,
    Cost,
    Divergence,
    GeneratedRow,
    MeasuredError,
    Report,
    Spent,
    SubjectRecord,
    Totals,
    Verdict,
)

BART = "BartForConditionalGeneration"
COST = Cost(
    wall_seconds=125.0,
    backend_seconds=120.0,
    judge_seconds=1.0,
    trace_io_seconds=2.0,
    own_share=0.04,
    peak_memory=1_500_000_000,
    traces_cached=40,
    traces_captured=60,
    spent=[
        Spent(subject="reference-torch float64", work="generate", traces=9, seconds=70.0, io_seconds=0.5),
        Spent(subject="hf-torch", work="load", traces=1, seconds=0.1, io_seconds=0.0),
    ],
)


def verdict(status: str = "pass", **fields: Any) -> Verdict:
    """A verdict on ``hf-torch`` and one case of ``bart-odd``; ``fields`` override any of it."""
    usual = {
        "check": "NUM01",
        "claim": "every hidden state is the oracle's",
        "checkpoint": "bart-odd",
        "model_class": "BartForConditionalGeneration",
        "case": "forward",
        "backend": "hf-torch",
        "variant": "eager",
        "stack": "main",
        "device": "cpu",
        "dtype": "float32",
    }
    return Verdict(**{**usual, "status": status, **fields})


def failure(**fields: Any) -> Verdict:
    """A cell 84 × tolerance past its tolerance, with all that a block shows."""
    usual: dict[str, Any] = {
        "error": 3.1e-2,
        "tolerance": 3.1e-2 / 84000,
        "first_divergence": Divergence(
            tensor="decoder.hidden.1", at={"batch": 0, "tgt": 1}, error=3.1e-2, tolerance=3.7e-7, inputs_within=0.9
        ),
        "reason": "decoder.hidden.1 at [batch 0, tgt 1] is 8.4e+04 × tolerance from the oracle",
        "evidence": {
            "worst": {
                "tensor": "logits",
                "measure": "slice",
                "at": {"batch": 1, "tgt": 4},
                "index": {"batch": 1, "tgt": 4, "vocab": 17},
                "actual": -0.304518,
                "expected": 0.416160,
            },
            "slices_over": 3,
            "slices": 24,
            "reproduce": "parity audit fixtures/checkpoints/bart-odd --backend hf-flax --check NUM01",
        },
    }
    return verdict("fail", **{"backend": "hf-flax", **usual, **fields})


def report(*verdicts: Verdict, **fields: Any) -> Report:
    """A report whose totals add up."""
    names = dict.fromkeys(v.checkpoint for v in verdicts)
    usual: dict[str, Any] = {
        "parity_version": "0.1.0",
        "command": ["parity", "audit"],
        "started": "2026-11-21T00:00:00+00:00",
        "checkpoints": [
            CheckpointRecord(name=n, path=f"/models/{n}", digest="0" * 64, config={}, documented_class=BART)
            for n in names
        ],
        "environments": {"main": {"python": "3.11.7", "versions": {"transformers": "4.57.6", "torch": "2.13.0"}}},
        "subjects": [],
        "verdicts": list(verdicts),
        "totals": Totals(**Counter(v.status for v in verdicts)),
        "cost": COST,
    }
    return Report(**{**usual, **fields})


def checkpoint(name: str) -> CheckpointRecord:
    return CheckpointRecord(name=name, path=f"/models/{name}", digest="0" * 64, config={}, documented_class=BART)


def subject(label: str = "hf-torch", **fields: Any) -> SubjectRecord:
    """A candidate in float32 on the CPU."""
    backend, _, variant = label.partition("/")
    usual = {
        "backend": backend,
        "variant": variant or "eager",
        "stack": "main",
        "device": "cpu",
        "dtype": "float32",
        "role": "candidate",
        "label": label,
        "model_class": BART,
        "documented_class": BART,
        "capabilities": [],
        "environment": "main",
    }
    return SubjectRecord(**{**usual, **fields})


def measured(tensor: str = "logits", error: float | None = 1e-7, **fields: Any) -> MeasuredError:
    """One tensor of the first subject's forward pass, against a tolerance of 1e-6."""
    usual: dict[str, Any] = {
        "checkpoint": "bart-odd",
        "subject": 0,
        "case": "forward",
        "kind": "hidden",
        "tolerance": 1e-6,
        "noise_floor": 1.3e-7,
        "ratio": None if error is None else error / 1e-6,
        "at": [1, 2],
    }
    return MeasuredError(**{**usual, "tensor": tensor, "error": error, **fields})


def generated(subject: int, tokens: list[int], verdict: str = "match", **fields: Any) -> GeneratedRow:
    """What a subject wrote for the first row of one case."""
    usual = {"checkpoint": "bart-odd", "case": "generate", "row": 0, "subject": subject, "tokens": tokens}
    return GeneratedRow(**{**usual, "verdict": verdict, **fields})
