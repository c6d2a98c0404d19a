"""Captures all outputs of one backend, in a process of its own.

Run as ``python -m tests.backends.capture_outputs BACKEND VARIANT FOLDER``.

Frameworks do not share a process well, and a backend is set up once in its life. What came back is left in FOLDER:
``answers.json`` and one npz per call; standard output is the caller's to look at.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends.output_names import flatten
from parity.backends.protocol import Reorder
from parity.backends.registry import get_backend
from parity.core.subject import Variant
from tests.backends.samples import (
    CHECKPOINT,
    LAYERS,
    REORDER,
    SAVED,
    TEXTS,
    faulty,
    given,
    head_masks,
    labelled,
    saved,
    stepwise,
)

CLASS = "BartForConditionalGeneration"


class Target:
    """Collects answers; an exception is an answer too."""

    def __init__(self, backend: str, variant: str, folder: Path) -> None:
        self.variant, self.folder = Variant.parse(variant), folder
        self.answers: dict[str, Any] = {}
        self.backend = get_backend(backend)
        self.backend.setup(threads=1, device="cpu", cache=Path(os.environ["CAPTURE_CACHE"]))

    def load(self, checkpoint: Path, dtype: str = "float32") -> Any:
        return self.backend.load(checkpoint, self.variant, device="cpu", dtype=dtype, model_class=CLASS)

    def attempt(self, name: str, question: Callable[[], Any]) -> None:
        try:
            self.answers[name] = question()
        except Exception as error:
            self.answers[name] = {"raised": type(error).__name__, "message": str(error)[:500]}

    def keep(self, name: str, model: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
        arrays, dtypes, facts = flatten(fields, model.to_numpy)
        np.savez(self.folder / f"{name}.npz", **arrays)
        return {"names": list(arrays), "dtypes": dtypes, "facts": facts}

    def load_report(self, model: Any) -> dict[str, Any]:
        parameters = dict(model.parameters())
        np.savez(self.folder / "parameters.npz", **parameters)
        return {"class": model.class_name, "report": dataclasses.asdict(model.report), "parameters": list(parameters)}

    def gradients(self, model: Any) -> dict[str, Any]:
        loss, found = model.gradients(labelled())
        np.savez(self.folder / "gradients.npz", **found)
        value, dtype = model.to_numpy(loss)
        return {"loss": value.tolist(), "dtype": dtype, "names": list(found)}

    def steps(self, name: str, model: Any, sizes: tuple[int, ...], reorder: Reorder | None = None) -> dict[str, Any]:
        steps = list(model.decode_steps(stepwise(), sizes, reorder))
        outputs = [self.keep(f"{name}-{index}", model, step.fields) for index, step in enumerate(steps)]
        cache_arrays = {
            f"{layer} {index}": model.to_numpy(value)
            for layer, values in enumerate(steps[-1].cache)
            for index, value in enumerate(values)
        }
        np.savez(self.folder / f"{name}-cache.npz", **{key: array for key, (array, _) in cache_arrays.items()})
        dtypes = sorted({dtype for _, dtype in cache_arrays.values()})
        return {"steps": outputs, "layouts": [step.layout for step in steps], "dtypes": dtypes}

    def text(self, model: Any, settings: Mapping[str, Any]) -> dict[str, list[Any]]:
        source = {name: given()[name] for name in ("input_ids", "attention_mask")}
        answer = model.generate(source, settings)
        return {name: model.to_numpy(value)[0].tolist() for name, value in answer.items()}

    def decoding(self, model: Any) -> None:
        self.attempt("steps", lambda: self.steps("steps", model, (1, 1, 1, 1, 1)))
        self.attempt("chunks", lambda: self.steps("chunks", model, (3, 2)))
        self.attempt("reordered", lambda: self.steps("reordered", model, (1, 1, 1, 1, 1), Reorder(*REORDER)))
        self.attempt("reorders", lambda: [name for name in dir(model._model) if "reorder" in name])
        for name, settings in TEXTS.items():
            self.attempt(f"text {name}", lambda settings=settings: self.text(model, settings))
        self.attempt("settings", lambda: dict(model.generation_settings()))
        if hasattr(model, "_decoder"):
            decoder = model._decoder
            self.answers["compiled"] = {"begin": decoder.begin._cache_size(), "feed": decoder.feed._cache_size()}

    def layers(self, name: str, model: Any, changed: str = "") -> dict[str, Any]:
        """Every layer alone, given the states of the model's own forward pass; one of them turned round."""
        with np.load(self.folder / "forward.npz") as file:
            states = {each: file[each] for each in file if ".hidden." in each or each == "encoder.last"}
        if changed:
            states[changed] = states[changed][..., ::-1].copy()
        return self.keep(name, model, model.layerwise(given(), states))

    def saved_by(self, version: str) -> None:
        model = self.load(saved(version, self.folder / version))
        self.attempt(f"saved {version}", lambda: dict(model.generation_settings()))
        self.attempt(f"text saved {version}", lambda: self.text(model, {}))

    def tuple_form(self, model: Any) -> dict[str, Any]:
        answer = model.call(given(), as_tuple=True)
        return {"type": type(answer).__name__, "length": len(answer)}

    def dtype(self, dtype: str) -> dict[str, Any]:
        model = self.load(CHECKPOINT, dtype)
        kinds = {array.dtype.name for _, array in model.parameters()}
        steps = self.steps(f"steps-{dtype}", model, (3, 2))
        return {**self.keep(dtype, model, model.call(given())), "parameters": sorted(kinds), "cache": steps["dtypes"]}

    def everything(self, dtypes: tuple[str, ...]) -> None:
        model = self.load(CHECKPOINT)
        self.attempt("load", lambda: self.load_report(model))
        self.attempt("forward", lambda: self.keep("forward", model, model.call(given())))
        self.attempt("halves", lambda: self.keep("halves", model, model.encode_then_decode(given())))
        self.attempt("layers", lambda: self.layers("layers", model))
        for state in LAYERS:
            self.attempt(f"layers {state}", lambda state=state: self.layers(f"layers {state}", model, state))
        self.attempt("labels", lambda: self.keep("labels", model, model.call(labelled())))
        default = {"input_ids": given()["input_ids"]}
        self.attempt("defaults", lambda: self.keep("defaults", model, model.call(default)))
        self.attempt("head_masks", lambda: self.keep("head_masks", model, model.call({**given(), **head_masks()})))
        self.attempt("tuple", lambda: self.tuple_form(model))
        self.attempt("gradients", lambda: self.gradients(model))
        self.decoding(model)
        for version in SAVED:
            self.saved_by(version)
        self.attempt("nowhere", lambda: self.load(CHECKPOINT.parent / "nowhere"))
        broken = faulty(self.folder / "faulty")
        self.attempt("faulty", lambda: dataclasses.asdict(self.load(broken).report))
        for dtype in dtypes:
            self.attempt(dtype, lambda dtype=dtype: self.dtype(dtype))


def main() -> None:
    backend, variant, folder, *dtypes = sys.argv[1:]
    target = Target(backend, variant, Path(folder))
    target.everything(tuple(dtypes))
    (Path(folder) / "answers.json").write_text(json.dumps(target.answers), encoding="utf-8")


if __name__ == "__main__":
    main()
