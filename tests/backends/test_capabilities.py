"""The declarations by themselves; ``test_adapters`` proves them on the installed classes."""

from __future__ import annotations

import pytest

from parity.backends import BACKENDS
from parity.backends.capabilities import DEVICES, DTYPES, WORDS, capabilities, library_class

MAIN = {"transformers": "4.57.6", "torch": "2.13.0", "tensorflow-cpu": "2.21.0", "jax": "0.10.2", "flax": "0.12.8"}
CURRENT = {"transformers": "5.23.0", "torch": "2.13.0"}
DOCUMENTED = {**MAIN, "transformers": "4.37.2"}


@pytest.mark.parametrize("versions", [MAIN, CURRENT, DOCUMENTED, {}])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_word_is_claimed_or_lacking_for_a_reason(backend: str, versions: dict[str, str]) -> None:
    for variant in BACKENDS[backend].variants:
        can, lacking = capabilities(backend, variant, versions)
        assert sorted([*can, *lacking]) == sorted(WORDS)
        assert all(reason and "\n" not in reason for reason in lacking.values())


@pytest.mark.parametrize("backend", ["hf-torch", "hf-tf", "hf-flax", "reference-torch", "reference-flax"])
def test_nothing_can_be_asked_where_a_library_is_absent(backend: str) -> None:
    can, lacking = capabilities(backend, "eager", {"numpy": "2.4.6"})
    assert can == [] and "is not installed" in lacking["load"]


@pytest.mark.parametrize(("backend", "prefix"), [("hf-tf", "TF"), ("hf-flax", "Flax")])
def test_version_5_has_pytorch_classes_only(backend: str, prefix: str) -> None:
    versions = {**MAIN, "transformers": "5.23.0"}
    assert capabilities(backend, "eager", versions)[1]["load"] == f"transformers 5.23.0 has no {prefix} classes"


def test_head_masks_went_with_version_5() -> None:
    assert "head_masks" in capabilities("hf-torch", "eager", MAIN)[0]
    assert "5.23.0" in capabilities("hf-torch", "eager", CURRENT)[1]["head_masks"]


def test_ignored_head_masks_are_no_missing_capability() -> None:
    assert "head_masks" in capabilities("hf-torch", "sdpa", MAIN)[0]


def test_modifiers_change_nothing() -> None:
    for variant in ("sdpa", "sdpa+default-precision+1-thread"):
        assert "attentions" in capabilities("hf-torch", variant, MAIN)[1]


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "file"])
def test_beams_are_searched_where_near_ties_are_rare(backend: str) -> None:
    for dtype in ("float32", "float64"):
        assert "beam_search" in capabilities(backend, "eager", MAIN, dtype=dtype)[0]
    for dtype in ("bfloat16", "float16"):
        assert dtype in capabilities(backend, "eager", MAIN, dtype=dtype)[1]["beam_search"]


def test_an_ignored_argument_is_no_missing_capability() -> None:
    """Flax of 4.37.2 takes no_repeat_ngram_size and ignores it: a check's matter; 4.57.6 refuses to compute."""
    assert "no_repeat_ngram" in capabilities("hf-flax", "eager", DOCUMENTED)[0]
    assert "NotImplementedError" in capabilities("hf-flax", "eager", MAIN)[1]["no_repeat_ngram"]


def test_the_file_only_loads() -> None:
    can, _ = capabilities("file", "eager", {})
    assert can == ["load", *DTYPES, *DEVICES]


def test_an_unknown_backend_is_an_error() -> None:
    with pytest.raises(KeyError, match="no backend is called"):
        capabilities("hf-mlx", "eager", MAIN)


def test_classes() -> None:
    names = {name: library_class(name, "BartForConditionalGeneration") for name in BACKENDS}
    assert names["hf-tf"] == "TFBartForConditionalGeneration"
    assert names["hf-flax"] == "FlaxBartForConditionalGeneration"
    assert names["hf-torch"] == names["reference-torch"] == "BartForConditionalGeneration"
