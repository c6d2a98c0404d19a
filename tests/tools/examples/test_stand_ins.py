"""Stand-ins: a hub cache that unmodified code finds, with the documented ids and special tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from parity.cli.main import run
from parity.tools.examples import stand_ins
from parity.tools.examples.stand_ins import StandInError, hub_ids, prepare


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub cache of all of them; they are made once for a machine."""
    folder = tmp_path_factory.mktemp("home")
    found = prepare(folder)
    assert (found.ids, found.lacking) == (hub_ids(), {})
    return folder


def ask(home: Path, code: str) -> list[str]:
    """What a process that has only this hub cache prints."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    environment |= {"USE_TF": "0", "USE_FLAX": "0", "TRANSFORMERS_VERBOSITY": "error"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


SPEECH = "hf-internal-testing/librispeech_asr_dummy"


def test_every_id_is_a_repository_of_the_hub_cache(home: Path) -> None:
    assert SPEECH in hub_ids()
    for name in hub_ids() - {SPEECH}:
        repository = home / "hub" / "--".join(["models", *name.split("/")])
        snapshot = repository / "snapshots" / (repository / "refs" / "main").read_text()
        assert "model_type" in json.loads((snapshot / "config.json").read_text()), name


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    own = tmp_path / "hub" / "models--facebook--bart-large"
    own.mkdir(parents=True)
    (own / "mine").touch()
    prepare(tmp_path)
    assert [path.name for path in own.iterdir()] == ["mine"]


@pytest.mark.full
def test_a_framework_that_is_switched_off_here_is_used_to_make_them(tmp_path: Path, monkeypatch) -> None:
    """An adapter that ran in this process has switched off the other frameworks."""
    monkeypatch.setenv("USE_TF", "0")
    found = prepare(tmp_path / "home", tmp_path / "cache", ["facebook/bart-base"])
    assert (found.ids, found.lacking) == ({"facebook/bart-base"}, {})


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("no folder")
    with pytest.raises(StandInError, match=r"stand-ins cannot be written: File exists"):
        prepare(tmp_path)


@pytest.mark.full
def test_every_tokenizer_fits_its_model_and_spells_any_text(home: Path) -> None:
    """Of a composition the decoder's tokenizer may be another one, and audio has none."""
    code = """
import json, tomllib
from transformers import AutoConfig, AutoTokenizer
from parity.core.resources import data
table = tomllib.loads(data("tools/examples/stand_ins.toml").read_text())
for name, row in table["checkpoint"].items():
    if "vocabulary" not in row or "Speech" in row["class"]:
        continue
    vocabulary, config = table["vocabulary"][row["vocabulary"]], AutoConfig.from_pretrained(name)
    tokenizer = AutoTokenizer.from_pretrained(name)
    size = getattr(config, "vocab_size", None) or config.encoder.vocab_size
    at = {token: tokenizer.convert_tokens_to_ids(token) for token in vocabulary["special"]}
    ids = tokenizer("A dog-eared 12 (x)", add_special_tokens=False).input_ids
    spelled = vocabulary["kind"] == "characters" or tokenizer.unk_token_id not in ids
    print(name, len(tokenizer) == size, at == vocabulary["special"], spelled)
"""
    said = ask(home, code)
    assert len(said) == 12
    assert [line for line in said if not line.endswith("True True True")] == []


def test_an_alias_is_the_same_repository(home: Path) -> None:
    first, second = (
        home / "hub" / f"models--{name}" for name in ("bert-base-uncased", "google-bert--bert-base-uncased")
    )
    files = [{path.name: path.read_bytes() for path in hub.glob("snapshots/*/*")} for hub in (first, second)]
    assert files[0] == files[1]
    assert "tf_model.h5" in files[0]


@pytest.mark.full
def test_a_data_set_is_loaded_and_read_by_a_feature_extractor(home: Path) -> None:
    code = """
from datasets import load_dataset
from transformers import Wav2Vec2Processor
ds = load_dataset("hf-internal-testing/librispeech_asr_dummy", "clean", split="validation")
processor = Wav2Vec2Processor.from_pretrained("facebook/wav2vec2-xls-r-300m-en-to-15")
values = processor(ds[0]["audio"]["array"], return_tensors="pt").input_values
print(len(ds), ds[0]["audio"]["sampling_rate"], values.dtype, values.shape[1] > 16000, f"{values.std().item():.3f}")
print(ds[0]["text"].split()[:2])
"""
    assert ask(home, code) == ["3 16000 torch.float32 True 1.000", "['THE', 'BOAT']"]


def test_unmodified_code_loads_it_and_finds_the_documented_tokens(home: Path) -> None:
    code = """
from transformers import AutoTokenizer, BartForConditionalGeneration
model = BartForConditionalGeneration.from_pretrained("facebook/bart-large", forced_bos_token_id=0)
tokenizer = AutoTokenizer.from_pretrained("facebook/bart-large")
print(tokenizer("Hello world")["input_ids"], tokenizer(" Hello world")["input_ids"], tokenizer.mask_token_id)
print(tokenizer.decode(tokenizer("naïve <mask> \\U0001f600").input_ids))
print(model.generate(**tokenizer("Hello", return_tensors="pt"), max_length=5).shape[0])
"""
    assert ask(home, code) == ["[0, 31414, 232, 2] [0, 20920, 232, 2] 50264", "<s>naïve<mask> \U0001f600</s>", "1"]


def test_what_is_kept_is_listed_and_goes_where_the_whole_cache_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "stand-ins" / "key" / "hub"
    kept.mkdir(parents=True)
    (kept / "first").write_bytes(b"x" * 2_000_000)
    os.link(kept / "first", kept / "second")
    assert run(["cache", "list", "--cache", str(tmp_path)]) == 0
    assert "stand-ins for documented examples, 2 MB" in capsys.readouterr().out
    assert run(["cache", "clean", "--cache", str(tmp_path), "--older-than", "1"]) == 0
    assert kept.is_dir(), "only old traces were meant"
    assert run(["cache", "clean", "--cache", str(tmp_path)]) == 0
    assert not (tmp_path / "stand-ins").exists()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the making by empty folders; holds which were asked for, in order."""
    asked: list[str] = []

    def make(folder: Path, names: list[str]) -> dict[str, str]:
        asked.extend(names)
        for name in names:
            (folder / stand_ins.folder_of(name)).mkdir(parents=True)
        return {}

    monkeypatch.setattr(stand_ins, "_make", make)
    return asked


def without(monkeypatch: pytest.MonkeyPatch, *absent: str) -> None:
    find_spec = stand_ins.find_spec
    monkeypatch.setattr(stand_ins, "find_spec", lambda name: None if name in absent else find_spec(name))


def test_only_what_is_named_is_made_and_only_once(tmp_path: Path, made: list[str]) -> None:
    names = {"facebook/bart-base", "gpt2", SPEECH, "nobody/knows"}
    found = prepare(tmp_path / "home", tmp_path / "cache", names)
    assert (found.ids, found.lacking) == (names - {"nobody/knows"}, {})
    assert set(made) == names - {"nobody/knows"}
    for name in found.ids:
        assert (tmp_path / "home" / stand_ins.folder_of(name)).is_dir()
    again = prepare(tmp_path / "other", tmp_path / "cache", ["gpt2", "facebook/bart-large"])
    assert again.ids == {"gpt2", "facebook/bart-large"}
    assert made[3:] == ["facebook/bart-large"]


def test_what_a_stand_in_needs_is_named_with_the_extra_and_the_others_are_made(
    tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment of torch and transformers alone."""
    without(monkeypatch, "sentencepiece", "google.protobuf", "pyarrow")
    speech = "facebook/wav2vec2-xls-r-300m-en-to-15"
    found = prepare(tmp_path / "home", tmp_path / "cache", ["facebook/bart-base", speech, SPEECH])
    assert made == ["facebook/bart-base"]
    assert found.lacking == {
        speech: "sentencepiece and protobuf are not installed: pip install 'encdec-parity[docs]'",
        SPEECH: "pyarrow is not installed: pip install 'encdec-parity[docs]'",
    }
    without(monkeypatch, "torch")
    assert stand_ins.cannot_make("gpt2") == "torch is not installed: pip install 'encdec-parity[main]'"


def test_an_example_without_its_stand_in_is_not_run_and_says_why_once(
    tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("parity.capture.cache.default_cache", lambda: tmp_path / "cache")
    without(monkeypatch, "sentencepiece")
    load = 'x = "no code"\nif False:\n    AutoTokenizer.from_pretrained("google/bert2bert_L-24_wmt_en_de")'
    page = tmp_path / "page.md"
    page.write_text("".join(f"```py\n{code}\n```\n" for code in ("y = 1", load, f"{load}\nz = 2")), encoding="utf-8")
    assert run(["doctest", str(page), "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "2 examples not run: sentencepiece is not installed: pip install 'encdec-parity[docs]'\n" in out
    assert made == []
