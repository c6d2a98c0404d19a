"""The declarations by themselves; ``test_adapters`` proves them on the installed classes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from parity.backends.capabilities import OF_FILES, capabilities, words_of
from parity.backends.limits import hf_flax, hf_tensorflow
from parity.core.backends import BACKENDS
from parity.core.resources import fixture
from parity.core.subject import DEVICES, DTYPES

MAIN = {"transformers": "4.57.6", "torch": "2.13.0", "tensorflow-cpu": "2.21.0", "jax": "0.10.2", "flax": "0.12.8"}
CURRENT = {"transformers": "5.23.0", "torch": "2.13.0"}
HALVES = {
    "encoder": ("bert", "roberta", "bert-generation", "wav2vec2", "hubert"),
    "decoder": ("bert", "roberta", "bert-generation", "gpt2", "bart", "mbart"),
}
"""Families that a composition may be made of (``reference.config``)."""
WITHOUT = {"hf-tf": hf_tensorflow.WITHOUT, "hf-flax": hf_flax.WITHOUT}
DOCUMENTED = {**MAIN, "transformers": "4.37.2"}


@pytest.mark.parametrize("versions", [MAIN, CURRENT, DOCUMENTED, {}])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_word_is_claimed_or_lacking_for_a_reason(backend: str, versions: dict[str, str]) -> None:
    for variant in BACKENDS[backend].variants:
        can, lacking = capabilities(backend, variant, versions)
        assert sorted([*can, *lacking]) == sorted(words_of(backend))
        assert all(reason and "\n" not in reason for reason in lacking.values())


@pytest.mark.parametrize("backend", ["hf-torch", "hf-tf", "hf-flax", "reference-torch", "reference-flax"])
def test_nothing_can_be_asked_where_a_library_is_absent(backend: str) -> None:
    can, lacking = capabilities(backend, "eager", {"numpy": "2.4.6"})
    assert can == [] and "is not installed" in lacking["load"]


@pytest.mark.parametrize(("backend", "prefix"), [("hf-tf", "TF"), ("hf-flax", "Flax")])
def test_version_5_has_pytorch_classes_only(backend: str, prefix: str) -> None:
    versions = {**MAIN, "transformers": "5.23.0"}
    assert capabilities(backend, "eager", versions)[1]["load"] == f"transformers 5.23.0 has no {prefix} classes"


def of_halves(backend: str, *model_types: str) -> dict[str, str]:
    documented = "EncoderDecoderModel"
    return capabilities(backend, "eager", MAIN, documented=documented, model_types=model_types)[1]


@pytest.mark.parametrize(
    ("backend", "model_types", "reason"),
    [
        ("hf-tf", ("bert", "bart"), "TFAutoModelForCausalLM of transformers 4.57.6 has no bart as decoder"),
        ("hf-tf", ("bert-generation", "bert"), "TFAutoModel of transformers 4.57.6 has no bert-generation as encoder"),
        ("hf-flax", ("hubert", "bert"), "FlaxAutoModel of transformers 4.57.6 has no hubert as encoder"),
        ("hf-flax", ("wav2vec2", "mbart"), "FlaxAutoModelForCausalLM of transformers 4.57.6 has no mbart as decoder"),
    ],
)
def test_a_composition_lacks_what_a_framework_has_no_half_for(backend, model_types, reason) -> None:
    lacking = of_halves(backend, *model_types)
    assert lacking["load"] == lacking["generate"] == reason


def test_the_cache_of_a_composition_is_its_decoders() -> None:
    assert "does not cache keys and values of the source" in of_halves("hf-tf", "bert", "gpt2")["cross_cache"]
    assert "cross_cache" not in of_halves("hf-tf", "bert", "bert")
    assert "cross_cache" not in of_halves("hf-torch", "bert", "gpt2")


@pytest.mark.parametrize(
    ("variant", "documented", "model_types", "word", "reason"),
    [
        ("sdpa", "EncoderDecoderModel", ("bert", "bert"), "load", "no composition of transformers 4.37.2 has sdpa"),
        ("eager", "EncoderDecoderModel", ("bert", "gpt2"), "cross_cache", "GPT2LMHeadModel of transformers 4.37.2"),
        ("eager", "BartModel", (), "reorder_cache", "BartModel of transformers 4.37.2 has no _reorder_cache"),
    ],
)
def test_what_the_documented_line_lacks_a_later_one_has(variant, documented, model_types, word, reason) -> None:
    options = {"documented": documented, "model_types": model_types}
    assert capabilities("hf-torch", variant, {**MAIN, "transformers": "4.37.2"}, **options)[1][word].startswith(reason)
    assert word not in capabilities("hf-torch", variant, MAIN, **options)[1]


def test_a_composition_lacks_nothing_where_both_halves_are_there() -> None:
    assert "load" not in of_halves("hf-tf", "bert", "gpt2")
    assert "load" not in of_halves("hf-flax", "bert", "bart")
    assert "load" not in of_halves("hf-torch", "bert-generation", "mbart")


@pytest.mark.parametrize(("backend", "prefix"), [("hf-tf", "TF"), ("hf-flax", "FLAX")])
def test_the_auto_classes_have_the_halves_that_are_said_to_be_there_and_no_other(backend: str, prefix: str) -> None:
    transformers = pytest.importorskip("transformers", reason="compares with the installed library's tables")
    auto = Path(transformers.__file__).parent / "models" / "auto" / f"modeling_{prefix.lower()}_auto.py"
    if not auto.exists():
        pytest.skip(f"transformers {transformers.__version__} has no {prefix} classes")
    for half, mapping in (("encoder", "MODEL"), ("decoder", "MODEL_FOR_CAUSAL_LM")):
        names = re.search(rf"^{prefix}_{mapping}_MAPPING_NAMES = (.*?)^\)", auto.read_text(), re.S | re.M).group(1)
        there = set(re.findall(r'\("([\w-]+)", "', names))
        judged = set(HALVES[half])
        assert judged - there == set(WITHOUT[backend][half])


def test_head_masks_went_with_version_5() -> None:
    assert "head_masks" in capabilities("hf-torch", "eager", MAIN)[0]
    assert "5.23.0" in capabilities("hf-torch", "eager", CURRENT)[1]["head_masks"]


def test_ignored_head_masks_are_no_missing_capability() -> None:
    assert "head_masks" in capabilities("hf-torch", "sdpa", MAIN)[0]


def test_modifiers_change_nothing() -> None:
    for variant in ("sdpa", "sdpa+default-precision+1-thread"):
        assert "attentions" in capabilities("hf-torch", variant, MAIN)[1]


@pytest.mark.parametrize("backend", [name for name in BACKENDS if "beam_search" in words_of(name) and name != "file"])
def test_beams_are_searched_where_near_ties_are_rare(backend: str) -> None:
    for dtype in ("float32", "float64"):
        assert "beam_search" in capabilities(backend, "eager", MAIN, dtype=dtype)[0]
    for dtype in ("bfloat16", "float16"):
        assert dtype in capabilities(backend, "eager", MAIN, dtype=dtype)[1]["beam_search"]


def test_an_ignored_argument_is_no_missing_capability() -> None:
    """Flax of 4.37.2 takes no_repeat_ngram_size and ignores it: a check's matter; 4.57.6 refuses to compute."""
    assert "no_repeat_ngram" in capabilities("hf-flax", "eager", DOCUMENTED)[0]
    assert "NotImplementedError" in capabilities("hf-flax", "eager", MAIN)[1]["no_repeat_ngram"]


def test_the_file_is_only_loaded_and_read() -> None:
    can, _ = capabilities("file", "eager", {})
    assert can == ["load", *DTYPES, *DEVICES, *OF_FILES]


@pytest.mark.parametrize("backend", ["hf-config", "hf-tokenizer", "hf-tokenizer-fast"])
def test_what_reads_a_config_or_a_tokenizer_is_asked_that_alone(backend: str) -> None:
    for versions in (MAIN, CURRENT, DOCUMENTED):
        can, lacking = capabilities(backend, "eager", versions)
        assert words_of(backend)[0] in can and {*can, *lacking} <= set(OF_FILES)
    assert capabilities(backend, "eager", {})[1][words_of(backend)[0]] == "transformers is not installed"
    assert "config" not in capabilities("hf-torch", "eager", MAIN)[0]


def test_a_slow_tokenizer_returns_no_offsets_and_version_5_has_none() -> None:
    new = {**MAIN, "transformers": "5.23.0"}
    assert "returns no offsets" in capabilities("hf-tokenizer", "eager", MAIN)[1]["offsets"]
    assert "offsets" in capabilities("hf-tokenizer", "eager", new)[0]
    assert "offsets" in capabilities("hf-tokenizer-fast", "eager", MAIN)[0]
    kind = pytest.importorskip("transformers", reason="asks the installed class").BartTokenizer
    tokenizer = kind.from_pretrained(fixture("bart-tiny"))
    with pytest.raises(NotImplementedError):
        tokenizer("a", return_offsets_mapping=True)


def test_an_unknown_backend_is_an_error() -> None:
    with pytest.raises(KeyError, match="no backend is named"):
        capabilities("hf-mlx", "eager", MAIN)


def test_classes() -> None:
    names = {name: BACKENDS[name].class_for("BartForConditionalGeneration") for name in BACKENDS}
    assert names["hf-tf"] == "TFBartForConditionalGeneration"
    assert names["hf-flax"] == "FlaxBartForConditionalGeneration"
    assert names["hf-torch"] == names["reference-torch"] == "BartForConditionalGeneration"
    assert (names["hf-config"], names["hf-tokenizer"]) == ("BartConfig", "BartTokenizer")
    assert BACKENDS["hf-config"].class_for("EncoderDecoderModel") == "EncoderDecoderConfig"
    assert BACKENDS["hf-config"].class_for("SpeechEncoderDecoderModel") == "SpeechEncoderDecoderConfig"
