"""``parity.check``: an object of this process against the checkpoint that it should be."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
import torch

import parity
from parity.capture.in_process import caller_restored
from parity.core.resources import fixture
from parity.tools.quantise import quantise
from tests.own_model import models


@pytest.fixture(scope="module")
def directory():
    return fixture("bart-tiny")


@pytest.fixture
def check(directory, cache):
    """Checks a model on bart-tiny, with the traces of all tests' audits."""

    def run(model, **options):
        return parity.check(model, directory, cache=cache, **options)

    return run


@pytest.fixture
def library(directory):
    return models.library(directory)


def first(report, check="NUM01"):
    """The first divergence of the failures of one check."""
    found = [each for each in report.failures if each.check == check]
    assert found, [str(each) for each in report.failures]
    return found[0].first_divergence.tensor


@pytest.mark.full
def test_the_library_s_class_is_checked_through_its_whole_interface(check, library):
    report = check(library)
    assert report.failures == () and report.totals.passed > 90
    # What is known of the library's class is known of it here.
    known = {verdict.evidence["known_issue"] for verdict in report.verdicts if verdict.status == "known"}
    assert "hf-labels-switch-the-cache-off" in known
    assert {"GEN02", "CACHE01", "GRAD01", "LOAD01"} <= {verdict.check for verdict in report.verdicts}


@pytest.mark.full
def test_a_class_with_fused_attention_is_judged_as_the_library_s_own(check, directory):
    import transformers

    report = check(transformers.BartForConditionalGeneration.from_pretrained(directory), checks=["outputs", "HEAD01"])
    assert report.failures == () and {verdict.variant for verdict in report.verdicts if verdict.case} >= {"sdpa"}
    known = {verdict.evidence["known_issue"] for verdict in report.verdicts if verdict.status == "known"}
    assert "hf-torch-sdpa-ignores-head-masks" in known


@pytest.mark.full
def test_a_fault_in_a_class_of_the_library_is_located(check, library):
    report = check(models.scaled_row(library), checks=["loading", "numbers"])
    assert first(report) == "decoder.hidden.1"
    loaded = next(each for each in report.failures if each.check == "LOAD01")
    assert "model.decoder.layers.0.fc1.weight" in str(loaded)


@pytest.mark.full
@pytest.mark.parametrize(
    ("fault", "tensor"), [(models.scaled_row, "decoder.hidden.1"), (models.tanh_gelu, "encoder.hidden.2")]
)
def test_a_fault_in_a_module_of_other_names_is_located_in_its_layer(check, directory, fault, tensor):
    given = models.renamed(directory)
    right = check(given["model"], rename=given["rename"], capture=given["capture"])
    assert right.failures == () and {"LOAD01", "NUM01", "LOSS01"} <= passed(right)
    wrong = check(fault(given["model"]), rename=given["rename"], capture=given["capture"])
    assert first(wrong) == tensor


def passed(report):
    return {verdict.check for verdict in report.verdicts if verdict.status == "pass"}


@pytest.mark.full
def test_labels_that_are_not_shifted_are_found(check, library):
    assert {"LOSS01", "NUM04"} <= passed(check(models.Renamed(library)))
    report = check(models.Unshifted(library))
    assert {each.check for each in report.failures} >= {"LOSS01", "SHIFT01"}


@pytest.mark.full
def test_a_compiled_module_is_checked_as_what_it_computes(check, library):
    compiled = torch.compile(models.tanh_gelu(library), backend="eager")
    assert first(check(compiled, checks=["numbers"])) == "encoder.hidden.2"


def test_a_function_of_three_arguments_is_asked_for_logits(check, directory):
    report = check(models.function(directory))
    assert report.failures == () and {"NUM04", "BATCH01", "MASK01"} <= passed(report)
    assert report.totals.passed >= 10 and report.totals.skip
    reasons = " ".join(verdict.reason for verdict in report.verdicts if verdict.status == "skip")
    assert "forward is a function" in reasons and "forward takes no labels" in reasons
    wrong = check(models.wrong_function(directory))
    assert first(wrong, "NUM04") == "logits"


@pytest.mark.full
def test_nothing_of_the_caller_s_process_is_changed(check, library):
    library.train()
    library.lm_head.weight.grad = torch.ones_like(library.lm_head.weight)
    torch.manual_seed(1), np.random.seed(2)
    threads, expected = torch.get_num_threads(), (torch.rand(2), np.random.rand(2).tolist())
    torch.manual_seed(1), np.random.seed(2)
    hooks = [len(each._forward_hooks) for each in library.modules()]
    check(library, checks=["GRAD01", "NUM01"], references=["reference-torch"])
    assert torch.equal(torch.rand(2), expected[0]) and np.random.rand(2).tolist() == expected[1]
    assert torch.get_num_threads() == threads
    assert all(each.training for each in library.modules())
    assert bool((library.lm_head.weight.grad == 1).all())
    assert [len(each._forward_hooks) for each in library.modules()] == hooks


def test_python_s_random_state_is_restored():
    # In the test above beartype draws from it, in the calls of the references.
    random.seed(3)
    before = random.getstate()
    with caller_restored(None):
        random.random()
    assert random.getstate() == before


def test_switches_that_a_model_sets_are_restored():
    before = torch.get_default_dtype(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()
    with caller_restored(torch.nn.Linear(1, 1)):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(not before[1])
        torch.use_deterministic_algorithms(not before[2])
    assert before == (torch.get_default_dtype(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled())


@pytest.mark.full
def test_a_model_that_forks_is_run_in_this_process_only(check, directory):
    model = models.forking(directory)
    assert check(model, checks=["NUM04"]).failures == ()
    assert model.copies and {os.waitpid(copy, 0)[1] for copy in model.copies} == {0}


@pytest.mark.full
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_module_of_another_dtype_is_compared_in_that_dtype(check, library, dtype):
    half = library.to(getattr(torch, dtype))
    report = check(models.Renamed(half).train(), checks=["NUM04", "LOSS01"])
    assert report.failures == () and {"NUM04", "LOSS01"} <= passed(report)
    whole = check(half, checks=["GRAD01", "GEN02"])
    assert whole.failures == () and whole.totals.error == 0 and "GEN02" in passed(whole)
    assert "both references" in whole.tolerances
    assert {verdict.dtype for verdict in report.verdicts if verdict.check == "NUM04"} == {dtype}


@pytest.mark.full
def test_an_exported_and_a_traced_module_are_checked(check, directory):
    import transformers

    module = models.Logits(transformers.BartForConditionalGeneration.from_pretrained(directory)).eval()
    axes = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    example = {"input_ids": torch.full((2, 7), 5), "attention_mask": torch.ones(2, 7, dtype=torch.int64)}
    example["decoder_input_ids"] = torch.full((2, 5), 5)
    exported = torch.export.export(module, (), example, dynamic_shapes=dict.fromkeys(example, axes))
    traced = torch.jit.trace(module, example_kwarg_inputs=example, check_trace=False)
    for model in (exported.module(), traced):
        report = check(model, checks=["NUM04", "BATCH01"])
        assert report.failures == () and {"NUM04", "BATCH01"} <= passed(report)


@pytest.mark.full
def test_a_mask_that_a_model_requires_is_passed_to_it(check, library):
    def forward(input_ids, attention_mask, decoder_input_ids, decoder_attention_mask):
        arrays = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "decoder_input_ids": decoder_input_ids,
            "decoder_attention_mask": decoder_attention_mask,
        }
        with torch.no_grad():
            return library.eval()(**{name: torch.from_numpy(array) for name, array in arrays.items()}).logits

    report = check(forward, checks=["NUM04", "MASK02"])
    assert report.failures == () and "NUM04" in passed(report)


@pytest.mark.full
def test_a_function_that_computes_in_another_dtype_is_compared_in_it(check, directory):
    right = models.function(directory)

    def forward(input_ids, attention_mask, decoder_input_ids):
        return torch.from_numpy(right(input_ids, attention_mask, decoder_input_ids)).bfloat16()

    report = check(forward, checks=["NUM04"])
    assert report.failures == () and {each.dtype for each in report.verdicts if each.check == "NUM04"} == {"bfloat16"}


@pytest.mark.full
def test_a_function_of_one_argument_is_skipped_by_its_name(check):
    report = check(lambda input_ids: {"encoder": input_ids}, name="one")
    assert report.totals.error == 0 and "NUM04" not in passed(report)
    assert any("<lambda> takes no decoder_input_ids" in verdict.reason for verdict in report.verdicts)


@pytest.mark.full
def test_a_model_that_returns_nan_or_raises_is_a_finding(check, directory):
    report = check(models.not_a_number(directory))
    assert any("NaN" in str(each) or "finite" in str(each) for each in report.failures)
    report = check(models.raises_at_the_second_call(directory))
    assert any("the second call" in str(each) for each in report.failures)


@pytest.mark.parametrize(
    ("model", "options", "cause"),
    [
        (
            lambda input_ids, ids: ids,
            {},
            "<lambda> has an argument ids without a default, which is not a documented input",
        ),
        ("text", {}, "a str is no module and no function"),
        (lambda tokens: tokens, {}, r"<lambda> has no argument input_ids \(its arguments: tokens\)"),
        (lambda input_ids: input_ids, {"params": {}}, "params: only for a Flax module, and the model is a function"),
        (lambda input_ids: input_ids, {"rename": str}, "rename: only for a torch.nn.Module, and the model is a functi"),
        (torch.nn.Linear(1, 1), {}, r"Linear.forward has no argument input_ids \(its arguments: input\)"),
        (lambda input_ids: input_ids, {"name": "hf-torch"}, "name: hf-torch is the name of a backend"),
        (lambda input_ids: input_ids, {"name": "a b"}, "name: a b has characters other than"),
        (lambda input_ids: input_ids, {"device": "cuda"}, "device: not an option of check"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(check, model, options, cause):
    with pytest.raises(parity.InputError, match=f"^{cause}"):
        check(model, **options)


def test_layers_that_are_not_captured_are_named(check, library):
    module = models.Renamed(library)
    with pytest.raises(parity.InputError, match=r"^capture: encoder.hidden.1: Renamed has no submodule net.nowhere"):
        check(module, capture={"encoder.hidden.1": "net.nowhere"})
    with pytest.raises(parity.InputError, match=r"^capture: encoder.hidden.0 is missing"):
        check(module, capture={"encoder.hidden.1": "net.model.encoder.layers.0"})


@pytest.mark.full
def test_a_model_with_rounded_weights_is_exact_against_the_rounded_checkpoint(directory, library, cache, tmp_path):
    """What rounding moves is told from what an implementation adds."""
    with torch.no_grad():
        for layer in library.modules():
            if isinstance(layer, torch.nn.Linear) and layer is not library.lm_head:
                weight = layer.weight.double()
                scales = weight.abs().amax(dim=1, keepdim=True) / 127
                layer.weight.copy_((weight / scales).round().clamp(-127, 127) * scales)
    quantise(directory, tmp_path / "int8", "int8-per-channel")
    assert parity.check(library, tmp_path / "int8", cache=cache, checks=["numbers"]).failures == ()
    distance = parity.check(library, directory, cache=cache, checks=["NUM04"]).failures[0].ratio
    assert distance > 100
