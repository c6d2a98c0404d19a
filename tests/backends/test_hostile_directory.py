"""A directory that asks for code in every way there is: no library runs, fetches or reads any of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parity.capture.views import Views
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.resources import fixture

ROOT = Path(__file__).parents[2]

LOAD = """
import sys
from pathlib import Path
user, view, out = map(Path, sys.argv[1:4])
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(str(user)):
        print("opened", arguments[0])
    if event in ("socket.connect", "socket.getaddrinfo"):
        print(event, arguments[-1])
sys.addaudithook(watch)
from parity.backends.registry import get_backend
from parity.core.subject import Variant
for name in ("hf-torch", "hf-config", "hf-tokenizer", "hf-tokenizer-fast"):
    backend = get_backend(name)
    backend.setup(threads=1, device="cpu", cache=out)
    model = backend.load(view, Variant(), device="cpu", dtype="float32", model_class="BartForConditionalGeneration")
    if name == "hf-torch":
        import numpy as np
        model.generate({"input_ids": np.array([[0, 5, 2]])}, {})
        model.save(out, "safetensors")
    print("loaded", name)
"""


@pytest.fixture
def hostile(tmp_path):
    """The directory, and packages that say so when they are imported."""
    directory, run = tmp_path / "checkpoint", f"open({str(tmp_path / 'PWNED')!r}, 'a').write(__name__)\n"
    shutil.copytree(fixture("bart-tiny"), directory)
    (directory / "custom_generate").mkdir()
    for name in ("custom_generate/generate.py", "modeling_evil.py", "configuration_evil.py", "tokenization_evil.py"):
        (directory / name).write_text(run + "def generate(model, **k): raise SystemExit\nclass Evil: pass\n")
    (directory / "custom_generate" / "requirements.txt").write_text("evil\n")
    (directory / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/etc", "peft_type": "LORA"}))
    (directory / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    (directory / "additional_chat_templates").mkdir()
    (directory / "additional_chat_templates" / "a.jinja").write_text("{{ x }}")
    evil = ("AutoConfig", "AutoModel", "AutoModelForSeq2SeqLM", "AutoTokenizer")
    maps = {"auto_map": dict.fromkeys(evil, "evil/repo--modeling_evil.Evil"), "trust_remote_code": True}
    config = json.loads((directory / "config.json").read_text())
    own = {
        "custom_pipelines": {"x": {"impl": "modeling_evil.Evil"}},
        "use_kernels": True,
        "_name_or_path": "/etc",
        "processor_class": "Evil",
        "_commit_hash": "x",
    }
    (directory / "config.json").write_text(json.dumps({**config, **maps, **own}))
    settings = json.loads((directory / "tokenizer_config.json").read_text())
    named = {"tokenizer_class": "EvilTokenizer", "name_or_path": "/etc", "chat_template": "{{ x }}"}
    (directory / "tokenizer_config.json").write_text(json.dumps({**settings, **maps, **named}))
    site = tmp_path / "site"
    for package in ("kernels", "peft", "evil"):
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").write_text(run)
        information = site / f"{package}-99.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 99.0\n")
    return directory


@pytest.mark.full
def test_nothing_of_it_runs_is_fetched_or_opened(hostile, tmp_path):
    found = inspect_checkpoint(hostile)
    (tmp_path / "out").mkdir()
    with Views(tmp_path / "views") as views:
        view = views.make(hostile, found.handed, frozenset(found.unexamined))
        answer = subprocess.run(
            [sys.executable, "-c", LOAD, str(hostile), str(view), str(tmp_path / "out")],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={"PATH": "", "HOME": str(tmp_path)},
            timeout=300,
        )
    lines = answer.stdout.splitlines()
    assert [line for line in lines if line.startswith("loaded")] == [
        "loaded hf-torch",
        "loaded hf-config",
        "loaded hf-tokenizer",
        "loaded hf-tokenizer-fast",
    ], answer.stderr[-2000:]
    assert [line for line in lines if not line.startswith("loaded")] == []
    assert not (tmp_path / "PWNED").exists()
