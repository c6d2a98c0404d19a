"""Settings drawn by chance: processors, searches and what is drawn from, as transformers 4.57.6 has them in float64."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from reference.generation import GenerationSettings, generate, processed, repeated_sources
from reference.generation.dialect import TORCH_4_57
from reference.names import LOGITS_BIAS, expected_parameters
from tests.reference import bart_samples as samples

NAME, ENDS, COUNT = "untied", (2, 5, 9), 132
TOKENS = {name: samples.CONFIGS[NAME][f"{name}_token_id"] for name in ("pad", "bos", "eos", "decoder_start")}


@cache
def model() -> Any:
    """The library's, drawn so that rows say different things and end at different lengths, by one end or another."""
    rng, drawn = np.random.default_rng(40), {}
    for name, parameter in expected_parameters(samples.config(NAME)).items():
        drawn[name] = rng.normal(0, 1.6 if "embed_positions" in name else 0.4, parameter.shape)
        if "encoder_attn." in name and name.endswith("weight"):
            drawn[name] *= 3
    drawn[LOGITS_BIAS][0, ENDS] = 1.0
    return samples.library_of(samples.CONFIGS[NAME], drawn)


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library computes scores in float32 whatever the model's precision (``generation/utils.py``, line 2802)."""
    import torch
    from transformers.generation import utils

    class Double:
        float32 = float = torch.float64

        def __getattr__(self, name: str) -> Any:
            return getattr(torch, name)

    monkeypatch.setattr(utils, "torch", Double())


class LibraryDecoder:
    """The library's model, asked for whole texts: ``reference.generation.Decoder`` without a cache of its own."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, tuple[int, ...]], np.ndarray] = {}

    def start(self, rows_per_source: int) -> int:
        self.rows_per_source = rows_per_source
        self.texts: list[tuple[int, ...]] = [()] * (samples.BATCH * rows_per_source)
        return len(self.texts)

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        self.texts = [(*text, int(token)) for text, token in zip(self.texts, tokens, strict=True)]
        asked = [(row // self.rows_per_source, text) for row, text in enumerate(self.texts)]
        new = [key for key in dict.fromkeys(asked) if key not in self.known]
        if new:
            self.known.update(zip(new, _logits([key[0] for key in new], [key[1] for key in new])[:, -1], strict=True))
        return np.stack([self.known[key] for key in asked])

    def reorder(self, rows: np.ndarray) -> None:
        self.texts = [self.texts[row] for row in rows]


@cache
def decoder() -> LibraryDecoder:
    return LibraryDecoder()


def source(rows: Any = slice(None)) -> dict[str, Any]:
    import torch

    return {part: torch.tensor(samples.inputs(NAME)[part][rows]) for part in ("input_ids", "attention_mask")}


def source_tokens() -> np.ndarray:
    return np.array(samples.inputs(NAME)["input_ids"])


def _logits(rows: list[int], texts: Any) -> np.ndarray:
    import torch

    with torch.no_grad():
        return model()(**source(rows), decoder_input_ids=torch.tensor(texts)).logits.numpy()


def picked(rng: np.random.Generator, options: dict[str, list[Any]]) -> dict[str, Any]:
    """One value of each option.

    Where an end is forbidden, the library's ``exponential_decay_length_penalty`` gives it the score NaN, so they are
    not combined.
    """
    chosen = {name: values[rng.integers(len(values))] for name, values in options.items()}
    if chosen.get("exponential_decay_length_penalty"):
        chosen |= {"min_length": 0, "forced_eos_token_id": None, "bad_words_ids": None}
        chosen |= {"no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0}
    return chosen


RULES: dict[str, list[Any]] = {
    "repetition_penalty": [0.8, 1.0, 1.2, 1.7],
    "encoder_repetition_penalty": [1.0, 1.0, 0.8, 1.5],
    "encoder_no_repeat_ngram_size": [0, 1, 1, 2],
    "no_repeat_ngram_size": [0, 1, 2],
    "min_length": [0, 4, 7],
    "eos_token_id": [2, [5], [2, 5], [9, 2, 5]],
    "forced_bos_token_id": [None, None, 7],
    "forced_eos_token_id": [None, 2, 2, [5, 2]],
    "renormalize_logits": [False, True],
    "max_length": [8, 12],
    "suppress_tokens": [None, None, None, [21, 26]],
    "begin_suppress_tokens": [None, None, [5, 21]],
    "bad_words_ids": [None, None, [[29], [2], [21, 5], [5, 5, 5]], [[5, 5], [7, 2]]],
    "sequence_bias": [None, None, [[[5], 1.5], [[21, 29], -2.0], [[26], 1.0], [[5, 5, 5], 0.5]]],
    "exponential_decay_length_penalty": [None, None, None, None, [2, 1.2], [0, 1.05]],
}
WARPERS: dict[str, list[Any]] = {
    "temperature": [0.5, 1.0, 1.7],
    "top_k": [0, 1, 3, 50],
    "top_p": [0.1, 0.5, 0.9, 1.0],
    "min_p": [None, None, 0.05, 0.3],
    "typical_p": [1.0, 1.0, 0.2, 0.9],
    "epsilon_cutoff": [0.0, 0.0, 0.02, 0.1],
    "eta_cutoff": [0.0, 0.0, 0.05, 0.3],
}


def warped_rules(rng: np.random.Generator) -> dict[str, Any]:
    """Of equals, which forced ends are, the library keeps any in ``top_p``, as its sort is not stable, and all in
    ``typical_p``."""
    chosen = {**picked(rng, RULES), **picked(rng, WARPERS)}
    equals = isinstance(chosen["forced_eos_token_id"], list)
    return {**chosen, "top_p": 1.0, "typical_p": 1.0} if equals else chosen


def searches(count: int) -> Iterator[tuple[int, dict[str, Any]]]:
    rng = np.random.default_rng(5)
    for number in range(count):
        beams = int(rng.integers(2, 5)) if number % 3 else 1
        chosen = picked(rng, RULES)
        if beams > 1:
            chosen |= picked(rng, {"length_penalty": [-1.0, 0.0, 1.0, 2.0], "early_stopping": [True, False, "never"]})
            chosen["num_return_sequences"] = int(rng.integers(1, beams + 1))
        if rng.integers(4) == 0 and not chosen["exponential_decay_length_penalty"]:
            chosen["min_new_tokens"], chosen["max_new_tokens"] = int(rng.integers(4)), int(rng.integers(4, 10))
        yield number, {"num_beams": beams, **chosen}


def by_library(arguments: dict[str, Any]) -> Any:
    form: dict[str, Any] = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    return model().generate(**source(), **{"do_sample": False, **arguments}, **form)


def settings_of(arguments: dict[str, Any]) -> GenerationSettings:
    return GenerationSettings.from_dict({f"{name}_token_id": token for name, token in TOKENS.items()}, **arguments)


def alike(sequences: np.ndarray, settings: GenerationSettings) -> list[list[int]]:
    """Texts in which forced ends, all of which score 0 and so are tied, are the first of them."""
    found = sequences.copy()
    last = settings.resolved(TORCH_4_57).max_length - 1
    if settings.num_beams > 1 and found.shape[1] > last:
        found[np.isin(found[:, last], settings.forced_ends), last] = (*settings.forced_ends, 0)[0]
    return found.tolist()


@pytest.mark.parametrize("part", range(4))
def test_searches_are_the_librarys(part: int, in_float64: None) -> None:
    asked = [some for some in searches(COUNT) if some[0] % 4 == part]
    for number, arguments in asked:
        settings = settings_of(arguments)
        expected = by_library(arguments)
        found = generate(decoder(), samples.BATCH, settings, TORCH_4_57, sources=source_tokens())
        wanted = alike(expected.sequences.numpy(), settings)
        assert alike(found.sequences, settings) == wanted, (number, arguments)
        assert len(wanted) == samples.BATCH * settings.num_return_sequences
        if settings.num_beams > 1:
            np.testing.assert_allclose(found.scores, expected.sequences_scores.numpy(), rtol=1e-12, err_msg=str(number))


@pytest.mark.parametrize(
    ("name", "neutral"),
    [
        ("repetition_penalty", 1.0),
        ("encoder_repetition_penalty", 1.0),
        ("encoder_no_repeat_ngram_size", 0),
        ("eos_token_id", 2),
        ("renormalize_logits", False),
        ("forced_eos_token_id", None),
        ("suppress_tokens", None),
        ("begin_suppress_tokens", None),
        ("bad_words_ids", None),
        ("sequence_bias", None),
        ("exponential_decay_length_penalty", None),
    ],
)
def test_a_setting_decides_some_of_these_texts(name: str, neutral: Any) -> None:
    """Otherwise agreement would say nothing about it."""
    changed = 0
    for _, arguments in searches(COUNT):
        one, other = (settings_of(given) for given in (arguments, {**arguments, name: neutral}))
        texts = [
            generate(decoder(), samples.BATCH, given, TORCH_4_57, sources=source_tokens()).sequences.tolist()
            for given in (one, other)
        ]
        changed += texts[0] != texts[1]
    assert changed >= 10, changed


def test_processors_and_warpers_are_the_librarys() -> None:
    import torch
    from transformers import GenerationConfig

    rng, told = np.random.default_rng(9), {"dropped": 0, "forced": 0}
    for number in range(240):
        arguments = {**warped_rules(rng), "do_sample": bool(number % 4)}
        settings = settings_of(arguments).resolved(TORCH_4_57)
        tokens = rng.integers(0, samples.VOCAB, (3, int(rng.integers(1, settings.max_length))))
        tokens[:, 0] = settings.decoder_start_token_id
        given = rng.integers(0, samples.VOCAB, (3, 5))
        scores = rng.normal(-1, 2, (3, samples.VOCAB))
        config = GenerationConfig(**{f"{name}_token_id": token for name, token in TOKENS.items()} | arguments)
        model()._prepare_special_tokens(config, device="cpu")
        processors = model()._get_logits_processor(
            config, input_ids_seq_length=1, encoder_input_ids=torch.tensor(given), device="cpu", model_kwargs={}
        )
        expected = processors(torch.tensor(tokens), torch.tensor(scores)).numpy()
        found = processed(scores, tokens, settings, repeated_sources(given, 1))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14, err_msg=f"{number} {arguments}")
        told["dropped"] += int(np.isneginf(found).sum())
        told["forced"] += int((np.isfinite(found).sum(axis=-1) <= 2).any())
    assert told["dropped"] > 1000 and told["forced"] > 10


@pytest.mark.parametrize("number", range(30))
def test_what_is_drawn_from_is_the_librarys(number: int, in_float64: None) -> None:
    """After the library's own prefixes, step by step; its rows of one source stand side by side like ours."""
    import torch

    rng = np.random.default_rng(100 + number)
    arguments = {**warped_rules(rng), "num_return_sequences": 3}
    torch.manual_seed(number)
    drawn = by_library({**arguments, "do_sample": True})
    settings = settings_of({**arguments, "do_sample": True}).resolved(TORCH_4_57)
    texts = drawn.sequences.numpy()
    logits = _logits([0, 0, 0, 1, 1, 1], texts[:, :-1])
    sources = repeated_sources(source_tokens(), 3, TORCH_4_57)
    for step, theirs in enumerate(drawn.scores):
        going = ~np.isin(texts[:, 1 : step + 1], settings.ends).any(axis=1)
        here = sources.rows(np.flatnonzero(going))
        found = processed(logits[going, step], texts[going, : step + 1], settings, here)
        chances = np.exp(found) / np.exp(found).sum(axis=-1, keepdims=True)
        expected = torch.softmax(theirs, dim=-1).numpy()[going]
        np.testing.assert_allclose(chances, expected, rtol=1e-9, atol=1e-12, err_msg=str((step, arguments)))
        taken = texts[going, step + 1]
        assert (chances[np.arange(len(taken)), taken] > 0).all()
