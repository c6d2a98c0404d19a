"""What is not installed: who is judged then, by what, and what was requested and cannot run."""

from __future__ import annotations

import pytest

from parity.capture import pipeline
from parity.capture.cache import TraceCache
from parity.capture.plan import add_peers, subjects
from parity.capture.task import CaptureError
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.options import AuditOptions
from parity.core.records import SubjectRecord
from parity.core.resources import fixture
from parity.core.subject import FLAX, TORCH, Subject, noise_floor_ensemble
from parity.judge.judge import rests_on

V4 = {"torch": "2.13.0", "transformers": "4.57.6"}
V5 = {"torch": "2.13.0", "transformers": "5.23.0"}
JAX = {"jax": "0.10.2", "flax": "0.12.8"}
TF = {"tensorflow-cpu": "2.21.0"}
INSTALL = r"pip install 'transformers<5' tensorflow tf-keras"


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """A capture's plan about fixtures, as if these versions were installed."""

    def plan(
        versions, wanted=None, stacks=("main",), names=("bart-odd",), dtypes=("float32",), others=False, selected=None
    ):
        facts = {"versions": versions, "cpu": "x", "python": "3.11", "sources": {}}
        monkeypatch.setattr(pipeline, "probe", lambda *a, **k: facts)
        found = pipeline._Run(
            out=tmp_path,
            cache=TraceCache(tmp_path),
            views=None,
            executor=None,
            progress=lambda event: None,
            unreadable=[],
            options={},
            narrow=list,
        )
        checkpoints = [inspect_checkpoint(fixture(name)) for name in names]
        options = AuditOptions(stacks=stacks, backends=wanted, dtypes=dtypes)
        found.plan(checkpoints, options, others_judged=others, selected=selected)
        return found

    return plan


def judged(found):
    able = [each for each in found.targets if each.is_candidate and each.can_run]
    return {each.subject.label for each in able if each.component == "model"}


def test_with_torch_and_transformers_5_alone_the_library_is_judged_and_no_reference(planned):
    found = planned(V5)
    assert judged(found) == {"hf-torch", "hf-torch/sdpa"} and found.not_run == []
    lacking = {e.subject.label: set(e.lacking.values()) for e in found.targets if e.is_candidate and not e.can_run}
    assert set(lacking) == {"reference-torch", "reference-torch/sdpa", "reference-flax", "hf-tf", "hf-flax"}
    (why,) = lacking["reference-torch"]
    peer = "reference-flax, the only peer that measures reference-torch, cannot run: jax is not installed"
    assert why.startswith(peer)
    assert "pip install jax flax" in why


def test_one_reference_alone_is_asked_in_more_orders_of_its_sums(planned):
    members = [each.subject for each in planned(V5).targets if each.subject.role == "noise_floor"]
    assert {member.backend for member in members} == {TORCH}
    both = [each.subject for each in planned({**V4, **JAX}).targets if each.subject.role == "noise_floor"]
    assert len(members) > sum(member.backend == TORCH for member in both)
    assert both == noise_floor_ensemble("cpu", "float32")


@pytest.mark.parametrize("dtypes", [["float32"], ["float32", "bfloat16"]])
def test_the_ensemble_keeps_its_dtypes_and_its_place(dtypes):
    everyone = subjects({"main": ("hf-torch",)}, None, "cuda", dtypes)
    found = add_peers(everyone, V5)
    settings = {(s.device, s.dtype, s.variant.endswith("precision")) for s in everyone if s.role == "noise_floor"}
    assert {(s.device, s.dtype, s.variant.endswith("precision")) for s in found if s.role == "noise_floor"} == settings
    assert [s.role for s in found] == sorted(
        (s.role for s in found), key=["oracle", "file", "noise_floor", "candidate"].index
    )
    assert add_peers(everyone, {**V4, **JAX}) == everyone


def test_with_both_frameworks_both_references_are_judged(planned):
    assert judged(planned({**V4, **JAX})) >= {"reference-torch", "reference-flax", "hf-torch", "hf-flax"}


def test_a_reference_that_is_named_is_asked_without_its_peer(planned):
    found = planned(V5, ["reference-torch/eager"])
    assert judged(found) == {"reference-torch"} and found.not_run == []


@pytest.mark.parametrize(
    ("versions", "wanted", "words"),
    [
        ({}, None, "torch transformers"),
        (JAX, None, "torch transformers"),
        ({**JAX, "transformers": "4.57.6"}, None, "torch"),
        ({}, ["reference-flax"], "torch"),
        ({}, ["hf-flax"], "torch 'transformers<5' jax flax"),
    ],
)
def test_without_torch_nothing_is_judged_and_the_line_says_all_there_is_to_install(planned, versions, wanted, words):
    line = f"parity stack make main, or pip install {words}"
    with pytest.raises(CaptureError, match=rf"float64 oracle computes with PyTorch.*: {line}$"):
        planned(versions, wanted)


@pytest.mark.parametrize(
    ("versions", "wanted", "line"),
    [
        (V5, ["hf-tf"], f"hf-tf cannot run in main: tensorflow is not installed \\(.*{INSTALL}"),
        (V4, ["hf-flax"], r"hf-flax cannot run in main: jax is not installed \(pip install .* jax flax\)"),
        ({**V5, **TF}, ["hf-tf"], "hf-tf cannot run in main: transformers 5.23.0 has no TF classes .*--stack"),
        ({"torch": "2.13.0"}, None, "no implementation of Bart.* can run in main: .*transformers"),
        (V5, ["reference-flax"], r"reference-flax cannot run in main: jax is not installed \(pip install jax flax\)"),
    ],
)
def test_nothing_that_can_run_is_bad_input(planned, versions, wanted, line):
    with pytest.raises(CaptureError, match=line):
        planned(versions, wanted)


@pytest.mark.parametrize(
    ("versions", "wanted", "options", "lines"),
    [
        (V5, ["hf-torch", "hf-tf"], {}, ["hf-tf cannot run in main"]),
        ({**V4, **TF}, ["hf-torch", "hf-tf"], {"names": ["bart-causal"]}, ["hf-tf cannot run in main"]),
        ({**V4, **TF}, ["hf-torch", "hf-tf"], {"names": ["bart-odd", "bart-causal"]}, []),
        (
            {**V4, **TF},
            ["hf-tf", "hf-config"],
            {"names": ["bart-odd", "bart-causal"]},
            ["no implementation of BartForCausalLM can run in main"],
        ),
        ({**V4, **TF}, ["hf-tf", "hf-torch"], {"dtypes": ("float32",)}, []),
        (V5, None, {}, []),
        (V4, ["hf-config"], {}, []),
        ({**V4, **JAX}, ["hf-torch", "hf-flax/eager"], {}, []),
    ],
)
def test_beside_what_can_run_what_cannot_is_recorded(planned, versions, wanted, options, lines):
    found = planned(versions, wanted, **options)
    assert [line.partition(":")[0] for line in found.not_run] == lines


@pytest.mark.parametrize(
    ("versions", "selected", "labels"),
    [
        (V5, ["hf-torch", "hf-tf"], {"hf-torch", "hf-torch/sdpa"}),
        (V5, ["hf-torch/sdpa", "hf-flax", "hf-tf"], {"hf-torch/sdpa"}),
        (V5, ["hf-config", "hf-tf"], set()),
        (V5, ["reference-torch", "hf-torch"], {"hf-torch", "hf-torch/sdpa"}),
    ],
)
def test_what_a_filter_leaves_is_not_requested(planned, versions, selected, labels):
    """A backend that cannot run is left out, as without a filter; so is a reference without its peer."""
    found = planned(versions, selected=selected)
    assert (judged(found), found.not_run) == (labels, [])


def test_a_filter_that_leaves_nothing_that_can_run_is_bad_input(planned):
    with pytest.raises(CaptureError, match="hf-tf cannot run in main: tensorflow is not installed"):
        planned(V5, selected=["hf-tf"])


def test_answers_from_elsewhere_are_judged_where_no_backend_can_run(planned):
    """Goldens need the oracle alone."""
    assert judged(planned({"torch": "2.13.0"}, others=True)) == set()


def test_what_the_tolerances_rest_on_is_said():
    def manifest(*members, **options):
        records = [_record(each) for each in members]
        return type("Manifest", (), {"subjects": records, "options": options})()

    assert "both references" in rests_on(manifest(*noise_floor_ensemble("cpu", "float32")))
    alone = rests_on(manifest(*noise_floor_ensemble("cpu", "float32", references=[TORCH])))
    assert "reference-torch alone" in alone and "in 7 orders" in alone and "pip install jax flax" in alone
    chosen = rests_on(manifest(*noise_floor_ensemble("cpu", "float32", references=[TORCH]), references=[TORCH]))
    assert "no other was selected" in chosen and "installed" not in chosen
    assert "reference-flax alone" in rests_on(manifest(Subject(FLAX, role="noise_floor")))
    assert "no reference" in rests_on(manifest())


def _record(subject):
    return SubjectRecord(
        backend=subject.backend,
        variant=subject.variant,
        stack="main",
        device="cpu",
        dtype=subject.dtype,
        role=subject.role,
        label=subject.label,
        model_class="B",
        documented_class="B",
        capabilities=[],
        environment="main",
    )
