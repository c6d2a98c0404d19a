"""Variants of ``hf-torch``: they compute as they are named, pass, and every fault in them is found."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pytest

from parity import InputError, api
from parity.backends.capabilities import capabilities
from parity.backends.registry import class_of
from parity.backends.variants import compiler
from parity.core.backends import ENGINES, audited, find_entry
from parity.core.resources import fixture
from parity.core.subject import Variant
from tests.end_to_end.shadow import shadow_line, shadow_transformers
from tests.end_to_end.test_faults import FAULTS, MODULE
from tests.selection import EVERYTHING

VARIANTS = [name for name in ENGINES if name.startswith("hf-torch-")]
CHECKPOINT, CLASS = "bart-odd", "BartForConditionalGeneration"
VERSIONS = {"torch": "2.13.0", "transformers": "4.57.6"}
ROW = "one row of one layer wrong by 1 %"


@pytest.fixture
def loaded():
    """Loads a variant in this process."""

    def load(backend: str) -> Any:
        import torch

        adapter = class_of(find_entry(backend))()
        adapter.threads = torch.get_num_threads()
        return adapter.load(fixture(CHECKPOINT), Variant(), device="cpu", dtype="float32", model_class=CLASS)

    return load


@pytest.fixture
def inputs() -> dict[str, np.ndarray]:
    tokens = np.array([[0, 5, 9, 7, 2], [0, 11, 8, 2, 1]])
    return {"input_ids": tokens, "attention_mask": (tokens != 1).astype(np.int64)}


def test_they_are_run_only_if_named():
    assert len(VARIANTS) == 6 and not set(VARIANTS) & set(audited())
    assert all(find_entry(name).derives_from == "hf-torch" for name in VARIANTS)


def test_flash_attention_without_a_gpu_is_refused_with_the_reason(tmp_path):
    with pytest.raises(InputError, match="flash attention needs a GPU") as refused:
        api.audit([fixture(CHECKPOINT)], backends=["hf-torch-flash"], dtypes=["bfloat16"], out=tmp_path / "run")
    assert "\n" not in str(refused.value)


def test_no_compiler_is_one_reason(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    compiler.version.cache_clear()
    try:
        can, why = capabilities("hf-torch-compile", "eager", VERSIONS)
        assert not can and set(why.values()) >= {
            "inductor needs a C++ compiler, and no-such-compiler cannot be run (set CXX)"
        }
        assert "float32" in capabilities("hf-torch-aot", "eager", VERSIONS)[0]
    finally:
        compiler.version.cache_clear()


def test_other_classes_and_converted_files_are_refused(tmp_path):
    assert not capabilities("hf-torch-export", "eager", VERSIONS, documented="BartForCausalLM")[0]
    with pytest.raises(InputError, match="hf-torch-export runs the checkpoint itself"):
        api.audit([fixture(CHECKPOINT)], backends=["hf-torch-export"], converted=tmp_path, out=tmp_path / "run")


def test_a_static_cache_is_used(loaded, inputs):
    from transformers.cache_utils import StaticCache

    model = loaded("hf-torch-static-cache")
    model.generate(inputs, {"max_length": 9})
    assert isinstance(model._model._cache.self_attention_cache, StaticCache)
    ids = np.array([[2, 0, 6, 7], [2, 0, 3, 4]])
    steps = list(
        model.decode_steps({**inputs, "decoder_input_ids": ids, "decoder_attention_mask": np.ones_like(ids)}, [1, 1, 2])
    )
    assert [step.layout[0][2] for step in steps] == [4, 4, 4]
    assert [step.cache[0][0].shape[2] for step in steps] == [1, 2, 4]


def test_layers_are_computed_again_in_the_backward_pass(loaded, inputs):
    model = loaded("hf-torch-checkpointing")
    layer, calls = model._model.get_decoder().layers[0].fc1, []
    layer.register_forward_hook(lambda *_: calls.append(1))
    labels = np.array([[5, 6, 2], [7, 2, -100]])
    model.gradients({**inputs, "labels": labels})
    assert len(calls) == 2 and not model._model.training
    model.call({**inputs, "decoder_input_ids": np.array([[2, 5], [2, 7]])})
    assert len(calls) == 3


@pytest.fixture
def audit(cache, tmp_path):
    def run(backend, *checks):
        options: dict[str, Any] = {"checks": list(checks)} if checks else {}
        report = api.audit([fixture(CHECKPOINT)], backends=[backend], cache=cache, out=tmp_path / "run", **options)
        return report, {each.check: each for each in report.verdicts if each.status == "fail"}

    return run


@pytest.mark.full
@pytest.mark.parametrize("backend", ["hf-torch-static-cache/eager", "hf-torch-checkpointing/eager"])
def test_the_plain_variants_pass(audit, backend):
    report, failed = audit(backend)
    assert not failed and any(each.status == "pass" for each in report.verdicts)


GRAPHS = ["hf-torch-export/eager", *(["hf-torch-compile/eager", "hf-torch-aot/eager"] if EVERYTHING else [])]
"""Without those whose graphs take minutes, except where all tests run."""


@pytest.mark.full
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("backend", GRAPHS)
def test_graphs_pass(audit, backend):
    report, failed = audit(backend, "NUM01", "NUM04")
    assert not failed and any(each.status == "pass" for each in report.verdicts)


@pytest.mark.full
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", FAULTS if EVERYTHING else [ROW])
@pytest.mark.parametrize("backend", [*GRAPHS, "hf-torch-static-cache/eager", "hf-torch-checkpointing/eager"])
def test_a_fault_in_the_library_is_found_in_each(audit, backend, name, tmp_path, monkeypatch):
    code, check, tensor = FAULTS[name]
    path = shadow_transformers(tmp_path / "shadow", MODULE, textwrap.dedent(code))
    monkeypatch.setenv("PYTHONPATH", str(path))
    _, failed = audit(backend, check)
    assert failed[check].first_divergence.tensor == tensor


@pytest.mark.full
def test_keys_of_the_source_that_are_not_reset_are_found(audit, tmp_path, monkeypatch):
    """The next text is generated from the keys of the source before it."""
    line = "for layer_idx in self.is_updated:\nself.is_updated[layer_idx] = False"
    path = shadow_line(tmp_path / "shadow", "cache_utils.py", line, "self.is_updated[layer_idx] = True")
    monkeypatch.setenv("PYTHONPATH", str(path))
    _, failed = audit("hf-torch-static-cache/eager", "GEN02")
    assert "GEN02" in failed


@pytest.mark.full
def test_a_checkpoint_that_drops_a_mask_is_found(audit, tmp_path, monkeypatch):
    """In the recomputation and in the first pass alike."""
    line = "return self._gradient_checkpointing_func(partial(super().__call__, **kwargs), *args)"
    instead = line.replace("*args)", "args[0], None, *args[2:])")
    path = shadow_line(tmp_path / "shadow", "modeling_layers.py", line, instead)
    monkeypatch.setenv("PYTHONPATH", str(path))
    _, failed = audit("hf-torch-checkpointing/eager", "GRAD01")
    assert "GRAD01" in failed
