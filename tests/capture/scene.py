"""A whole capture of the fake backend: the oracle, a noise floor's member equal to a candidate, and that candidate.

Run as a script it captures slow cases, for tests that kill it: ``python -m tests.capture.scene FOLDER``.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from parity.capture import pipeline
from parity.capture.pipeline import capture
from parity.core.case import Case
from parity.core.model_spec import model_spec_of
from parity.core.options import AuditOptions
from parity.core.subject import Subject
from tests.capture.fake_backend import FINE, SLOW

SUBJECTS = [
    Subject("fake", dtype="float64", role="oracle"),
    Subject("fake", role="noise_floor"),
    Subject("fake"),
]
SLOW_CASES = 6


def case(name, value=FINE, operation="forward", row=0, **more):
    return Case(name, operation, {"input_ids": [[value, row], [0, 3]]}, notes={"sets_noise_floor": True}, **more)


def ordinary_cases(model_spec, rows, generation):
    return [
        case("forward"),
        case("tuple", operation="tuple"),
        Case("load", "load"),
        case("heads", requires=("head_masks",)),
    ]


def slow_cases(model_spec, rows, generation):
    return [case(f"slow-{index}", SLOW, row=index) for index in range(SLOW_CASES)]


def checkpoints(paths, model_class, unreadable):
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Checkpoint:
        name: str
        path: Path
        digest: str = "0" * 64
        weight_bytes: int = 0
        handed: tuple = ()
        unused: tuple = ()
        unexamined: tuple = ()
        facts: None = None
        notices: tuple = ()

        @property
        def config(self):
            return {"model_type": "bart"}

        @property
        def model_class(self):
            return "BartForConditionalGeneration"

        @property
        def model_spec(self):
            return model_spec_of(self.config)

        @property
        def generation(self):
            return {"max_length": 20}

    return [Checkpoint(path.name, path) for path in paths], list(unreadable)


def play(folder, cases=ordinary_cases, subjects=SUBJECTS, names=("model",), **options):
    """Captures checkpoints of equal files into ``folder/run`` with the cache ``folder/cache``."""
    models = [folder / name for name in names]
    for model in models:
        model.mkdir(exist_ok=True)
    stack = SimpleNamespace(name="main", interpreter=Path(sys.executable), environment={}, backends=("fake",))
    with (
        mock.patch.object(pipeline, "subjects", lambda *arguments: subjects),
        mock.patch.object(pipeline, "_inspect", checkpoints),
        # The fake stands in for the oracle, whose framework its stack does not name.
        mock.patch.object(pipeline, "add_peers", lambda everyone, versions, references: everyone),
        mock.patch.object(pipeline, "_oracle_can_run", lambda *arguments: None),
        mock.patch("parity.core.stacks.resolve_stack", lambda text: stack),
    ):
        given = {"out": folder / "run", "cache": folder / "cache", "cases": cases, "time_limit": 20.0, **options}
        named = {each.name for each in fields(AuditOptions)}
        options = AuditOptions(**{name: value for name, value in given.items() if name in named})
        return capture(models, options, **{name: value for name, value in given.items() if name not in named})


if __name__ == "__main__":
    play(Path(sys.argv[1]), slow_cases, SUBJECTS[2:])
