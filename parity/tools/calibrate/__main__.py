"""``python -m parity.tools.calibrate``: measures, or reads earlier measurements, and writes ``calibration.toml``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from parity.core.backends import library_backends
from parity.core.resources import data
from parity.core.subject import REFERENCES
from parity.tools.calibrate.measure import digest, measure_all, read, still_drawn
from parity.tools.calibrate.plan import chunks
from parity.tools.calibrate.provenance import provenance
from parity.tools.calibrate.table import as_toml

DTYPES = ("float32", "bfloat16", "float32", "float16", "float32", "float64")
BACKENDS = (*REFERENCES, *library_backends(framework="torch"))
SEED = 20261121


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m parity.tools.calibrate", description=__doc__)
    parser.add_argument("--architectures", type=int, default=64)
    parser.add_argument("--draws", type=int, default=4, help="checkpoints of each architecture")
    parser.add_argument("--dear", type=int, default=3, help="chunks in which every backend is measured")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--ratios", type=Path, required=True, help="where what is measured is kept, to go on from")
    parser.add_argument("--jobs", type=int, default=2, help="chunks at a time")
    parser.add_argument("--out", type=Path, default=data("judge/data/calibration.toml"))
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    todo = list(chunks(arguments.seed, arguments.architectures, arguments.draws, DTYPES, BACKENDS, arguments.dear))
    measure_all(todo, arguments.ratios, arguments.jobs, lambda line: print(line, flush=True))
    found = still_drawn(read(arguments.ratios))
    said = {
        **provenance("python -m parity.tools.calibrate"),
        "architectures": arguments.architectures,
        "checkpoints": len(np.unique(np.char.add(found["chunk"], found["checkpoint"]))),
        "comparisons": 2 * len(found["tensor"]),
        "rows_sha256": digest(arguments.ratios),
    }
    arguments.out.write_text(as_toml(found, said), encoding="utf-8")


if __name__ == "__main__":
    main()
