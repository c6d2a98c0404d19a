"""The fast path says what the plain one says, of every family; and a fast path with a fault in it is told apart."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from parity.budgets import UNIT_ROUNDOFF, calibration, measure
from parity.fuzz.architectures import FAMILIES, PAD
from reference.generation import Decoder, GenerationSettings, uniform_numbers
from tests.conftest import ROOT
from tests.families.answers import REFERENCES
from tests.families.asked import DOUBLE
from tests.families.example import Example, example
from tests.families.library import BATCH

WRITERS = [name for name, (kind, _) in FAMILIES.items() if kind.endswith(("ConditionalGeneration", "DecoderModel"))]
COMPILED = ["bart", "roberta2mbart", "bert2gpt2", "wav2vec2bert"]
"""In Flax: post-norm and pre-norm, counted positions, a transformed head, audio. Each costs seconds of compilation."""
ASKED = [("torch", family) for family in WRITERS] + [("flax", family) for family in COMPILED]
SLOTS, STEPS = 3, 6
START, END = 2, 3


@cache
def drawn(family: str) -> Example:
    return example(family, 0, 3)


@cache
def model(framework: str, family: str, dtype: str = "float64", attention: str = "eager") -> Any:
    if framework == "flax":
        import jax

        jax.config.update("jax_enable_x64", True)  # from the start, or everything would be compiled again
    asked = drawn(family)
    how = {"model_class": asked.model_class, "dtype": dtype, "attention": attention}
    return REFERENCES[framework].build(asked.config, asked.weights, **how)


@cache
def fast_model(framework: str, family: str, dtype: str = "float64") -> Any:
    return import_module(f"reference.in_{framework}.fast").FastModel(model(framework, family, dtype))


def source(family: str) -> dict[str, np.ndarray]:
    """Ragged: the second row is shorter."""
    return {n: a for n, a in drawn(family).given.items() if n in ("input_ids", "input_values", "attention_mask")}


def plain(framework: str, family: str, dtype: str = "float64", attention: str = "eager") -> Decoder:
    kind = import_module(f"reference.in_{framework}.generation").CachedDecoder
    return kind(model(framework, family, dtype, attention), source(family), STEPS)


def fast(framework: str, family: str, dtype: str = "float64") -> Decoder:
    kind = import_module(f"reference.in_{framework}.fast").FastDecoder
    return kind(fast_model(framework, family, dtype), source(family), STEPS)


def walk(decoder: Decoder, family: str, slots: int = SLOTS, reorder: bool = True) -> np.ndarray:
    """Logits of random tokens, padding among them, while rows of a source change places: [steps, rows, vocab]."""
    rng, seen = np.random.default_rng(5), []
    vocab = drawn(family).config.vocab_size
    rows = decoder.start(slots)
    for step in range(STEPS):
        tokens = rng.integers(0, vocab, rows)
        tokens[step % rows] = PAD
        seen.append(decoder.logits(tokens))
        parents = np.arange(rows) // slots * slots + rng.integers(0, slots, rows)
        if reorder:
            decoder.reorder(parents)
    return np.stack(seen)


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    assert found.shape == wanted.shape and found.dtype == wanted.dtype == np.float64
    assert np.isfinite(wanted).all()
    largest = np.abs(found - wanted).max() / np.abs(wanted).max()
    return float(largest) if np.isfinite(largest) else float("inf")


@pytest.mark.parametrize(("framework", "family"), ASKED)
def test_the_same_logits_in_float64(framework: str, family: str) -> None:
    """Every step's, while rows change places, which they have to."""
    wanted = walk(plain(framework, family), family)
    assert error(walk(fast(framework, family), family), wanted) < DOUBLE
    assert error(walk(plain(framework, family), family, reorder=False), wanted) > 1e-3


@pytest.mark.parametrize(("framework", "family"), ASKED)
def test_float32_is_within_the_measured_budget(framework: str, family: str) -> None:
    """The yardstick is what the plain path errs in float32, in both its ways of attention."""
    oracle = walk(plain("torch", family), family)
    found = measure(walk(fast(framework, family, "float32"), family), oracle)
    honest = [
        measure(walk(plain(framework, family, "float32", attention), family), oracle) for attention in ("eager", "sdpa")
    ]
    factors, unit = calibration("twin"), UNIT_ROUNDOFF["float32"]
    for kind in ("slice", "element"):
        yardstick = max(getattr(each, kind) for each in honest)
        k, c = getattr(factors, f"k_{kind}"), getattr(factors, f"c_{kind}")
        assert getattr(found, kind) <= k * max(yardstick, c * unit), kind


SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 4, "length_penalty": 1.3, "num_return_sequences": 3},
    "summary": {"num_beams": 3, "no_repeat_ngram_size": 2, "min_length": 4, "early_stopping": True},
    "drawn": {"do_sample": True, "num_return_sequences": 3, "top_k": 9, "temperature": 0.9},
}


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(("framework", "family"), ASKED)
def test_the_same_texts(framework: str, family: str, search: str) -> None:
    tokens = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}
    settings = GenerationSettings(**tokens, max_length=9, **SEARCHES[search])
    numbers = uniform_numbers(3, BATCH, settings) if settings.do_sample else None
    generating = import_module(f"reference.in_{framework}.generation")
    wanted = generating.generate(model(framework, family), source(family), settings, uniforms=numbers)
    package = import_module(f"reference.in_{framework}.fast")
    found = package.generate(fast_model(framework, family), source(family), settings, uniforms=numbers)
    assert found.sequences.tolist() == wanted.sequences.tolist()
    np.testing.assert_allclose(found.margins, wanted.margins, rtol=1e-6, atol=1e-9)
    if wanted.scores is not None:
        np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-12)


@pytest.mark.parametrize("framework", ["torch", "flax"])
def test_a_decoder_starts_anew_and_without_a_mask_everything_is_seen(framework: str) -> None:
    decoder = fast(framework, "bart")
    first = walk(decoder, "bart")
    assert (walk(decoder, "bart") == first).all()
    given = {"input_ids": source("bart")["input_ids"]}
    decoders = [
        import_module(f"reference.in_{framework}.fast").FastDecoder(fast_model(framework, "bart"), given, STEPS),
        import_module(f"reference.in_{framework}.generation").CachedDecoder(model(framework, "bart"), given, STEPS),
    ]
    found, wanted = (walk(decoder, "bart") for decoder in decoders)
    assert error(found, wanted) < DOUBLE < error(found, first)


@pytest.mark.parametrize("framework", ["torch", "flax"])
def test_what_cannot_be_is_refused(framework: str) -> None:
    package, asked = import_module(f"reference.in_{framework}.fast"), fast_model(framework, "bart")
    positions = asked.model.positions
    with pytest.raises(ValueError, match=f"room for {positions + 1} tokens, but {positions} positions"):
        package.FastDecoder(asked, source("bart"), positions + 1)
    decoder = fast(framework, "bart")
    walk(decoder, "bart")
    with pytest.raises(ValueError, match=f"{STEPS} tokens and 1 more, but room for {STEPS}"):
        decoder.logits(np.zeros(BATCH * SLOTS, np.int64))
    with pytest.raises(ValueError, match="another source's"):
        decoder.reorder(np.roll(np.arange(BATCH * SLOTS), 1))


@pytest.mark.parametrize("framework", ["torch", "flax"])
def test_a_model_whose_head_is_not_known_is_refused(framework: str) -> None:
    package = import_module(f"reference.in_{framework}.fast")
    with pytest.raises(TypeError, match="no fast path for BartModel: its head is not known"):
        package.FastModel(model(framework, "bart-bare"))


def test_audio_s_encoder_is_plain_and_says_so() -> None:
    assert {family: fast_model("torch", family).encoder.plain for family in WRITERS} == {
        family: family.startswith(("wav2vec", "hubert")) for family in WRITERS
    }


def test_float32_on_a_cpu_is_packed_by_onednn() -> None:
    """Where torch has it; otherwise the tests of float32 would say nothing of it."""
    import torch

    layer = fast_model("torch", "bart", "float32").layers[0]
    assert layer.fc1.weight.is_mkldnn == torch.backends.mkldnn.is_available()
    assert not fast_model("torch", "bart", "float64").layers[0].fc1.weight.is_mkldnn


def no_reorder(patch: pytest.MonkeyPatch, fast: Any) -> None:
    patch.setattr(fast.FastDecoder, "reorder", lambda self, rows: None)


def position_too_low(patch: pytest.MonkeyPatch, fast: Any) -> None:
    step = fast.FastModel.step

    def late(self: Any, ids: Any, rooms: Any, crosses: Any, position: int, *masks: Any) -> Any:
        embed = self.embed
        patch.setattr(self, "embed", lambda ids, position: embed(ids, max(position - 1, 0)))
        answer = step(self, ids, rooms, crosses, position, *masks)
        patch.setattr(self, "embed", embed)
        return answer

    patch.setattr(fast.FastModel, "step", late)


def written_at_the_start(patch: pytest.MonkeyPatch, fast: Any) -> None:
    layers = import_module(fast.__name__.replace("fast", "fast_layers"))
    write = layers.written_in_place
    patch.setattr(layers, "written_in_place", lambda room, new, start: write(room, new, 0))


def every_slot_seen(patch: pytest.MonkeyPatch, fast: Any) -> None:
    step = fast.FastModel.step
    patch.setattr(fast.FastModel, "step", lambda self, *given: step(self, *given[:4], given[4] | True, given[5]))


def padding_seen(patch: pytest.MonkeyPatch, fast: Any) -> None:
    step = fast.FastModel.step
    patch.setattr(fast.FastModel, "step", lambda self, *given: step(self, *given[:5], given[5] | True))


def biases_exchanged(patch: pytest.MonkeyPatch, fast: Any) -> None:
    """Of the keys and the values, in the fused product."""
    layers = import_module(fast.__name__.replace("fast", "fast_layers"))
    init = layers.FastDecoderLayer.__init__

    def wrong(self: Any, layer: Any) -> None:
        init(self, layer)
        query, key, value = self.qkv_proj.bias.chunk(3)
        self.qkv_proj.bias = query.new_tensor([*query, *value, *key])

    patch.setattr(layers.FastDecoderLayer, "__init__", wrong)


FAULTS = [no_reorder, position_too_low, written_at_the_start, every_slot_seen, padding_seen, biases_exchanged]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_apart(fault: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    package = import_module("reference.in_torch.fast")
    wanted = walk(plain("torch", "bart"), "bart")
    fault(monkeypatch, package)
    broken = package.FastDecoder(package.FastModel(model("torch", "bart")), source("bart"), STEPS)
    assert error(walk(broken, "bart"), wanted) > 1e-4


def test_nothing_but_the_fast_path_itself_imports_it() -> None:
    """Neither the plain path nor any backend: the oracle cannot come to it by accident."""
    own = {"fast", "fast_layers", "packing"}
    for path in [*(ROOT / "reference").rglob("*.py"), *(ROOT / "parity").rglob("*.py")]:
        if path.stem in own:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            modules += (node.module or "").split(".") if isinstance(node, ast.ImportFrom) else []
            assert not own & {part for module in modules for part in module.split(".")}, path


def test_a_process_that_runs_the_reference_has_not_loaded_it() -> None:
    code = "import sys, reference.in_torch, reference.in_flax, parity.backends.reference_torch; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "reference.in_torch.generation" in done.stdout.split()
    assert not {"reference.in_torch.fast", "reference.in_flax.fast"} & set(done.stdout.split())
