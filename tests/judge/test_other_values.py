"""What wrong values equal instead: a known issue that states it hides no second fault."""

import numpy as np
import pytest

from parity.core.trace import Trace
from parity.judge.checks.losses import documented_loss
from parity.judge.judge import judge
from parity.judge.known_issues import entries
from parity.judge.other_values import OTHER_LOSSES, PADDING_SEEN, other_inputs
from tests.judge.sample_runs import CANDIDATE, cells, writable


@pytest.fixture
def without_masks(original):
    """The candidate's pass without head masks, as a library has it that ignores them."""
    return original[CANDIDATE, "forward"]


def equals(directory, check: str, case: str) -> list[str]:
    (verdict,) = (each for each in cells(judge(directory), check, "fail") if each.case == case)
    return verdict.evidence["equals"]


def test_ignored_head_masks_are_recognised(run_directory, without_masks):
    written = run_directory({"forward.head-masks": lambda trace: without_masks})
    assert equals(written, "HEAD01", "forward.head-masks") == ["forward"]


@pytest.mark.parametrize("tensor", ["encoder.hidden.2", "decoder.attention.1", "logits"])
def test_a_second_fault_beside_ignored_head_masks_is_not(run_directory, without_masks, tensor):
    def with_fault(trace: Trace) -> Trace:
        found = writable(without_masks)
        found.arrays[tensor].flat[-1] += 0.1
        return found

    assert equals(run_directory({"forward.head-masks": with_fault}), "HEAD01", "forward.head-masks") == []


def with_loss_of(model_spec, inputs, factor=1.0):
    def alter(trace: Trace) -> Trace:
        found = writable(trace)
        loss = documented_loss(model_spec, found.arrays, inputs)
        found.arrays["loss"] = np.array(loss * factor, found.arrays["loss"].dtype)
        return found

    return alter


@pytest.mark.parametrize("check", ["LOSS01", "LOSS02"])
@pytest.mark.parametrize("factor, names", [(1.0, ["padding_ignored"]), (1.001, [])])
def test_a_loss_without_padding_is_recognised_and_another_one_is_not(
    run_directory, inspected, cases, check, factor, names
):
    case = cases["loss.padding-label"]
    ((_, inputs),) = other_inputs(inspected.model_spec, case.inputs)
    written = run_directory({case.name: with_loss_of(inspected.model_spec, inputs, factor)})
    assert equals(written, check, case.name) == names


def test_negative_positions_that_count_are_those_of_position_0(inspected):
    given = {"start_positions": [3, -1], "end_positions": [5, -2]}
    ((name, inputs),) = other_inputs(inspected.model_spec, given)
    assert name == "negative_clamped"
    assert {key: list(value) for key, value in inputs.items()} == {"start_positions": [3, 0], "end_positions": [5, 0]}


def test_every_entry_names_values_that_are_computed():
    named = {entry.equals for entry in entries() if entry.equals}
    assert named == {"forward", PADDING_SEEN, *OTHER_LOSSES}
