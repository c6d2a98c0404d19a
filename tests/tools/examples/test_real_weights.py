"""Documented examples with real weights: a hub cache that holds a real BERT, and what transformers 4.57.6 printed.

The page is the encoder-decoder page's example of ``EncoderDecoderModel`` written for all-MiniLM-L6-v2, and for MiniLM
before a copy of itself, whose attention to the encoder is drawn once and saved (``real_model.py``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parity.tools.examples import stand_ins
from parity.tools.examples.results import DocsReport
from tests.tools.examples.real_model import TOKENIZER, joined, minilm, prepare

pytestmark = pytest.mark.full
ROOT = Path(__file__).parents[3]
SPEECH = "hf-internal-testing/librispeech_asr_dummy"
PUBLISHED, JOINED = "sentence-transformers/all-MiniLM-L6-v2", "encdec-parity/minilm2minilm"
STATES = f"""
```py
>>> from transformers import BertModel, BertTokenizer
>>> import torch

>>> tokenizer = BertTokenizer.from_pretrained("{PUBLISHED}")
>>> model = BertModel.from_pretrained("{PUBLISHED}")

>>> input_ids = tokenizer("The quick brown fox jumps over the lazy dog.", return_tensors="pt").input_ids
>>> tokenizer.batch_decode(input_ids)[0]
'[CLS] the quick brown fox jumps over the lazy dog. [SEP]'

>>> states = model(input_ids).last_hidden_state
>>> list(states.shape)
[1, 12, 384]
>>> [round(number, 3) for number in states[0, 0, :5].tolist()]
[0.046, 0.338, 0.208, 0.647, -0.196]
```
"""
WRITTEN = f"""
```python
from transformers import BertTokenizer, EncoderDecoderModel

tokenizer = BertTokenizer.from_pretrained("{JOINED}")
model = EncoderDecoderModel.from_pretrained("{JOINED}")
input_ids = tokenizer("The quick brown fox jumps over the lazy dog.", return_tensors="pt").input_ids
labels = tokenizer("A fox jumps.", return_tensors="pt").input_ids
loss = model(input_ids=input_ids, labels=labels).loss
assert round(loss.item(), 3) == 11.625

generated_ids = model.generate(input_ids, max_length=4)
assert tokenizer.batch_decode(generated_ids, skip_special_tokens=True) == ["distribution quicklyrma"]
```
"""
ALTERED = {
    "a number": STATES.replace("0.647", "0.648"),
    "a text": STATES.replace("'[CLS] the quick", "'[CLS] the slow"),
    "a shape": STATES.replace("[1, 12, 384]", "[1, 11, 384]"),
    "an asserted loss": WRITTEN.replace("11.625", "11.626"),
    "an asserted text": WRITTEN.replace("quicklyrma", "slowlyrma"),
}


@pytest.fixture(scope="module")
def hub_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home, source = tmp_path_factory.mktemp("huggingface"), minilm()
    prepare(home / "hub", PUBLISHED, *(source / name for name in ("config.json", "model.safetensors", *TOKENIZER)))
    joined(home / "hub", JOINED)
    return home


def ask(home: Path, page: str, folder: Path) -> tuple[int, DocsReport]:
    """The command in a process of its own, which has this hub cache and no network."""
    (folder / "page.md").write_text(page, encoding="utf-8")
    command = [sys.executable, "-m", "parity", "doctest", str(folder / "page.md"), "--checkpoints", "real"]
    ended = subprocess.run(
        [*command, "--out", str(folder / "run"), "--jobs", "1"],
        cwd=ROOT,
        env={**os.environ, "HF_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode in (0, 1, 2), ended.stderr
    text = (folder / "run" / "documented.json").read_text(encoding="utf-8")
    return ended.returncode, DocsReport.model_validate(json.loads(text))


def test_texts_and_numbers_of_real_weights_are_compared_and_hold(hub_home: Path, tmp_path: Path):
    code, report = ask(hub_home, STATES + WRITTEN, tmp_path)
    assert [(example.status, example.reason) for example in report.examples] == [("holds", ""), ("holds", "")]
    assert (code, report.mode) == (0, "real")
    assert {each.status for example in report.examples for each in example.statements} == {"holds"}


def test_an_altered_value_of_each_kind_differs(hub_home: Path, tmp_path: Path):
    code, report = ask(hub_home, "\n".join(ALTERED.values()), tmp_path)
    assert code == 1
    assert [example.status for example in report.examples] == ["differs"] * len(ALTERED)
    reasons = dict(zip(ALTERED, (example.reason for example in report.examples), strict=True))
    assert reasons["a shape"] == "shows [1, 12, 384], documented is [1, 11, 384]"
    assert "0.647" in reasons["a number"] and "0.648" in reasons["a number"]
    assert reasons["an asserted loss"].startswith("what is asserted is not so")


def test_a_data_set_that_was_loaded_before_is_found_without_its_repository(tmp_path: Path):
    """As ``datasets`` keeps it; a stand-in lies in the very same place."""
    stand_ins.prepare(tmp_path)
    shutil.rmtree(tmp_path / "hub")
    page = f"""
```py
>>> from datasets import load_dataset
>>> load_dataset("{SPEECH}", "clean", split="validation")[0]["text"].split()[:2]
['THE', 'BOAT']
```
"""
    code, report = ask(tmp_path, page, tmp_path)
    assert (code, report.examples[0].status, report.examples[0].reason) == (0, "holds", "")


def test_what_is_not_in_the_cache_is_not_run_and_named(tmp_path: Path):
    code, report = ask(tmp_path / "empty", STATES, tmp_path)
    assert (code, report.examples[0].status) == (2, "not run")
    assert PUBLISHED in report.examples[0].reason and "network was not allowed" in report.examples[0].reason
