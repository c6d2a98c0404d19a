"""Measures a manual trial of a checkpoint: ``python benchmarks/by_hand.py CHECKPOINT [torch tensorflow flax]``.

Runs each framework in its own process, one after the other: import, load, one forward pass, one greedy and one beam
search text. Compare the seconds with ``parity audit CHECKPOINT`` at the same time, which runs about a hundred such
cases per library. Needs the stack ``main``: ``.nox/stacks/main/bin/python benchmarks/by_hand.py …``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

FRAMEWORKS = {"torch": "", "tensorflow": "TF", "flax": "Flax"}
ONE = """
import sys, transformers, numpy as np
framework, prefix, checkpoint, name = sys.argv[1:]
kind = getattr(transformers, prefix + name)
flags = {} if framework == "torch" else {"from_pt": True}
model = kind.from_pretrained(checkpoint, local_files_only=True, **flags)
vocabulary = model.config.vocab_size
ids = np.random.default_rng(0).integers(4, vocabulary, (3, 9))
if framework == "torch":
    import torch
    model.eval()
    given = torch.tensor(ids)
elif framework == "tensorflow":
    import tensorflow
    given = tensorflow.constant(ids, dtype=tensorflow.int32)
else:
    import jax.numpy
    given = jax.numpy.asarray(ids, dtype="int32")
# Flax cannot forbid repeated n-grams where JAX is newer than its class (transformers 4.57.6 on jax 0.10.2).
settings = {"max_length": 12, "no_repeat_ngram_size": 0}
model(input_ids=given, decoder_input_ids=given)
model.generate(given, num_beams=1, **settings)
model.generate(given, num_beams=4, **settings)
"""


def seconds(framework: str, checkpoint: Path, model_class: str) -> float:
    """Wall time of one process that runs everything in one framework.

    Raises:
        subprocess.CalledProcessError: the library raised.
    """
    variables = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", ONE, framework, FRAMEWORKS[framework], str(checkpoint), model_class]
    began = time.monotonic()
    subprocess.run(command, env=variables, check=True, capture_output=True)
    return time.monotonic() - began


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    checkpoint, names = Path(sys.argv[1]), sys.argv[2:] or list(FRAMEWORKS)
    for name in names:
        print(f"{seconds(name, checkpoint, 'BartForConditionalGeneration'):6.1f} s  {name}", flush=True)


if __name__ == "__main__":
    main()
