"""Every reader of files from outside, with what makes inputs for it: a directory, altered, and how it is read."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from parity.cases import inputs
from parity.cases.files import file_cases
from parity.checkpoint.diagnosis.directories import kind_of
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.case import Case
from parity.core.model_spec import model_spec_of
from parity.core.records import Report, read_record
from parity.core.resources import fixture, fixtures
from parity.core.trace import Raised, Trace
from parity.judge.captured_run import CheckpointRun
from parity.judge.user_known_issues import read_known_issues
from parity.tools.examples.dependence import ids_of
from parity.tools.examples.pages import read_page
from parity.tools.fuzz.command import stored_failure
from parity.tools.fuzz.example import Example
from parity.tools.gate.baseline import read_baseline
from parity.tools.golden import store
from reference.config import BartConfig
from reference.tokenizer import ByteLevelTokenizer
from reference.tokenizer.inventory import read_inventory
from reference.weights import find_weights, open_weights, read_weights
from tests.sample_reports import failure, report, subject, verdict
from tests.untrusted_files import weights
from tests.untrusted_files.values import TEXTS, altered, written, wrong

CONFIG = BartConfig.from_dict({"model_type": "bart", "vocab_size": 10, "d_model": 16, "encoder_layers": 1})


@dataclass(frozen=True)
class Reader:
    """``make`` fills an empty directory, ``read`` reads it; what either is given beside it is drawn at random."""

    make: Callable[[Path, random.Random], None]
    read: Callable[[Path], object]


def _weights(name: str) -> Reader:
    file, content = weights.FILES[name]
    known = {"zip": "bin", "legacy": "bin"}.get(name, name)
    return Reader(lambda place, draw: _put(place / file, content(draw)), lambda place: _read_all(place, known))


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _read_all(place: Path, known: str) -> None:
    """Headers, every array, and the findings that are made of them."""
    found, files = find_weights(place, known)
    for stored in open_weights(found, files).tensors.values():
        stored.read()
    whole = read_weights(place, CONFIG, known)
    list(whole.surplus), whole.tied_differs, whole.not_finite


@cache
def _configs() -> list[tuple[Path, dict]]:
    return [(place, json.loads((place / "config.json").read_text())) for place in fixtures()]


def _make_config(place: Path, draw: random.Random) -> None:
    origin, config = draw.choice(_configs())
    shutil.copyfile(origin / "model.safetensors", place / "model.safetensors")
    data = altered(config, draw) if draw.random() < 0.97 else wrong(draw)
    if isinstance(data, dict) and draw.random() < 0.1:
        data[draw.choice(("id2label", "num_labels", "architectures", "problem_type", "quantization_config"))] = wrong(
            draw
        )
    _put(place / "config.json", written(data, draw))
    if draw.random() < 0.3 and (origin / "generation_config.json").exists():
        stored = json.loads((origin / "generation_config.json").read_text())
        names = (
            "max_length",
            "num_beams",
            "eos_token_id",
            "early_stopping",
            "suppress_tokens",
            "length_penalty",
            "top_k",
        )
        stored[draw.choice(names)] = wrong(draw)
        _put(place / "generation_config.json", written(altered(stored, draw), draw))
    if draw.random() < 0.02:
        name = draw.choice(("config.json", "generation_config.json"))
        (place / name).unlink(missing_ok=True)
        draw.choice((os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")))(place / name)


def _read_config(place: Path) -> None:
    found = inspect_checkpoint(place)
    file_cases(found.model_spec, place)


_STRAY = (
    "adapter_model.safetensors",
    "model.pt",
    "dict.txt",
    "model.bin",
    "modeling_x.py",
    "model.fp16.safetensors",
    "pytorch_model-00001-of-00002.bin",
    "optimizer.pt",
    "model_index.json",
    "a\nb.json",
    "config.\x1b[31m.json",
    "config.4.\udcff.json",
    "tokenizer.\udcff.json",
    "x.\udcff.safetensors",
    "chat_template.jinja",
    "spiece.model",
)
_BEGINNINGS = (
    b"",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    b"<!DOCTYPE html>",
    b"{}",
    b"[1]",
    b"GGUF\x03\x00\x00\x00",
    b"\x80\x02}.",
    b"PK\x03\x04",
    b"\x89HDF\r\n\x1a\n",
    b"\x1f\x8b",
    b"\xff" * 600,
)


def _make_directory(place: Path, draw: random.Random) -> None:
    """A checkpoint with more in it than one: several weight files, indexes, an adapter, odd names, what is no file."""
    origin, whole = draw.choice(_configs())
    config = altered(whole, draw) if draw.random() < 0.2 else dict(whole)
    if draw.random() < 0.8:
        shutil.copyfile(origin / "model.safetensors", place / "model.safetensors")
    for name, (file, content) in weights.FILES.items():
        if name != "safetensors" and draw.random() < 0.15:
            _put(place / file, content(draw))
    stray = draw.sample(_STRAY, draw.choice((0, 1, 4)))
    for name in stray:
        _put(place / name, draw.choice(_BEGINNINGS))
    if draw.random() < 0.3:
        known = draw.choice(("model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"))
        shards = {f"x{number}": draw.choice((*stray, *_STRAY, *TEXTS)) for number in range(draw.randrange(3))}
        _put(place / f"{known}.index.json", written({"weight_map": shards, "metadata": {}}, draw))
    if draw.random() < 0.3:
        adapter = {"base_model_name_or_path": "x/y", "peft_type": "LORA", "auto_mapping": None}
        _put(place / "adapter_config.json", written(altered(adapter, draw), draw))
    if draw.random() < 0.4:
        key = draw.choice(("configuration_files", "transformers_weights", "quantization_config", "auto_map"))
        config[key] = draw.choice((stray, *stray, wrong(draw)))
    _put(place / "config.json", written(config, draw) if draw.random() < 0.1 else json.dumps(config).encode())
    if draw.random() < 0.3:
        settings = {"fast_tokenizer_files": stray if draw.random() < 0.7 else wrong(draw)}
        _put(place / "tokenizer_config.json", written(settings, draw))
    if draw.random() < 0.1:
        name = draw.choice(("tokenizer.json", "pytorch_model.bin", "model.safetensors.index.json", "vocab.txt"))
        (place / name).unlink(missing_ok=True)
        target = draw.choice(("/dev/zero", "nowhere", name, "config.json", ".."))
        draw.choice((os.mkfifo, os.mkdir, lambda path: path.symlink_to(target)))(place / name)


def _read_directory(place: Path) -> None:
    kind_of(place)
    inspect_checkpoint(place)


@cache
def _tokenizer_files() -> dict[str, object]:
    """A small vocabulary: what is altered should be read in no time."""
    place = fixture("bart-tiny")
    vocabulary = json.loads((place / "vocab.json").read_text())
    merges = [line for line in (place / "merges.txt").read_text().split("\n") if line and not line.startswith("#")][:40]
    letters = [token for token in vocabulary if len(token) == 1]
    kept = ["<s>", "<pad>", "</s>", "<unk>", *letters, *("".join(line.split()) for line in merges), "<mask>"]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(kept))}
    whole = json.loads((place / "tokenizer.json").read_text())
    whole["model"] |= {"vocab": vocabulary, "merges": merges}
    for token in whole["added_tokens"]:
        token["id"] = vocabulary.get(token["content"], 0)
    names = ("tokenizer_config.json", "special_tokens_map.json")
    others = {name: json.loads((place / name).read_text()) for name in names}
    decoder = {str(vocabulary[token["content"]]): dict(token) for token in whole["added_tokens"]}
    others["tokenizer_config.json"]["added_tokens_decoder"] = decoder
    return {"vocab.json": vocabulary, "merges.txt": merges, "tokenizer.json": whole, "added_tokens.json": {"<x>": len(vocabulary)}, **others}  # fmt: skip  # noqa: E501


def _make_tokenizer(place: Path, draw: random.Random) -> None:
    files = dict(_tokenizer_files())
    names = [name for name in files if name != "added_tokens.json" or draw.random() < 0.3]
    if draw.random() < 0.4:
        names = [name for name in names if draw.random() < 0.6]
    broken = set(draw.sample(names, min(len(names), draw.choice((0, 1, 1, 2)))))
    for name in names:
        data = files[name]
        if name == "merges.txt":
            lines = altered(data, draw) if name in broken else data
            text = "#version: 0.2\n" + "\n".join(line if isinstance(line, str) else str(line)[:100] for line in lines)
            _put(place / name, weights.cut(text.encode("utf-8", "replace"), draw) if name in broken else text.encode())
        elif name in broken:
            _put(place / name, written(altered(data, draw) if draw.random() < 0.95 else wrong(draw), draw))
        else:
            _put(place / name, json.dumps(data).encode())
    if draw.random() < 0.1:
        _put(place / "vocab.txt", weights.cut(b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\na\n\xff", draw))


def _read_tokenizer(place: Path) -> None:
    for read in (read_inventory, _encode):
        try:
            read(place)
        except inputs.CheckpointError as error:
            last = error
        else:
            last = None
    if last is not None:
        raise last


def _encode(place: Path) -> None:
    tokenizer = ByteLevelTokenizer.read(place)
    row = tokenizer.encode("A text, <mask> with 'things' é \x1f in it\n", "and  another").ids
    tokenizer.decode(row, True)


_IDS, _TEXTS = {"input_ids": [0, 5, 2], "labels": [0, 4, -100]}, {"text": "a b", "target": "c"}


def _make_inputs(place: Path, draw: random.Random) -> None:
    rows = [draw.choice((_IDS, _TEXTS)) for _ in range(draw.choice((0, 1, 3)))]
    lines = [written(altered(row, draw), draw) if draw.random() < 0.6 else json.dumps(row).encode() for row in rows]
    _put(place / "rows.jsonl", weights.cut(draw.choice((b"\n", b"\r\n", b"\n\n")).join(lines), draw))


def _read_inputs(place: Path) -> None:
    model_spec = model_spec_of(_configs()[0][1])
    # The library's own reader runs in another process, and is not what is tried here.
    with mock.patch.object(inputs, "tokenizer", lambda *_: lambda text, pair=None: [len(text.encode()) % 5]):
        inputs.read_inputs(place / "rows.jsonl", place, model_spec)


@cache
def _golden() -> tuple[dict, dict]:
    """The head of a small one, and its arrays."""
    with safe_open(store.goldens() / "main/bart-bare.safetensors", framework="numpy") as file:
        return json.loads(file.metadata()["golden"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _make_golden(place: Path, draw: random.Random) -> None:
    head, arrays = _golden()
    head = altered(head, draw) if draw.random() < 0.95 else wrong(draw)
    metadata = {"golden": written(head, draw).decode("utf-8", "replace")} if draw.random() < 0.97 else {}
    arrays = {name: array for name, array in arrays.items() if draw.random() < 0.999}
    _put(place / "x.safetensors", weights.cut(save(arrays, metadata=metadata), draw))
    index = json.loads((fixture("bart-odd").parent.parent / "golden/index.json").read_text())
    index["files"] = dict(list(index["files"].items())[:2])
    _put(
        place / "index.json", written(altered(index, draw), draw) if draw.random() < 0.5 else json.dumps(index).encode()
    )


def _read_golden(place: Path) -> None:
    with mock.patch.object(store, "goldens", lambda: place):
        store.read_index()
        store.read_bundle("x.safetensors")


@cache
def _report() -> dict:
    return json.loads(report(verdict(), failure()).model_dump_json(by_alias=True))


@cache
def _manifest() -> dict:
    whole = json.loads(report(verdict(), subjects=[subject()]).model_dump_json(by_alias=True))
    shared = ("parity_version", "command", "started", "checkpoints", "environments", "subjects")
    cases = [Case("load", "load"), Case("forward", "forward", {"input_ids": [[0, 5, 2]]}, requires=("labels",))]
    asked = {"checkpoint": "bart-odd", "subject": 0, "case": "load", "outcome": "crash", "reason": "signal 11"}
    whole["checkpoints"][0]["config"] = _configs()[0][1]
    return {
        "schema_version": 2,
        **{name: whole[name] for name in shared},
        "cases": {"bart-odd": [case.to_json() for case in cases]},
        "traces": [asked],
    }


def _read_manifest(path: Path) -> None:
    _, runs = CheckpointRun.open_all(path.parent)
    for run in runs:
        for _, asked in run.subjects("candidate"):
            [case.is_for(asked.backend, asked.variant) for case in run.cases.values()]


@cache
def _baseline() -> dict:
    whole = json.loads((fixture("bart-odd").parent.parent.parent / "reports/baseline.json").read_text())
    name, subjects = next(iter(whole["cells"].items()))
    whole["cells"] = {name: {next(iter(subjects)): next(iter(subjects.values()))}}
    return whole


def _record(name: str, data: Callable[[], dict], read: Callable[[Path], object]) -> Reader:
    return Reader(
        lambda place, draw: _put(place / name, written(altered(data(), draw), draw)), lambda place: read(place / name)
    )


_ISSUE = {
    "id": "mine",
    "checks": ["NUM01"],
    "backends": ["hf-torch"],
    "versions": {"transformers": [">=4"]},
    "config": {"model_type": ["bart"]},
    "checkpoints": ["bart-*"],
    "first": ["logits"],
    "tensors": ["decoder.*"],
    "found": "is 3 × tolerance from",
    "raises": "ValueError",
    "message": "size .* 5",
    "findings": ["holds 3"],
    "severity": "high",
    "reason": "measured by hand",
    "expires": "2999-01-01",
    "cases": ["forward"],
}
_NEEDED = ("id", "checks", "backends", "first", "reason", "expires")


def _toml(value: object) -> str:
    """JSON's texts, lists and numbers are TOML's, too; a date is what looks like one."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    text = json.dumps(value, ensure_ascii=False)
    return {"NaN": "nan", "Infinity": "inf", "null": '""', '"2999-01-01"': "2999-01-01"}.get(text, text)


def _make_issues(place: Path, draw: random.Random) -> None:
    kept = {name: value for name, value in _ISSUE.items() if name in _NEEDED or draw.random() < 0.3}
    data = {"divergence": [kept]} if draw.random() < 0.9 else {"divergence": [kept, kept]}
    data = altered(data, draw) if draw.random() < 0.8 else data
    text = "\n".join(f"{json.dumps(name)} = {_toml(value)}" for name, value in data.items())
    if draw.random() < 0.1:
        text = draw.choice(("[" * 5000, "x = " + "[" * 5000, "a." * 5000 + "b = 1", "x = " + "9" * 5000)) + "\n" + text
    _put(place / "issues.toml", weights.cut(text.encode("utf-8", "surrogatepass"), draw))


def _make_trace(place: Path, draw: random.Random) -> None:
    """Whose digest is mostly its own, so that what is wrong with it is not that it changed."""
    arrays = {name: np.ones((2, 3), np.float32) for name in ("encoder.embedding", "logits")}
    raised = Raised("ValueError", "of no use", "x.py:1 in f") if draw.random() < 0.3 else None
    facts = {"fields": ["logits"], "missing": [], "steps": [{"layout": {"x": [1, 2]}}]}
    Trace(arrays, facts, raised, {"logits": "float32"}, {"backend": "hf-torch"}).write(place / "x.safetensors")
    content = (place / "x.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    if draw.random() < 0.7:
        head = altered(json.loads(header["__metadata__"]["parity"]), draw) if draw.random() < 0.95 else wrong(draw)
        header["__metadata__"]["parity"] = written(head, draw).decode("utf-8", "replace")
    text = json.dumps(altered(header, draw) if draw.random() < 0.3 else header, separators=(",", ":")).encode()
    content = len(text).to_bytes(8, "little") + text + data
    stored = re.search(rb'"digest":"([0-9a-f]{64})"', content)
    if stored is not None and draw.random() < 0.9:
        before, after = content[: stored.start(1)], content[stored.end(1) :]
        content = before + hashlib.sha256(before + b"0" * 64 + after).hexdigest().encode() + after
    _put(place / "x.safetensors", weights.cut(content, draw))


def _read_trace(place: Path) -> None:
    for array in Trace.read(place / "x.safetensors").arrays.values():
        array.sum()


_PAGES = (
    "# Title\n\n```py\n>>> x = 1\n>>> x\n1\n```\n\n```bash\npip install x\n```\n\n    indented = 2\n",
    "Title\n=====\n\n.. code-block:: python\n\n    >>> x = 1\n    >>> print(x)\n    1\n\nText::\n\n    y = 2\n",
    ">>> from transformers import BartModel\n>>> BartModel.from\\_pretrained('x')\n",
    "import sys\n\nprint(sys.path)\n",
)
_PIECES = (
    "```",
    "~~~",
    ">>> ",
    "... ",
    "\\_",
    "    ",
    "\t",
    "<pre>",
    "|",
    "Ã©",
    "â€œ",
    "\ufeff",
    "\x1b[31m",
    "::error::x\n",
    "\n",
    "[" * 3000,
    "(" * 3000,
    "> " * 2000,
    "* " * 2000,
    "`" * 5000,
    "def f(:\n",
    ".. code::",
    "x" * 100_000,
    "9" * 6000,
    "f'{" * 200,
    "lambda " * 500,
    "-" * 9000,
    "a.b" * 5000,
    "\0",
    "\udcff",
    "'''",
    "\\\n",
    "<!--",
    "](",
)


def _make_page(place: Path, draw: random.Random) -> None:
    text = draw.choice(_PAGES)
    for _ in range(draw.choice((0, 1, 3, 8))):
        at = draw.randrange(len(text) + 1)
        text = text[:at] + draw.choice(_PIECES) * draw.choice((1, 1, 3)) + text[at:]
    encoding = draw.choice(("utf-8",) * 9 + ("utf-16", "utf-8-sig", "latin-1", "utf-32"))
    content = text.encode(encoding, "surrogatepass" if encoding == "utf-8" else "replace")
    _put(place / f"page.{draw.choice(('md', 'rst', 'txt', 'py'))}", weights.cut(content, draw))


def _read_page(place: Path) -> None:
    page = read_page(next(place.iterdir()))
    for block in page.blocks:
        ids_of(block)


@cache
def _stored_failure() -> dict:
    example = Example("bart", _configs()[0][1], {}, ((3, 2), (1, 4)), ((0, 1),))
    return {"example": asdict(example), "verdict": json.loads(failure().model_dump_json())}


def _read_index(place: Path) -> None:
    known, files = find_weights(place)
    for stored in open_weights(known, files).tensors.values():
        stored.read()


READERS: dict[str, Reader] = {
    **{name: _weights(name) for name in weights.FILES},
    "index": Reader(weights.write_index, _read_index),
    "config": Reader(_make_config, _read_config),
    "directory": Reader(_make_directory, _read_directory),
    "tokenizer": Reader(_make_tokenizer, _read_tokenizer),
    "inputs": Reader(_make_inputs, _read_inputs),
    "golden": Reader(_make_golden, _read_golden),
    "report": _record("report.json", _report, lambda path: read_record(Report, path)),
    "manifest": _record("manifest.json", _manifest, _read_manifest),
    "baseline": _record("baseline.json", _baseline, read_baseline),
    "issues": Reader(_make_issues, lambda place: read_known_issues(place / "issues.toml")),
    "trace": Reader(_make_trace, _read_trace),
    "page": Reader(_make_page, _read_page),
    "example": _record("failure.json", _stored_failure, stored_failure),
}
"""By name."""


def emptied(place: Path) -> Path:
    """The directory, new."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place
