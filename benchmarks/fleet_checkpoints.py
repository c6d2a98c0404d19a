"""Writes many small checkpoints for measurements of ``parity fleet``, one of twenty of them broken.

``python benchmarks/fleet_checkpoints.py DIR --count 200`` writes the directories and ``DIR/list.txt``. The checkpoints
are the fixtures in turn, so every class, with other weights; each way to break one is in ``BROKEN``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "fixtures" / "checkpoints"
WEIGHTS = "model.safetensors"
EVERY = 20
"""One of so many checkpoints is broken."""
SPREAD = 0.05
"""The relative deviation of a weight from the fixture's."""


def truncated(folder: Path) -> None:
    """The second half of the weights is missing."""
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def without_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def no_json(folder: Path) -> None:
    """A config that is not JSON."""
    (folder / "config.json").write_text('{"model_type": "bart",', encoding="utf-8")


def another_architecture(folder: Path) -> None:
    _configured(folder, model_type="t5", architectures=["T5ForConditionalGeneration"])


def another_size(folder: Path) -> None:
    """A vocabulary of one token more than the weights have."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    half = config.get("decoder", config)
    half["vocab_size"] += 1
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def not_finite(folder: Path) -> None:
    """One matrix has a NaN."""

    def change(weights: dict[str, np.ndarray]) -> None:
        weights[_matrix(weights)][0, 0] = np.nan

    _changed(folder, change)


def a_lost_tensor(folder: Path) -> None:
    _changed(folder, lambda weights: weights.pop(_matrix(weights)))


def a_transposed_tensor(folder: Path) -> None:
    def change(weights: dict[str, np.ndarray]) -> None:
        # A square one would still be a checkpoint, with other weights.
        name = _matrix({name: array for name, array in weights.items() if array.shape[0] != array.shape[-1]})
        weights[name] = np.ascontiguousarray(weights[name].T)

    _changed(folder, change)


def empty(folder: Path) -> None:
    for each in folder.iterdir():
        each.unlink() if each.is_file() else shutil.rmtree(each)


def a_huge_header(folder: Path) -> None:
    """A header that claims to be larger than the file."""
    (folder / WEIGHTS).write_bytes((1 << 60).to_bytes(8, "little") + b"{}")


BROKEN: tuple[Callable[[Path], None], ...] = (
    truncated,
    without_weights,
    no_json,
    another_architecture,
    another_size,
    not_finite,
    a_lost_tensor,
    a_transposed_tensor,
    empty,
    a_huge_header,
)


def _matrix(weights: dict[str, np.ndarray]) -> str:
    """The last matrix by name."""
    return max(name for name, array in weights.items() if array.ndim == 2)


def _configured(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **fields}), encoding="utf-8")


def _changed(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    weights = {name: array.copy() for name, array in load_file(folder / WEIGHTS).items()}
    change(weights)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def written(directory: Path, count: int) -> list[Path]:
    """Writes the checkpoints; the same arguments write the same bytes."""
    bases = sorted(path for path in FIXTURES.iterdir() if (path / WEIGHTS).is_file())
    found = []
    for number in range(count):
        base = bases[number % len(bases)]
        folder = directory / f"{number:04}-{base.name}"
        shutil.copytree(base, folder)
        rng = np.random.default_rng([20301130, number])

        def other(weights: dict[str, np.ndarray], rng: np.random.Generator = rng) -> None:
            for name, array in weights.items():
                if array.dtype.kind == "f":
                    weights[name] = (array * (1 + SPREAD * rng.standard_normal(array.shape))).astype(array.dtype)

        _changed(folder, other)
        turn = number // EVERY
        if number % EVERY == 3 * turn % EVERY:  # of another fixture in each turn
            BROKEN[turn % len(BROKEN)](folder)
        found.append(folder)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    given.directory.mkdir(parents=True)
    paths = written(given.directory.resolve(), given.count)
    (given.directory / "list.txt").write_text("".join(f'"{path}"\n' for path in paths), encoding="utf-8")
    print(f"{len(paths)} checkpoints, {len(paths) // EVERY} of them broken: {given.directory / 'list.txt'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
