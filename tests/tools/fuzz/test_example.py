"""What a draw comes to: the same again from its JSON, within what the model allows, padded on the side it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parity.checkpoint.inspection import Checkpoint, inspect_checkpoint
from parity.core.case import IGNORED, Case
from parity.tools.fuzz.coverage import AXES, Coverage
from parity.tools.fuzz.example import AUDITED, ON_EITHER_SIDE, Example, drawn


def example(family: str, number: int = 0) -> Example:
    rng = np.random.default_rng([7, number])
    return drawn(rng, rng, family)


def written(asked: Example, folder: Path) -> tuple[Checkpoint, dict[str, Case]]:
    asked.write(folder)
    checkpoint = inspect_checkpoint(folder)
    return checkpoint, {case.name: case for case in asked.cases(checkpoint)}


@pytest.mark.parametrize("family", AUDITED)
def test_an_example_is_the_same_again_from_its_json(family):
    asked = example(family)
    again = Example.from_json(asked.to_json())
    assert again == asked
    weights = again.weights()
    assert all(np.array_equal(array, weights[name]) for name, array in asked.weights().items())


@pytest.mark.parametrize("family", AUDITED)
def test_the_checkpoint_is_whole_and_the_batch_fits_it(family, tmp_path):
    asked = example(family, 1)
    checkpoint, cases = written(asked, tmp_path / "some")
    assert set(asked.weights()) == set(asked.table.shapes)
    assert checkpoint.model_class == asked.model_class
    assert cases["forward"].batch == len(asked.lengths)
    assert all(target <= checkpoint.model_spec.positions for _, target in asked.lengths)


def test_no_two_parameters_are_drawn_alike():
    values = [array.flat[0] for name, array in example("bart").weights().items()]
    assert len(set(values)) == len(values)


def test_ignored_labels_are_where_the_example_says(tmp_path):
    asked = replace(example("bart"), lengths=((3, 5), (4, 2)), ignored=((0, 3),), padding="right", masked=False)
    _, cases = written(asked, tmp_path / "some")
    labels = np.array(cases["loss"].inputs["labels"])
    assert np.argwhere(labels == IGNORED).tolist() == [[0, 3], [1, 2], [1, 3], [1, 4]]


def test_a_batch_padded_on_the_left_is_the_other_one_moved(tmp_path):
    right = replace(example("bart"), lengths=((5, 4), (2, 3)), ignored=(), padding="right", masked=False)
    _, plain = written(right, tmp_path / "right")
    _, moved = written(replace(right, padding="left"), tmp_path / "left")
    assert moved["forward"].inputs["attention_mask"] == [[1, 1, 1, 1, 1], [0, 0, 0, 1, 1]]
    tokens = plain["forward"].inputs["input_ids"][1]
    assert moved["forward"].inputs["input_ids"][1] == tokens[2:] + tokens[:2]
    assert moved["forward"].inputs["decoder_input_ids"] == plain["forward"].inputs["decoder_input_ids"]
    assert set(moved) <= {*ON_EITHER_SIDE, "load"}


def test_a_masked_other_rows_sees_nothing_and_sets_no_tolerance(tmp_path):
    asked = replace(example("bart"), lengths=((5, 4), (2, 3)), ignored=(), padding="right", masked=True)
    _, cases = written(asked, tmp_path / "some")
    other_rows = cases["forward.perturbed-batch"]
    assert [sum(row) for row in other_rows.inputs["attention_mask"]] == [0, 2]
    assert other_rows.notes["row"] == 1 and "sets_noise_floor" not in other_rows.notes


def test_many_draws_cover_every_value_of_every_axis():
    coverage = Coverage()
    for number in range(150):
        coverage.add(example(AUDITED[number % len(AUDITED)], number))
    assert coverage.missing() == {}
    assert coverage.seen() == (sum(len(values) for values, _ in AXES.values()),) * 2
    assert coverage.examples == 150


def test_what_no_example_had_is_named():
    coverage = Coverage()
    coverage.add(replace(example("bart"), padding="right"))
    assert coverage.missing()["padding"] == ["left"]
    assert "bart-bare" in coverage.missing()["family"]
