"""``--cases exhaustive``: what it adds passes, and an ignored argument fails."""

from __future__ import annotations

import pytest

from parity import api
from parity.backends.mutants.library_source import mutations
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.errors import InputError
from parity.core.resources import fixture
from parity.judge.selection import narrowed_case
from parity.tools.selftest.arguments import Ignored
from parity.tools.selftest.library import LIBRARIES
from parity.tools.selftest.mutation_runs import NarrowCase, Runner, of_operations
from tests.end_to_end.conftest import shared_cache

MADE_OF = ("load", "forward", "generate.settings", "generate.greedy", "generate.single-row")
"""The cases that further ones are made of and judged with."""
FORMS = ("prefix_allowed_tokens_fn", "logits_processor", "stopping_criteria", "streamer", "assistant_model")
FORMS += ("output_logits", "output_hidden_states", "output_attentions")
ADDED = {
    ("CALL02", "forward.inputs-embeds"),
    ("CALL02", "forward.decoder-inputs-embeds"),
    ("CALL03", "forward.no-cache"),
    ("CALL04", "forward.encoder-tuple"),
    ("CALL04", "forward.encoder-states"),
    *(("OUT04", f"forward.only-{name}") for name in ("defaults", "hidden-states", "attentions")),
    ("CALL06", "forward.positions"),
    *(("CALL07", f"forward.inputs-as-{form}") for form in ("list", "tuple", "dict")),
}


def of_cases(*names: str) -> NarrowCase:
    """Candidates run these cases only, and those that they are made of."""
    return lambda case: narrowed_case(case, {*MADE_OF, *names})


@pytest.mark.full
def test_further_cases_pass(tmp_path, tmp_path_factory):
    report = api.audit(
        [fixture("bart-odd"), fixture("bart-bare")],
        backends=["hf-torch", "hf-tf"],
        checks=["CALL02", "CALL03", "CALL04", "CALL06", "CALL07", "OUT04"],
        case_set="exhaustive",
        cache=shared_cache(tmp_path_factory),
        out=tmp_path / "run",
    )
    assert {(verdict.check, verdict.case) for verdict in report.verdicts if verdict.status == "pass"} == ADDED
    assert report.totals.fail == report.totals.error == 0


RULES = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")


@pytest.mark.full
def test_sampling_passes_or_is_known(tmp_path, tmp_path_factory):
    report = api.audit(
        [fixture("bart-odd"), fixture("bert2bert")],
        backends=["hf-torch", "hf-tf", "hf-flax"],
        checks=["sampling"],
        case_set="exhaustive",
        cache=shared_cache(tmp_path_factory),
        out=tmp_path / "run",
    )
    assert report.totals.fail == report.totals.error == 0
    passed = {
        (verdict.check, verdict.case)
        for verdict in report.verdicts
        if verdict.status == "pass" and (verdict.backend, verdict.checkpoint) == ("hf-torch", "bart-odd")
    }
    cases = {"plain", "combined", *(name.replace("_", "-") for name in RULES)}
    of_draws = {(check, f"sample.{name}") for check in ("SAMPLE01", "SAMPLE02") for name in cases}
    assert passed == {*of_draws, ("SAMPLE03", "sample-seeds")}
    known = {v.evidence["known_issue"] for v in report.verdicts if v.status == "known" and v.checkpoint == "bart-odd"}
    assert known == {"hf-ignored-sampling-settings"}


@pytest.mark.full
def test_a_setting_of_sampling_that_is_ignored_fails(tmp_path, tmp_path_factory):
    runner = Runner(LIBRARIES["hf-torch"], tmp_path, shared_cache(tmp_path_factory), None, None)
    faults = [Ignored("BartForConditionalGeneration", "generate", name) for name in (*RULES, "do_sample")]
    found = runner.run("bart-odd", dict.fromkeys(faults, ("eager",)), of_cases("sample.*"))
    assert [each.outcome for each in found] == ["detected"] * len(faults), found
    assert all("SAMPLE01" in each.checks for each in found[: len(RULES)]), found


SETTINGS = {
    "suppress-tokens",
    "begin-suppress-tokens",
    "bad-words",
    "sequence-bias",
    "repetition-penalty",
    "exponential-decay",
    "decay-and-min-length",
    "new-tokens",
    "no-cache",
    "beams-no-cache",
    "beams-bad-words",
    "renormalized",
}


@pytest.mark.full
def test_further_generation_settings_pass_or_are_known(tmp_path, tmp_path_factory):
    report = api.audit(
        [fixture("bart-odd")],
        backends=["hf-torch", "hf-tf", "hf-flax"],
        checks=["GEN02", "GEN03", "GEN04", "GEN05", "GEN07"],
        case_set="exhaustive",
        cache=shared_cache(tmp_path_factory),
        out=tmp_path / "run",
    )
    assert report.totals.fail == report.totals.error == 0
    passed = {verdict.case for verdict in report.verdicts if verdict.status == "pass" and verdict.backend == "hf-torch"}
    forms = {f"by-{name.replace('_', '-')}" for name in FORMS}
    assert {f"generate.{name}" for name in {*SETTINGS, *forms}} <= passed
    known = {verdict.evidence["known_issue"] for verdict in report.verdicts if verdict.status == "known"}
    assert {
        "hf-tf-ignores-generation-settings",
        "hf-flax-ignores-generation-settings",
        "hf-min-new-tokens-ignored",
        "hf-torch-stop-strings-raise",
        "hf-tf-generate-without-cross-attentions",
    } <= known
    elsewhere = {v.backend for v in report.verdicts if v.status == "pass" and v.case == "generate.by-logits-processor"}
    assert elsewhere == {"hf-torch", "hf-tf", "hf-flax"}


@pytest.mark.full
def test_a_function_or_model_that_generate_ignores_fails(tmp_path, tmp_path_factory):
    runner = Runner(LIBRARIES["hf-torch"], tmp_path, shared_cache(tmp_path_factory), None, None)
    faults = [Ignored("BartForConditionalGeneration", "generate", name) for name in FORMS]
    cases = [f"generate.by-{name.replace('_', '-')}" for name in FORMS]
    found = runner.run("bart-odd", dict.fromkeys(faults, ("eager",)), of_cases(*cases))
    assert [(each.outcome, each.case) for each in found] == [("detected", case) for case in cases], found


@pytest.mark.full
def test_an_argument_that_tensorflow_ignores_fails(tmp_path, tmp_path_factory):
    runner = Runner(LIBRARIES["hf-tf"], tmp_path, shared_cache(tmp_path_factory), None, None)
    faults = {
        Ignored("TFBartForConditionalGeneration", "call", "decoder_position_ids"): "forward.positions",
        Ignored("TFBartForConditionalGeneration", "generate", "seed"): "sample-seeds",
        **{
            Ignored("TFBartForConditionalGeneration", "generate", name): f"generate.by-{name.replace('_', '-')}"
            for name in ("logits_processor", "output_hidden_states", "output_attentions")
        },
    }
    found = runner.run("bart-odd", dict.fromkeys(faults, ("eager",)), of_cases(*faults.values()))
    assert [(each.outcome, each.case) for each in found] == [("detected", case) for case in faults.values()]


@pytest.mark.full
def test_stop_strings_that_are_ignored_fail(tmp_path, tmp_path_factory):
    """On a composition: BART's call with them raises in 4.57.6."""
    runner = Runner(LIBRARIES["hf-torch"], tmp_path, shared_cache(tmp_path_factory), None, None)
    fault = Ignored("EncoderDecoderModel", "generate", "stop_strings")
    (found,) = runner.run("bert2bert", {fault: ("eager",)}, of_cases("generate.by-stop-strings"))
    assert (found.outcome, found.case) == ("detected", "generate.by-stop-strings")


@pytest.mark.full
def test_an_argument_that_is_ignored_fails(tmp_path, tmp_path_factory):
    runner = Runner(LIBRARIES["hf-torch"], tmp_path, shared_cache(tmp_path_factory), None, None)
    names = ("inputs_embeds", "decoder_inputs_embeds", "use_cache")
    faults = [Ignored("BartForConditionalGeneration", "forward", name) for name in names]
    found = runner.run(
        "bart-odd", dict.fromkeys(faults, ("eager",)), of_operations("load", "forward", "embedded", "uncached")
    )
    assert [(each.outcome, each.checks, each.case) for each in found] == [
        ("detected", ["CALL02"], "forward.inputs-embeds"),
        ("detected", ["CALL02"], "forward.decoder-inputs-embeds"),
        ("detected", ["CALL03"], "forward.no-cache"),
    ]


@pytest.mark.full
@pytest.mark.parametrize("name", ["bart-labels", "bart-span"])
def test_encoder_outputs_that_a_classifier_ignores_fail(name, tmp_path, tmp_path_factory):
    runner = Runner(LIBRARIES["hf-torch"], tmp_path, shared_cache(tmp_path_factory), None, None)
    owner = inspect_checkpoint(fixture(name)).model_class
    fault = Ignored(owner, "forward", "encoder_outputs")
    (found,) = runner.run(name, {fault: ("eager",)}, of_operations("load", "forward", "encode_decode"))
    assert (found.outcome, found.checks) == ("detected", ["CALL04"])


@pytest.mark.full
def test_each_form_of_the_call_passes_or_is_known(tmp_path, tmp_path_factory):
    report = api.audit(
        [fixture("bart-labels"), fixture("bart-causal"), fixture("bert2bert")],
        backends=["hf-tf", "hf-flax"],
        checks=["CALL04", "CALL05", "CALL06"],
        case_set="exhaustive",
        cache=shared_cache(tmp_path_factory),
        out=tmp_path / "run",
    )
    assert report.totals.fail == report.totals.error == 0
    known = {verdict.evidence["known_issue"] for verdict in report.verdicts if verdict.status == "known"}
    assert known == {"hf-tf-composition-refuses-encoder-tuple", "hf-flax-classifier-vmap-raises"}
    passed = {(v.check, v.backend) for v in report.verdicts if v.status == "pass"}
    assert passed == {("CALL04", "hf-tf"), ("CALL05", "hf-flax"), ("CALL06", "hf-flax")}


@pytest.mark.full
def test_parameters_and_positions_that_flax_ignores_fail(tmp_path, tmp_path_factory):
    runner = Runner(LIBRARIES["hf-flax"], tmp_path, shared_cache(tmp_path_factory), None, None)
    names = ("params", "position_ids", "decoder_position_ids")
    faults = [Ignored("FlaxBartForConditionalGeneration", "__call__", name) for name in names]
    cases = of_cases("forward.given-parameters", "forward.positions")
    found = runner.run("bart-odd", dict.fromkeys(faults, ("eager",)), cases)
    assert [(each.outcome, each.checks, each.case) for each in found] == [
        ("detected", ["CALL05"], "forward.given-parameters"),
        ("detected", ["CALL06"], "forward.positions"),
        ("detected", ["CALL06"], "forward.positions"),
    ]


def test_another_set_of_cases_is_one_line():
    with pytest.raises(InputError, match="no set of cases is called all"):
        api.audit([fixture("bart-odd")], case_set="all")


TRAINING = {
    ("TRAIN01", "training.without-dropout"),
    ("TRAIN02", "training.dropout"),
    ("TRAIN03", "training.attention-dropout"),
    ("TRAIN03", "training.activation-dropout"),
    ("TRAIN06", "training.decoder-attention-dropout"),
    ("TRAIN06", "training.decoder-activation-dropout"),
    ("TRAIN04", "training.classifier-dropout"),
    ("TRAIN05", "training.layer-drop"),
}


@pytest.mark.full
def test_training_mode_passes_or_is_known(tmp_path, tmp_path_factory):
    report = api.audit(
        [fixture("bart-labels"), fixture("bart-causal"), fixture("bert2bert")],
        backends=["hf-torch", "hf-tf", "hf-flax"],
        checks=["training"],
        case_set="exhaustive",
        cache=shared_cache(tmp_path_factory),
        out=tmp_path / "run",
    )
    assert report.totals.fail == report.totals.error == 0
    for backend in ("hf-torch", "hf-tf"):
        passed = {(v.check, v.case) for v in report.verdicts if (v.status, v.backend) == ("pass", backend)}
        assert passed == TRAINING
    known = {v.evidence["known_issue"] for v in report.verdicts if v.status == "known"}
    assert known == {"hf-flax-no-attention-dropout", "hf-flax-layer-drop-raises"}
    # Of a composition only the documented page of BART says what dropout does.
    assert {v.checkpoint for v in report.verdicts} == {"bart-labels", "bart-causal"}


BART = "transformers.models.bart.modeling_bart"
DROPPED = [
    ("BartEncoder.forward", "self.dropout", "self.layerdrop", "TRAIN02"),
    ("BartDecoder.forward", "p=self.dropout", "nothing", "TRAIN01"),
    ("BartEncoderLayer.__init__", "config.attention_dropout", "config.d_model", "TRAIN01"),
    ("BartAttention.forward", "dropout=0.0 if not self.training else self.dropout", "nothing", "TRAIN03"),
    ("BartEncoderLayer.forward", "p=self.activation_dropout", "nothing", "TRAIN01"),
    ("BartDecoderLayer.forward", "self.activation_dropout", "self.dropout", "TRAIN06"),
    ("BartDecoder.__init__", "config.decoder_layerdrop", "config.pad_token_id", "TRAIN01"),
    ("BartClassificationHead.__init__", "p=pooler_dropout", "nothing", "TRAIN01"),
]
"""Changes of PyTorch's classes: function, what is there, what takes its place, and a check that fails."""


@pytest.mark.full
def test_a_wrong_probability_of_dropout_is_detected(tmp_path, tmp_path_factory):
    runner = Runner(LIBRARIES["hf-torch"], tmp_path, shared_cache(tmp_path_factory), None, None)
    named = {(each.function, each.before, each.after): each for each in mutations(BART)}
    faults = [named[function, before, after] for function, before, after, _ in DROPPED]
    found = runner.run("bart-labels", dict.fromkeys(faults, ("eager",)), of_operations("load", "forward", "training"))
    assert [each.outcome for each in found] == ["detected"] * len(faults), found
    for result, (*_, expected) in zip(found, DROPPED, strict=True):
        assert expected in result.checks, (result.text, result.checks)


INPUTS = "transformers.modeling_tf_utils"
"""Where TensorFlow's forms of inputs are told apart."""
BOTH_REQUESTED = "output_attentions and encoder_hidden_states is not None"


@pytest.mark.full
def test_a_field_that_another_argument_requests_fails(tmp_path, tmp_path_factory):
    runner = Runner(LIBRARIES["hf-torch"], tmp_path, shared_cache(tmp_path_factory), None, None)
    after = BOTH_REQUESTED.replace(" and ", " or ")
    fault = next(each for each in mutations(BART) if (each.before, each.after) == (BOTH_REQUESTED, after))
    (found,) = runner.run("bart-odd", {fault: ("eager",)}, of_operations("load", "forward", "requested"))
    assert (found.outcome, found.checks) == ("detected", ["OUT04"]), found
    assert found.case == "forward.only-defaults", found


@pytest.mark.full
def test_inputs_in_the_first_argument_that_are_refused_fail(tmp_path, tmp_path_factory):
    runner = Runner(LIBRARIES["hf-tf"], tmp_path, shared_cache(tmp_path_factory), None, None)
    named = {(each.function, each.before, each.after): each for each in mutations(INPUTS)}
    before = "isinstance(input, allowed_types) or input is None"
    fault = named["input_processing", before, before.replace(" or ", " and ")]
    (found,) = runner.run("bart-odd", {fault: ("eager",)}, of_operations("load", "forward", "in_form"))
    assert (found.outcome, found.checks, found.case) == ("detected", ["CALL07"], "forward.inputs-as-list"), found
