"""Our own sources in a trace's key: all that a worker imports, and nothing that it does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from parity.capture.sources import PACKAGES, OwnSources
from parity.core.backends import BACKENDS, MUTANT_HOSTS, find_entry
from parity.core.case import Case
from parity.core.resources import fixture

ROOT = Path(__file__).parents[2]

SCRIPT = """
import importlib.util, json, sys
from pathlib import Path
job = json.loads(sys.stdin.read())
spec = importlib.util.spec_from_file_location("__worker__", job["worker"])
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
sys.meta_path.insert(0, worker.IsolatedFinder())
class Silent:
    def send(self, event, **content):
        assert content.get("outcome", "captured") == "captured", content
asked = worker.Worker(job, Silent())
asked.start()
asked.run(job["tasks"])
files = [getattr(module, "__file__", None) for name, module in sys.modules.items()
         if name.partition(".")[0] in ("parity", "reference")]
print(json.dumps([file for file in files if file]))
"""


@pytest.mark.parametrize(
    ("backend", "operations"),
    [
        ("file", {"load": {}, "config": {}, "tokenize": {"texts": ["a b"], "pairs": [["a", "b"]], "short": 5}}),
        ("reference-torch", {"load": {}, "forward": {}, "generate": {"arguments": {"max_length": 4}}, "gradients": {}}),
    ],
)
def test_whatever_a_worker_imports_counts(backend, operations, tmp_path):
    inputs = {"input_ids": [[0, 5, 2]], "attention_mask": [[1, 1, 1]]}
    full = {**inputs, "decoder_input_ids": [[2, 0, 5]], "decoder_attention_mask": [[1, 1, 1]]}
    inputs_of = {"generate": inputs, "forward": full, "gradients": {**inputs, "labels": [[0, 5, 2]]}}
    tasks = [
        {
            "files": [],
            "refused": "",
            "view": str(fixture("bart-tiny")),
            "id": name,
            "variant": "eager",
            "dtype": "float64",
            "checkpoint": str(fixture("bart-tiny")),
            "model_class": "BartForConditionalGeneration",
            "out": str(tmp_path / name),
            "provenance": {},
            "case": Case(name, name, inputs_of.get(name, {}), settings).to_json(),
        }
        for name, settings in operations.items()
    ]
    worker = ROOT / "parity" / "capture" / "worker" / "main.py"
    entry = find_entry(backend)
    adapter = {"module": entry.module, "attribute": entry.attribute}
    job = {**adapter, "device": "cpu", "threads": 1, "cache": str(tmp_path), "setup": {}, "tasks": tasks}
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps({**job, "worker": str(worker)}),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    imported = {Path(file) for file in json.loads(answer.stdout.splitlines()[-1])} | {worker}
    assert imported - set(OwnSources(ROOT).files(backend)) == set()
    assert {path.name for path in imported} >= {"operations.py", "trace.py", "main.py"}


def written(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


FILES = {
    "parity/__init__.py": "",
    "parity/capture/__init__.py": "def later():\n    import parity.capture.pipeline\n",
    "parity/capture/worker/main.py": "def main():\n    from parity.capture.worker import operations\n",
    "parity/capture/worker/operations.py": "import numpy\nif True:\n    import parity.core.case\n",
    "parity/capture/pipeline.py": "",
    "parity/core/case.py": "try:\n    import parity.cases.batch\nexcept ImportError:\n    pass\n",
    "parity/cases/batch.py": "",
    "parity/core/records.py": "",
    "parity/backends/__init__.py": "",
    "parity/backends/hf/torch_backend.py": "from __future__ import annotations\n"
    "from parity.backends.hf import common\n",
    "parity/backends/hf/flax_backend.py": "from parity.backends.hf import common, flax_cache\n",
    "parity/backends/hf/flax_cache.py": "",
    "parity/backends/capabilities.py": "def f():\n    import parity.backends.mutants\n",
    "parity/backends/hf/common.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
    "    import parity.core.records\nclass A:\n    def f(self):\n        import reference.names.table\n",
    "parity/backends/hf/config.py": "from parity.core.model_spec import f\n",
    "parity/core/model_spec.py": "",
    "parity/backends/mutants/__init__.py": "",
    "reference/__init__.py": "",
    "reference/names/__init__.py": "from reference.names import layouts\n",
    "reference/names/table.py": "",
    "reference/names/layouts.py": "",
    "reference/other.py": "",
}


def test_files_are_followed_from_import_to_import(tmp_path):
    root = written(tmp_path, FILES)
    before = {backend: OwnSources(root).digest(backend) for backend in ("hf-torch", "hf-flax", "hf-config")}
    changed = {}
    for name, content in FILES.items():
        (root / name).write_text(content + "# edited\n")
        changed[name] = [backend for backend in before if OwnSources(root).digest(backend) != before[backend]]
        (root / name).write_text(content)
    everyone, frameworks, nobody = list(before), ["hf-torch", "hf-flax"], []
    assert changed == {
        "parity/__init__.py": everyone,
        "parity/capture/__init__.py": everyone,
        "parity/capture/worker/main.py": everyone,
        "parity/capture/worker/operations.py": everyone,
        "parity/capture/pipeline.py": nobody,
        "parity/core/case.py": everyone,
        "parity/cases/batch.py": everyone,
        "parity/core/records.py": nobody,
        "parity/backends/__init__.py": everyone,
        "parity/backends/hf/torch_backend.py": ["hf-torch"],
        "parity/backends/hf/flax_backend.py": ["hf-flax"],
        "parity/backends/hf/flax_cache.py": ["hf-flax"],
        "parity/backends/capabilities.py": nobody,
        "parity/backends/hf/common.py": frameworks,
        "parity/backends/hf/config.py": ["hf-config"],
        "parity/core/model_spec.py": ["hf-config"],
        "parity/backends/mutants/__init__.py": nobody,
        "reference/__init__.py": frameworks,
        "reference/names/__init__.py": frameworks,
        "reference/names/table.py": frameworks,
        "reference/names/layouts.py": frameworks,
        "reference/other.py": nobody,
    }


LIBRARY_HOSTS = [name for name in MUTANT_HOSTS if name.startswith("mutant-hf-")]
"""The hosts of mutations of a library, in one module: they import the adapters of all three."""


def digests(root):
    sources = OwnSources(root)
    return {name: sources.digest(name) for name in (*BACKENDS, *MUTANT_HOSTS)}


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of our own sources."""
    root = tmp_path_factory.mktemp("sources")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=lambda folder, names: {"__pycache__"} & set(names))
    return root


@pytest.mark.parametrize(
    ("edited", "changed"),
    [
        ("parity/backends/hf/flax_backend.py", {"hf-flax", *LIBRARY_HOSTS}),
        ("parity/backends/hf/config.py", {"hf-config"}),
        ("parity/backends/hf/torch_backend.py", {"hf-torch", *LIBRARY_HOSTS}),
        ("parity/backends/mutants/masks.py", set(MUTANT_HOSTS)),
        ("parity/backends/registry.py", set()),
        ("parity/core/backends.py", set()),
        ("parity/backends/limits/hf_torch.py", set()),
        ("parity/backends/limits/mutants.py", set()),
        ("parity/backends/capabilities.py", set()),
        ("parity/capture/plan.py", set()),
        ("parity/backends/torch_util.py", {"reference-torch", "hf-torch", "mutant", "mutant-flax", *LIBRARY_HOSTS}),
        ("parity/backends/hf/documented.py", {"hf-torch", "hf-tf", "hf-flax", "hf-config", *LIBRARY_HOSTS}),
        ("parity/backends/hf/common.py", {name for name in BACKENDS if name.startswith("hf-")} | {*LIBRARY_HOSTS}),
        ("parity/backends/protocol.py", {*BACKENDS, *MUTANT_HOSTS}),
        ("reference/in_flax/stacks.py", {"reference-flax", "mutant", "mutant-flax"}),
    ],
)
def test_an_edit_changes_the_keys_of_whoever_imports_it(copied, edited, changed):
    """Another adapter, a mutant, a row of the table or a reason to skip a case is no part of what is computed."""
    before = digests(copied)
    content = (copied / edited).read_bytes()
    (copied / edited).write_bytes(content + b"\nEDITED = True\n")
    try:
        assert {name for name, digest in digests(copied).items() if digest != before[name]} == changed
    finally:
        (copied / edited).write_bytes(content)


def test_of_a_row_the_class_counts_and_nothing_else(monkeypatch):
    """What it depends on stands in the key by itself (``parity.capture.plan.make_task``)."""
    before = OwnSources(ROOT).digest("hf-tokenizer")
    row = BACKENDS["hf-tokenizer"]
    monkeypatch.setitem(BACKENDS, "hf-tokenizer", replace(row, install="something else", needs=()))
    assert OwnSources(ROOT).digest("hf-tokenizer") == before
    monkeypatch.setitem(BACKENDS, "hf-tokenizer", replace(row, attribute="HfTokenizerFast"))
    assert OwnSources(ROOT).digest("hf-tokenizer") != before


def test_modules_of_ours_that_a_third_party_imports_count(tmp_path, monkeypatch):
    package = tmp_path / "site" / "someones"
    written(package, {"__init__.py": "", "deep.py": "def f():\n    import reference.other\n"})
    information = tmp_path / "site" / "someones-1.dist-info"
    point = "[encdec_parity.backends]\nsomeones = someones:Kind\n"
    written(information, {"METADATA": "Name: someones\nVersion: 1\n", "entry_points.txt": point})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    files = OwnSources(written(tmp_path, FILES)).files("someones")
    assert tmp_path / "reference" / "other.py" in files and tmp_path / "parity" / "core" / "case.py" in files
