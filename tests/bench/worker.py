"""One process: the sides of one framework by turns, or one side's first call and the next. Prints one line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import time
from importlib import metadata
from pathlib import Path

from tests.bench.sides import SIDES
from tests.bench.task import BEAMS, SIZES, sources

LIBRARIES = ("torch", "jax", "jaxlib", "flax", "transformers", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--sides", nargs="+", choices=SIDES, required=True)
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--asked", nargs="+", choices=BEAMS, default=list(BEAMS))
    given = parser.parse_args()
    size, made, measured = SIZES[given.size], {}, {}
    for side in given.sides:
        began = time.perf_counter()
        made[side] = SIDES[side](given.directory, size, given.device, given.dtype)
        measured[side] = {"load": time.perf_counter() - began, "asked": {}}
    inputs = sources(size)
    for asked in given.asked:
        found = {side: {"seconds": []} for side in made}
        for round_ in range(given.rounds + 1):
            for side, generate in made.items():
                began = time.perf_counter()
                tokens = generate(inputs, BEAMS[asked])
                seconds = time.perf_counter() - began
                if round_ == 0:
                    found[side].update(first=seconds, tokens=tokens.tolist())
                else:
                    found[side]["seconds"].append(seconds)
        for side in made:
            measured[side]["asked"][asked] = found[side]
    print(json.dumps({"sides": measured, "threads": threads(given.sides)}))


def threads(sides: list[str]) -> dict[str, int]:
    """Of each framework that was used: torch's own number; XLA takes the cores it may use."""
    found = {}
    if any(side.endswith("torch") for side in sides):
        import torch

        found["torch"] = torch.get_num_threads()
    if any(side.endswith("flax") for side in sides):
        found["flax"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return found


def versions() -> dict[str, str]:
    """Of the libraries that decide how long it takes."""
    return {name: metadata.version(name) for name in LIBRARIES}


if __name__ == "__main__":
    main()
