"""Asks one library to generate, in that library's interpreter: ``python dialect_probe.py JOB.json ANSWER.json``.

Started by path; it knows nothing of ours. The job is ``{"framework", "inputs", "cases"}``, a case ``{"checkpoint",
"arguments"}``; the answer has ``{"sequences", "scores"}`` or ``{"raises"}`` for each case.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import numpy as np

CLASSES = {
    "torch": "BartForConditionalGeneration",
    "tf": "TFBartForConditionalGeneration",
    "flax": "FlaxBartForConditionalGeneration",
}


@cache
def loaded(framework: str, checkpoint: str):
    """The checkpoint in the library's own class."""
    import transformers

    transformers.logging.set_verbosity_error()
    flags = {} if framework == "torch" else {"from_pt": True}
    return getattr(transformers, CLASSES[framework]).from_pretrained(checkpoint, local_files_only=True, **flags)


def generated(framework: str, model, inputs: dict, arguments: dict):
    """Sequences and final scores, None where the library gives no scores, as arrays."""
    arguments = {**arguments, "return_dict_in_generate": True, "output_scores": True}
    if framework == "flax":
        arguments = {name: _hashable(value) for name, value in arguments.items()}
        output = _compiled(model, tuple(arguments.items()), repr(model.generation_config))(model.params, inputs)
        return output.sequences, getattr(output, "scores", None)
    if "sequence_bias" in arguments:  # before 4.49 a dictionary is the only form
        arguments["sequence_bias"] = dict(map(_hashable, arguments["sequence_bias"]))
    given = {name: _tensor(framework, array) for name, array in inputs.items()}
    output = model.generate(**given, **arguments)
    return output.sequences, getattr(output, "sequences_scores", None)


_COMPILED: dict = {}


def _compiled(model, arguments: tuple, stored: str):
    """``generate`` of this model's class, compiled once for each set of arguments; parameters are passed."""
    import jax

    if (arguments, stored) not in _COMPILED:
        _COMPILED[arguments, stored] = jax.jit(
            lambda params, given: model.generate(params=params, **given, **dict(arguments))
        )
    return _COMPILED[arguments, stored]


def _hashable(value):
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _tensor(framework: str, array: np.ndarray):
    if framework == "torch":
        import torch

        return torch.tensor(array)
    import tensorflow

    return tensorflow.constant(array)


def answer(framework: str, inputs: dict, case: dict) -> dict:
    """The result of one case, or the type of its exception."""
    model = loaded(framework, case["checkpoint"])
    try:
        sequences, scores = generated(framework, model, inputs, case["arguments"])
    except Exception as error:  # whatever a library raises is its answer
        return {"raises": type(error).__name__}
    return {
        "sequences": np.asarray(sequences).tolist(),
        "scores": None if scores is None else np.asarray(scores, dtype=np.float64).tolist(),
    }


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    arrays = {name: np.array(rows, dtype=np.int64) for name, rows in job["inputs"].items()}
    Path(sys.argv[2]).write_text(json.dumps([answer(job["framework"], arrays, case) for case in job["cases"]]))
