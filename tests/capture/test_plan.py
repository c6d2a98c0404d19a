"""Who is asked, and what: nobody is asked what its part or its class does not answer."""

from __future__ import annotations

import pytest

from parity.capture.plan import Target, subjects
from parity.capture.task import CaptureError
from parity.core.case import Case
from parity.core.model_spec import model_spec_of
from parity.core.subject import FILE, ORACLE, Subject

ALL = ("reference-torch", "reference-flax", "hf-torch", "hf-tf", "hf-flax")


def names(found, role="candidate"):
    return [subject.label for subject in found if subject.role == role]


def test_the_oracle_is_first_and_every_dtype_has_its_file():
    found = subjects({"main": ALL}, None, "cpu", ["float32", "bfloat16"])
    assert found[0] == ORACLE
    assert [subject.dtype for subject in found if subject.role == "file"] == ["float32", "bfloat16"]
    assert {subject.dtype for subject in found if subject.role == "noise_floor"} == {"float32", "bfloat16"}
    assert found[1].backend == FILE.backend


def test_every_backend_is_asked_in_each_of_its_variants():
    assert names(subjects({"main": ALL}, None, "cpu", ["float32"])) == [
        "reference-torch",
        "reference-torch/sdpa",
        "reference-flax",
        "hf-torch",
        "hf-torch/sdpa",
        "hf-tf",
        "hf-flax",
    ]


def test_references_are_asked_in_main_only():
    found = subjects({"main": ("hf-torch",), "other": ALL}, None, "cpu", ["float32"])
    assert [
        subject.stack for subject in found if subject.backend.startswith("reference") and subject.role == "candidate"
    ] == []
    assert names(found) == ["hf-torch", "hf-torch/sdpa"] + [
        f"{name}@other" for name in ("hf-torch", "hf-torch/sdpa", "hf-tf", "hf-flax")
    ]
    assert all(subject.stack == "main" for subject in found if subject.role != "candidate")


def test_cuda_adds_default_precision():
    found = subjects({"main": ALL}, ["hf-torch/eager"], "cuda", ["float32"])
    assert names(found) == ["hf-torch", "hf-torch/eager+default-precision"]
    assert sum(subject.variant.endswith("default-precision") for subject in found if subject.role == "noise_floor") > 1
    assert found[0].device == "cpu"


def test_configs_and_tokenizers_are_read_once_whatever_computes():
    offered = {"main": (*ALL, "hf-config", "hf-tokenizer-fast")}
    found = subjects(offered, None, "cuda", ["bfloat16", "float32"])
    readers = [each for each in found if each.backend in ("hf-config", "hf-tokenizer-fast")]
    assert [(each.label, each.device, each.dtype) for each in readers] == [
        ("hf-config", "cpu", "bfloat16"),
        ("hf-tokenizer-fast", "cpu", "bfloat16"),
    ]


CONFIG = Case("config", "config", requires=("config",))


@pytest.mark.parametrize(
    ("backend", "role", "expected"),
    [
        ("hf-config", "candidate", [True, False]),
        ("hf-tokenizer", "candidate", [False, False]),
        ("hf-torch", "candidate", [False, True]),
        ("file", "file", [True, True]),
        ("reference-torch", "oracle", [False, False]),
    ],
)
def test_a_question_about_files_is_put_to_what_reads_them(backend, role, expected):
    can = frozenset({"config", "load", "cpu", "float32"})
    each = Target(Subject(backend, role=role), "Bart", "Bart", can)
    assert [each.is_requested(case) for case in (CONFIG, LOAD)] == expected


@pytest.mark.parametrize("wanted", ["hf-jax", "hf-tf/sdpa", "hf-tf"])
def test_a_backend_that_nobody_offers_is_named(wanted):
    with pytest.raises(CaptureError, match=f"^--backend {wanted}: "):
        subjects({"main": ("hf-torch",)}, [wanted], "cpu", ["float32"])


def subject_record(role, *can, dtype="float32"):
    can = frozenset({"cpu", "float32", "load", *can})
    return Target(Subject("hf-torch", dtype=dtype, role=role), "Bart", "Bart", can)


def test_a_composition_is_put_to_the_subjects_of_its_halves():
    halves = {"encoder": {"model_type": "bert"}, "decoder": {"model_type": "gpt2", "add_cross_attention": True}}
    model_spec = model_spec_of(
        {"model_type": "encoder-decoder", **halves, "decoder_start_token_id": 0, "pad_token_id": 1}
    )
    assert model_spec.model_types == ("bert", "gpt2")

    def about(*model_types):
        return Target(Subject("hf-tf"), "", "EncoderDecoderModel", frozenset(), model_types=model_types).accepts(
            model_spec
        )

    assert about("bert", "gpt2") and not about("bert", "bart") and not about()


LOAD = Case("load", "load", requires=("load",))
FORWARD = Case("forward", "forward", notes={"sets_noise_floor": True})
MASKS = Case("masks", "forward", requires=("head_masks",))


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (subject_record("candidate"), [LOAD, FORWARD]),
        (subject_record("candidate", "head_masks"), [LOAD, FORWARD, MASKS]),
        (subject_record("candidate", dtype="bfloat16"), []),
        (subject_record("oracle", "head_masks", dtype="float64"), [FORWARD, MASKS]),
        (subject_record("noise_floor", "head_masks"), [FORWARD]),
        (subject_record("file"), [LOAD]),
    ],
)
def test_a_subject_is_asked_what_it_answers(subject, expected):
    assert [case for case in (LOAD, FORWARD, MASKS) if subject.is_requested(case)] == expected
