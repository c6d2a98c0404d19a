"""One example: everything that a draw determines, and the checkpoint and the cases that follow from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from parity.cases.batch import as_single, ordinary_tokens, samples
from parity.cases.standard import standard_cases
from parity.checkpoint.inspection import Checkpoint
from parity.core.case import IGNORED, Case
from parity.core.model_spec import HEADS, ModelSpec
from parity.tools.calibrate.plan import LARGEST_GAIN
from parity.tools.fuzz.architectures import ARCHITECTURES, Choices, is_scale, widest
from reference import composing
from reference.config import config_of
from reference.generation import GENERATION_FILE
from reference.names import LOGITS_BIAS, Table, table_of

AUDITED = tuple(name for name, (documented, _) in ARCHITECTURES.items() if documented in HEADS)
"""The families whose classes are judged."""
LENGTHS = (3, 1, 2, 5, 8, 0)
"""Lengths of a row without padding; 0 stands for the number of positions."""
LONGEST_TEXT = 9
"""Maximum number of tokens of a generated text."""
STEPS = 8
"""Maximum number of calls in which a target is decoded."""
TEXTS = (
    "generate.settings",
    "generate.defaults",
    "generate.greedy",
    "generate.single-row",
    "generate.perturbed-batch",
    "generate.beams",
)
"""The generation cases that are run: the drawn settings, and the cases that they are compared with."""
ON_EITHER_SIDE = (
    "forward",
    "forward.repeated",
    "forward.defaults",
    "encode-decode",
    "decode-steps",
    "decode-chunks",
    "loss",
    "loss.all-ignored",
    "gradients",
    "generate.settings",
    "generate.defaults",
    "generate.greedy",
    "generate.beams",
)
"""The cases that can be run on a batch padded on the left: the others use the first positions of a row."""


@dataclass(frozen=True)
class Example:
    """A model, a batch and settings.

    Attributes:
        config: the content of ``config.json``.
        generation: that of ``generation_config.json``; empty where the class writes no text.
        lengths: the lengths of each row's source and target, without padding.
        ignored: positions of labels that are -100, as row and position.
        padding: the padded side of the source, ``right`` or ``left``.
        masked: whether one of the other rows of ``forward.perturbed-batch`` is masked entirely.
        seed: seed of weights and tokens.
        spread: the weights' standard deviation.
        end_bias: the value added to the end token's logit, where the model has a bias for logits.
    """

    family: str
    config: dict[str, Any]
    generation: dict[str, Any]
    lengths: tuple[tuple[int, int], ...]
    ignored: tuple[tuple[int, int], ...] = ()
    padding: str = "right"
    masked: bool = False
    seed: int = 0
    spread: float = 0.1
    end_bias: float = 0.0

    @property
    def model_class(self) -> str:
        return ARCHITECTURES[self.family][0]

    @property
    def table(self) -> Table:
        """Canonical names and shapes of its parameters."""
        return table_of(config_of(self.config), self.model_class)

    @property
    def size(self) -> tuple[int, int, int]:
        """What shrinking reduces: numbers in the model, tokens in the batch, characters of the example as JSON."""
        numbers = sum(int(np.prod(shape)) for shape in self.table.shapes.values())
        return numbers, sum(map(sum, self.lengths)), len(self.to_json())

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Example:
        data = json.loads(text)
        pairs = {name: tuple(map(tuple, data[name])) for name in ("lengths", "ignored")}
        return cls(**{**data, **pairs})

    def weights(self) -> dict[str, np.ndarray]:
        """Canonical parameters, float32: each is drawn by a generator seeded with its name, so that the order is
        irrelevant."""
        drawn = {name: _parameter(name, shape, self.seed, self.spread) for name, shape in self.table.shapes.items()}
        for name, index, amount in self.raised:
            drawn[name][index] += np.float32(amount)
        return drawn

    @property
    def raised(self) -> list[tuple[str, tuple[int, ...], float]]:
        """Single numbers that are increased after drawing: parameter, index, amount.

        The end token's logit, where it has a bias, so that generated texts end.
        """
        found = []
        if LOGITS_BIAS in self.table.shapes and self.end_bias:
            found.append((LOGITS_BIAS, (0, self.config["eos_token_id"]), self.end_bias))
        return found

    def write(self, directory: Path) -> None:
        """The checkpoint: config, generation settings, weights."""
        composing.save(directory, {**self.config, "architectures": [self.model_class]}, self.weights())
        if self.generation:
            (directory / GENERATION_FILE).write_text(json.dumps(self.generation, indent=2) + "\n", encoding="utf-8")

    def cases(self, checkpoint: Checkpoint) -> list[Case]:
        """The standard cases for this batch, without those that take too long for the errors they can find here."""
        model_spec = checkpoint.model_spec
        standard = standard_cases(model_spec, list(self.rows(model_spec)), checkpoint.generation)
        selected = [
            _in_fewer_steps(case) for case in standard if not case.name.startswith("generate.") or case.name in TEXTS
        ]
        if self.padding == "left":
            selected = [
                _left_padded(case) for case in selected if case.name in ON_EITHER_SIDE or case.operation == "load"
            ]
        return [_masked(case) if self.masked and case.name == "forward.perturbed-batch" else case for case in selected]

    def rows(self, model_spec: ModelSpec) -> Iterator[dict[str, Any]]:
        """The batch, row by row, as ``parity.cases.standard.standard_cases`` takes it."""
        rng = np.random.default_rng([self.seed, 1])
        words, targets = (ordinary_tokens(model_spec, vocab) for vocab in (model_spec.source_vocab, model_spec.vocab))
        for number, (source, target) in enumerate(self.lengths):
            labels = rng.choice(targets, target)
            labels[[position for row, position in self.ignored if row == number]] = IGNORED
            if model_spec.speech is None:
                end = [] if model_spec.end is None else [model_spec.end]
                given = {"input_ids": [*rng.choice(words, source - len(end)).tolist(), *end]}
            else:
                given = {"input_values": as_single(rng.normal(0.0, 1.0, samples(model_spec, source))).tolist()}
            yield {**given, "labels": labels.tolist()}


def _parameter(name: str, shape: tuple[int, ...], seed: int, spread: float) -> np.ndarray:
    rng = np.random.default_rng([seed, *name.encode()])
    drawn = (float(is_scale(name)) + spread * rng.standard_normal(shape)).astype(np.float32)
    return np.abs(drawn) + np.float32(0.1) if "running_var" in name else drawn


def _in_fewer_steps(case: Case) -> Case:
    """Decodes the first tokens of a long target one at a time and the others at once: forty steps take most of the
    time."""
    sizes = case.settings.get("sizes", ())
    if len(sizes) <= STEPS:
        return case
    return replace(case, settings={**case.settings, "sizes": [*sizes[: STEPS - 1], sum(sizes[STEPS - 1 :])]})


def _left_padded(case: Case) -> Case:
    """The same case with the padding of each source row before its tokens."""
    names = [name for name in ("input_ids", "attention_mask") if name in case.inputs]
    if "attention_mask" not in names:
        return case
    filling = [row.count(0) for row in case.inputs["attention_mask"]]
    moved = {
        name: np.array([np.roll(row, n) for row, n in zip(case.inputs[name], filling, strict=True)]).tolist()
        for name in names
    }
    return replace(case, inputs={**case.inputs, **moved})


def _masked(case: Case) -> Case:
    """Masks one of the other rows entirely. Its own result is undocumented, so only the unchanged row is judged."""
    name = "encoder_attention_mask" if "encoder_attention_mask" in case.inputs else "attention_mask"
    other_rows = [row for row in range(case.batch) if row != case.notes["row"]]
    mask = [[0] * len(row) if number in other_rows[:1] else row for number, row in enumerate(case.inputs[name])]
    notes = {note: value for note, value in case.notes.items() if note != "sets_noise_floor"}
    return replace(case, inputs={**case.inputs, name: mask}, notes=notes)


def drawn(shape: Choices, rest: Choices, family: str) -> Example:
    """One example of a family.

    Args:
        shape: determines the shapes, and everything else that is compiled into a program: equal draws compile once.
        rest: determines everything else.
    """
    model_class, architecture = ARCHITECTURES[family]
    config = architecture(shape)
    config = json.loads(json.dumps(config, default=_plain))
    writes = HEADS[model_class] == "language" and model_class != "BartForCausalLM"
    lengths, ignored = _batch(shape, rest, config)
    speech = config["model_type"] == "speech-encoder-decoder"
    most = min(0.35, LARGEST_GAIN / widest(config) ** 0.5)
    return Example(
        family,
        config,
        _generation(shape, rest, config) if writes else {},
        lengths,
        ignored,
        padding="right" if speech or model_class == "BartForCausalLM" else _one_of(rest, ("right", "right", "left")),
        masked=len(lengths) > 1 and not speech and _one_of(rest, (False, False, True)),
        seed=int(rest.integers(0, 2**16)),
        spread=round(most * _one_of(rest, (1.0, 0.5, 0.25)), 4),
        end_bias=_one_of(rest, (0.0, 1.0, 2.0)),
    )


def _batch(
    shape: Choices, rest: Choices, config: Mapping[str, Any]
) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """Lengths of the rows, and which labels are ignored."""
    from parity.checkpoint.inspection import filled
    from parity.core.model_spec import model_spec_of

    model_spec = model_spec_of(filled(dict(config), config_of(dict(config))))
    limits = (model_spec.source_positions if model_spec.speech is None else max(LENGTHS), model_spec.positions)
    lengths = []
    for _ in range(int(shape.integers(1, 5))):
        row = [min(_one_of(shape, LENGTHS) or limit, limit) for limit in limits]
        lengths.append((row[0], row[1]))
    ignored = []
    # RoBERTa counts positions without padding, and in stepwise decoding the padding among earlier tokens is unknown.
    counted = getattr(getattr(model_spec.config, "decoder", None), "model_type", "") == "roberta"
    for row, (_, target) in enumerate(lengths):
        if target > 1 and _one_of(rest, (False, True)):
            ignored.append((row, target - 1 if counted else int(rest.integers(0, target))))
    return tuple(lengths), tuple(ignored)


def _generation(shape: Choices, rest: Choices, config: Mapping[str, Any]) -> dict[str, Any]:
    """A ``generation_config.json``: the config's tokens, lengths, beams and other settings that affect a text."""
    names = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
    longest = int(shape.integers(3, LONGEST_TEXT + 1))
    return {
        **{name: config[name] for name in names if name in config},
        "max_length": longest,
        "num_beams": _one_of(shape, (1, 2, 3)),
        "min_length": int(rest.integers(0, longest)),
        "length_penalty": _one_of(rest, (1.0, 0.5, 2.0)),
        "no_repeat_ngram_size": _one_of(rest, (0, 0, 2, 3)),
        "early_stopping": _one_of(rest, (False, True)),
        "forced_bos_token_id": _one_of(rest, (None, 4)),
        "forced_eos_token_id": _one_of(rest, (None, config["eos_token_id"])),
    }


def _one_of(choices: Choices, options: Sequence[Any]) -> Any:
    return options[int(choices.integers(0, len(options)))]


def _plain(value: Any) -> Any:
    return value.item()
