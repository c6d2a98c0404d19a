"""Draws ``docs/images/tolerance.svg``: the errors of one tensor, from the noise floor to the verdicts.

``python -m docs.tolerance_figure`` captures the fixture ``bart-odd`` with both references, three library backends and a
mutant, and draws the slice errors of the logits of the case ``forward``.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from parity.api import _only as only_cases
from parity.backends.mutants import MUTANTS
from parity.capture.pipeline import capture
from parity.core.options import AuditOptions
from parity.core.resources import fixture
from parity.core.subject import Subject, Variant
from parity.judge.captured_run import CheckpointRun
from parity.judge.tolerance import Measured

FIXTURE, CASE, TENSOR, MUTANT = "bart-odd", "forward", "logits", "gelu-by-tanh"
LIBRARIES = ("hf-torch", "hf-tf", "hf-flax")
WIDTH, LEFT, RIGHT, ROW, TOP = 860, 320, 24, 24, 56


class Point(NamedTuple):
    """One implementation's error."""

    label: str
    error: float
    group: str
    """``ensemble``, or the verdict: ``pass`` or ``fail``."""


class Data(NamedTuple):
    """What the figure shows."""

    points: list[Point]
    noise_floor: float
    tolerance: float


def measured(run: CheckpointRun) -> Data:
    """The errors of the tensor in a run, with its noise floor and tolerance."""
    errors = run.errors(CASE).errors
    points: list[Point] = []
    limit = floor = 0.0
    for index, subject in run.subjects("noise_floor", "candidate"):
        error = errors.get(index, {}).get(TENSOR)
        if subject.dtype != "float32" or not isinstance(error, Measured):
            continue
        if subject.role == "noise_floor":
            points.append(Point(subject.label, error.slice, "ensemble"))
            continue
        tolerance, noise = run.tolerance(subject, TENSOR), run.noise_floor(subject).error(TENSOR, subject.backend)
        assert tolerance is not None and noise is not None
        name = f"mutant: {MUTANTS[MUTANT].what}" if "mutant" in subject.label else subject.label
        points.append(Point(name, error.slice, "pass" if error.slice <= tolerance.slice else "fail"))
        if subject.backend in LIBRARIES:
            floor, limit = noise.slice, tolerance.slice
    return Data(sorted(points, key=lambda point: (point.group != "ensemble", point.error)), floor, limit)


def captured(folder: Path) -> CheckpointRun:
    """A run of the fixture with what the figure shows."""
    mutant = Subject("mutant", str(Variant(mutant=MUTANT)))
    capture(
        [fixture(FIXTURE)],
        AuditOptions(out=folder, cases=only_cases((CASE,))),
        candidates={FIXTURE: [*(Subject(name) for name in LIBRARIES), mutant]},
    )
    return CheckpointRun.open_all(folder)[1][0]


def svg(data: Data) -> str:
    """The figure: a row for each implementation on a logarithmic axis, with the noise floor and the tolerance."""
    return "\n".join(_lines(data)) + "\n"


def _lines(data: Data) -> Iterator[str]:
    values = [point.error for point in data.points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    bottom = TOP + ROW * len(data.points)

    def x(error: float) -> float:
        return round(LEFT + (math.log10(error) - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    title = f"Errors of {TENSOR} on {FIXTURE}: ensemble, noise floor, tolerance, verdicts"
    box = f"0 0 {WIDTH} {bottom + 46}"
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{title}">'
    yield "<style>text{font:12px system-ui,sans-serif;fill:#222}.s{fill:#666;font-size:11px}"
    yield ".ensemble{fill:#777}.pass{fill:#1a7f37}.fail{fill:#c62828}.b{fill:#fff}line{stroke:#ddd}</style>"
    yield f'<rect class="b" width="{WIDTH}" height="{bottom + 46}"/>'
    for power in range(low, high + 1):
        at = x(10.0**power)
        yield f'<line x1="{at}" x2="{at}" y1="{TOP - 6}" y2="{bottom}"/>'
        yield f'<text class="s" x="{at}" y="{bottom + 16}" text-anchor="middle">1e{power}</text>'
    axis = f"error of the worst slice, relative to the scale of {TENSOR}"
    yield f'<text class="s" x="{LEFT}" y="{bottom + 36}">{axis}</text>'
    for name, value, colour, anchor, height in (
        ("noise floor", data.noise_floor, "#777", "end", 18),
        ("tolerance", data.tolerance, "#1a4fb4", "start", 18),
    ):
        at, text = x(value), f"{name} {value:.1e}"
        yield f'<line x1="{at}" x2="{at}" y1="{height + 6}" y2="{bottom}" style="stroke:{colour};stroke-width:1.5"/>'
        yield f'<text x="{at}" y="{height}" text-anchor="{anchor}" style="fill:{colour}">{text}</text>'
    for number, point in enumerate(data.points):
        y = TOP + ROW * number + ROW // 2
        at = x(point.error)
        yield f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(point.label)}</text>'
        yield f'<circle class="{point.group}" cx="{at}" cy="{y}" r="4.5"/>'
        label = "ensemble" if point.group == "ensemble" else f"{point.group}, {_multiple(point.error / data.tolerance)}"
        # Beside the line of the tolerance, which would cross the words of a point left of it.
        beyond = point.error > data.tolerance
        attributes = f'x="{at - 9}" text-anchor="end"' if beyond else f'x="{x(data.tolerance) + 9}"'
        yield f'<text class="s" {attributes} y="{y + 4}">{label}</text>'
    yield "</svg>"


def _multiple(ratio: float) -> str:
    return f"{ratio:.2f} × tolerance" if ratio < 10 else f"{ratio:.0f} × tolerance"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m docs.tolerance_figure", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images" / "tolerance.svg")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        out.write_text(svg(measured(captured(Path(folder)))), encoding="utf-8")


if __name__ == "__main__":
    main()
