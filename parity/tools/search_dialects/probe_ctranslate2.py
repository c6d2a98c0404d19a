"""The texts of CTranslate2 for ``measure``: ``python -m parity.tools.search_dialects.probe_ctranslate2 JOB ANSWER``.

Job and answer are those of ``probe``. Unlike a library, the engine has no ``generate``: the calls are those of our
adapter, so that lengths, padding and settings that are not passed follow its mapping of the documented settings.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends.engines.conversion import RECORD
from parity.backends.engines.ctranslate2_backend import CTranslate2
from parity.backends.engines.ctranslate2_files import variables, write_variables
from parity.core.subject import Variant
from reference.config import BartConfig, read_config

CLASS = "BartForConditionalGeneration"


def loaded(checkpoint: Path, folder: Path) -> Any:
    """The converted checkpoint; the converter gives the decoder the encoder's number of heads, which is corrected."""
    engine, config = CTranslate2(), read_config(checkpoint)
    assert isinstance(config, BartConfig)
    engine.setup(threads=1, device="cpu", cache=folder / "cache" / "compiled")
    model = engine.load(checkpoint, Variant(), device="cpu", dtype="float32", model_class=CLASS)
    found = {**variables(model.directory), "decoder/num_heads": np.array(config.decoder_attention_heads, np.int16)}
    write_variables(model.directory, found)
    (model.directory / RECORD).unlink()
    engine.setup(threads=1, device="cpu", cache=folder, given=str(model.directory))
    return engine.load(checkpoint, Variant(), device="cpu", dtype="float32", model_class=CLASS)


def answers(job: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The result of each case, or the type of its exception."""
    inputs = {name: np.array(rows, dtype=np.int64) for name, rows in job["inputs"].items()}
    model = cache(lambda checkpoint: loaded(Path(checkpoint), folder))
    found = []
    for case in job["cases"]:
        try:
            output = model(case["checkpoint"]).generate(inputs, case["arguments"])
        except NotImplementedError as error:
            found.append({"raises": type(error).__name__})
            continue
        scores = output.get("sequences_scores")
        found.append({"sequences": output["sequences"].tolist(), "scores": None if scores is None else scores.tolist()})
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        Path(sys.argv[2]).write_text(json.dumps(answers(given, Path(place))), encoding="utf-8")
