"""``bart-tiny`` is trained: it restores texts that it never saw, and does not when a weight is wrong."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from fixtures.make import CHECKPOINTS, PROVENANCE
from fixtures.tiny.corpus import Text, written
from fixtures.tiny.masking import MASK, mask_spans
from fixtures.tiny.restoring import count_exact
from fixtures.tiny.settings import CONFIG, GENERATION, NAME, SEED, TEXTS, digest, split_texts
from fixtures.tiny.training import Recipe, train
from reference.config import BartConfig
from reference.in_torch import build, load
from reference.weights import read_weights

TINY = CHECKPOINTS / NAME
FRESH = 128


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Products this small are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def corpus() -> tuple[list[Text], list[Text]]:
    return split_texts(SEED, TEXTS)


@pytest.fixture(scope="module")
def fresh(corpus) -> list[Text]:
    """Held-out texts that no script has looked at: of another seed, and not in the examination."""
    known = {written(text) for side in corpus for text in side}
    texts = [text for text in split_texts(SEED + 1, TEXTS // 4)[1] if written(text) not in known]
    assert len(texts) >= FRESH
    return texts[:FRESH]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(TINY / "tokenizer.json"))


@pytest.fixture(scope="module")
def provenance() -> dict:
    return json.loads((TINY / PROVENANCE).read_text())


def test_provenance_is_complete_and_true(provenance, corpus):
    assert set(provenance) == {"command", "date", "seed", "versions", "training", "sha256"}
    files = [path for path in TINY.iterdir() if path.name != PROVENANCE]
    assert provenance["sha256"] == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    training, examination = corpus
    told = provenance["training"]
    assert (told["training_texts"], told["held_out_texts"]) == (len(training), len(examination))
    assert told["corpus_sha256"] == digest([*training, *examination])
    assert told["held_out_exact"] >= 0.9 * told["held_out_texts"]


def test_the_whole_checkpoint_is_at_most_a_megabyte():
    assert sum(path.stat().st_size for path in TINY.iterdir()) <= 1_000_000


def test_the_configs_are_what_the_script_says():
    config, generation = (json.loads((TINY / f"{name}.json").read_text()) for name in ("config", "generation_config"))
    assert config == CONFIG
    assert generation.items() >= GENERATION.items() and generation.items() <= config.items()
    # The published lengths, 56 and 142, divided by one number.
    assert (generation["min_length"], generation["max_length"]) == (int(56 / 2.83), int(142 / 2.83))
    assert generation["max_length"] <= config["max_position_embeddings"]


def test_no_text_is_both_trained_on_and_held_out(corpus, fresh):
    training, *others = ({written(text) for text in side} for side in (*corpus, fresh))
    assert all(training.isdisjoint(other) for other in others)
    assert sum(map(len, corpus)) == len(training) + len(others[0]) == TEXTS


def test_fresh_texts_are_restored_exactly(fresh, tokenizer):
    assert count_exact(load(TINY), tokenizer, fresh, SEED) >= 0.9 * len(fresh)


def moved_up(table: np.ndarray) -> np.ndarray:
    return np.roll(table, 1, axis=0)


@pytest.mark.parametrize(
    ("name", "alter"),
    [
        ("model.decoder.embed_positions.weight", moved_up),
        ("model.decoder.layers.1.encoder_attn.v_proj.weight", np.transpose),
        ("model.encoder.layers.0.self_attn.q_proj.weight", np.negative),
    ],
    ids=["positions off by one", "transposed", "negated"],
)
def test_one_wrong_parameter_is_enough_to_fail(name: str, alter: Callable, fresh, tokenizer):
    config = BartConfig.read(TINY)
    weights = dict(read_weights(TINY, config))
    weights[name] = np.ascontiguousarray(alter(weights[name]))
    assert count_exact(build(config, weights), tokenizer, fresh[:32], SEED) < 0.9 * 32


def test_every_text_can_be_written_under_the_generation_settings(corpus, tokenizer):
    rows = [row.ids for row in tokenizer.encode_batch([written(text) for side in corpus for text in side])]
    lengths = {1 + len(row) for row in rows}  # with the decoder's start
    assert min(lengths) > GENERATION["min_length"] and max(lengths) <= GENERATION["max_length"]
    assert len(lengths) > 20
    size = GENERATION["no_repeat_ngram_size"]
    for row in rows:
        runs = [tuple(row[first : first + size]) for first in range(len(row) - size + 1)]
        assert len(set(runs)) == len(runs), tokenizer.decode(row)


def test_a_masked_text_is_that_of_one_text_only(corpus):
    """Among all texts of as many clauses: a mask never hides a whole one, nor the last word left of something told."""
    draw = np.random.default_rng(SEED)
    short = [text for side in corpus for text in side if clauses(text) == 2]
    for text in short[::8]:
        masked = mask_spans(text, draw)
        pattern = ".*".join(map(re.escape, re.split(f" ?{MASK}", masked)))
        fitting = [other for other in map(written, short) if re.fullmatch(pattern, other)]
        assert fitting == [written(text)], masked


def clauses(text: Text) -> int:
    kinds = {"who", "what", "how many", "when"}
    return len(kinds & frozenset().union(*(piece.tells for piece in text)))


@pytest.mark.parametrize("spelled", ["BartTokenizer", "BartTokenizerFast", "AutoTokenizer"])
def test_the_library_s_tokenizers_give_our_ids(spelled: str, fresh, tokenizer):
    transformers = pytest.importorskip("transformers")
    theirs = getattr(transformers, spelled).from_pretrained(TINY)
    draw = np.random.default_rng(SEED)
    strange = [" leading,  double and trailing ", "naïve 日本 → ünï\u200bcode", f"don't\twe'll{MASK}it", MASK, ""]
    lines = [*map(written, fresh), *(mask_spans(text, draw) for text in fresh), *strange]
    for line in lines:
        ids = tokenizer.encode(line).ids
        assert theirs(line)["input_ids"] == ids, line
        if line not in strange and MASK not in line:
            assert theirs.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids) == line
    assert len(theirs) == CONFIG["vocab_size"] and theirs.mask_token_id == CONFIG["vocab_size"] - 1
    special = (theirs.bos_token_id, theirs.pad_token_id, theirs.eos_token_id, theirs.unk_token_id)
    assert special == (0, 1, 2, 3)
    assert theirs.model_max_length == CONFIG["max_position_embeddings"]


def test_texts_need_bytes_beyond_ascii(fresh):
    assert set("éü→日花") <= set("".join(map(written, fresh)))


def test_training_is_the_same_again_and_another_with_another_seed(corpus, tokenizer):
    config = BartConfig.read(TINY)

    def trained(seed: int) -> tuple[torch.Tensor, float]:
        model, loss = train(Recipe(config, tokenizer, corpus[0][:96], 3, seed), lambda line: None)
        return model.model.shared.weight.detach(), loss

    (first, loss), (again, same), (other, _) = trained(1), trained(1), trained(2)
    assert torch.equal(first, again) and loss == same
    assert not torch.equal(first, other)
