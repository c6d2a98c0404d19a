"""Goldens from end to end: recorded of the library, replaced by rule, and judged where nothing of it is installed."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from parity import audit
from parity.core import resources
from parity.core.records import Report, read_record
from parity.core.resources import fixture
from parity.core.stacks import find
from parity.core.trace import Trace
from parity.tools.golden import record as recording
from parity.tools.golden.selection import golden_cases
from parity.tools.golden.store import GoldenError, digest, read_bundle, read_index, write_bundle, write_index
from tests.end_to_end.conftest import LONGEST, ROOT

pytestmark = pytest.mark.full

NAME = "main/bart-odd.safetensors"
KEY = ("hf-torch", "eager", "forward")


@pytest.fixture
def recorded(tmp_path, monkeypatch, cache):
    """Records PyTorch's answers about one fixture into an empty folder of goldens."""
    (tmp_path / "checkpoints").mkdir()
    shutil.copytree(fixture("bart-odd"), tmp_path / "checkpoints" / "bart-odd")
    monkeypatch.setattr(resources, "_fixtures", lambda: tmp_path)
    monkeypatch.setattr(recording, "golden_backends", lambda offered: ["hf-torch/eager"])

    def record(because: str = "") -> list[str]:
        return recording.record(stacks=["main"], because=because, cache=cache)

    return record


def moved(by: float) -> None:
    """Makes the kept logits nearer to the oracle than the library's, or farther, as if so recorded."""
    index = read_index()
    bundle = read_bundle(NAME, index.files[NAME])
    trace = bundle.traces[KEY]
    logits = np.array(trace.arrays["logits"])
    logits[0, 0] += by
    altered = Trace({**trace.arrays, "logits": logits}, trace.facts, None, trace.dtypes, trace.provenance)
    content = replace(bundle, traces={**bundle.traces, KEY: altered}).to_bytes()
    write_bundle(NAME, content)
    index.files[NAME] = index.files[NAME].model_copy(update={"sha256": digest(content)})
    write_index(index)


def test_a_golden_gives_way_to_a_nearer_one_or_for_a_written_reason(recorded, monkeypatch):
    assert recorded() == [NAME]
    first = read_index().files[NAME]
    assert recorded() == [], "the same answers are left as they are"

    index = read_index()
    older = {**first.versions, "transformers": "4.57.5"}
    index.files[NAME] = first.model_copy(update={"versions": older})
    write_index(index)
    assert recorded() == [NAME], "the same answers of another version are its"
    assert read_index().files[NAME].versions == first.versions

    moved(by=1e-3)
    assert recorded() == [NAME], "the new one is nearer"
    assert read_index().files[NAME].replaced == []

    # The library of today answers worse than what was kept: its logits are moved while they are read.
    original = recording._bundle

    def worse(run, stack):
        bundle = original(run, stack)
        trace = bundle.traces[KEY]
        logits = np.array(trace.arrays["logits"]) + np.float32(1e-3)
        trace = Trace({**trace.arrays, "logits": logits}, trace.facts, None, trace.dtypes, trace.provenance)
        return replace(bundle, traces={**bundle.traces, KEY: trace})

    monkeypatch.setattr(recording, "_bundle", worse)
    with pytest.raises(GoldenError, match=r"less accurate than the recorded golden: hf-torch forward logits: .*→"):
        recorded()
    assert read_index().files[NAME].sha256 == first.sha256, "nothing of it is written"
    assert recorded("a test of the rule") == [NAME]
    (why,) = read_index().files[NAME].replaced
    assert why.because == "a test of the rule" and why.farther[0].startswith("hf-torch forward logits: ") and why.date


def test_a_golden_that_is_wrong_fails_where_it_is_wrong(recorded, cache, tmp_path):
    recorded()
    moved(by=1e-3)
    report = audit(
        [tmp_path / "checkpoints" / "bart-odd"],
        out=tmp_path / "run",
        cache=cache,
        backends=["reference-torch/eager"],
        goldens=["main"],
        cases=golden_cases,
    )
    failed = {(v.stack, v.check, v.first_divergence.tensor) for v in report.verdicts if v.status == "fail"}
    assert failed == {("main (golden)", "NUM04", "logits")}
    (told,) = (v.evidence["reproduce"] for v in report.verdicts if v.status == "fail")
    assert told.endswith("--backend hf-torch/eager --check NUM04 --golden main")
    again = audit(
        [tmp_path / "checkpoints" / "bart-odd"],
        out=tmp_path / "again",
        cache=cache,
        backends=["hf-torch/eager"],
        checks=["NUM04"],
        goldens=["main"],
    )
    assert [v.stack for v in again.verdicts if v.status == "fail"] == ["main (golden)"]


def test_the_goldens_are_what_the_oracle_of_today_says(cache):
    command = [sys.executable, "-m", "parity", "golden", "check", "--cache", str(cache)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "none missing, unused, altered or stale" in ended.stdout and " pass, " in ended.stdout


OURS = ("huggingface-hub", "jaxtyping", "jinja2", "packaging", "platformdirs", "psutil", "pydantic", "rich", "typer")


def own_dependencies(folder: Path, beside: Path) -> Path:
    """A folder with links to what the command itself needs and ``beside`` has not, and nothing that computes."""
    folder.mkdir()
    wanted, seen = list(OURS), set()
    while wanted:
        name = wanted.pop()
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # asked for under a condition that does not hold here
        if name not in seen and name not in ("numpy", "safetensors"):
            seen.add(name)
            tops = {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}
            for top in () if any((beside / top).exists() for top in tops) else tops:
                (folder / top).symlink_to(Path(found.locate_file(top)).resolve())
            wanted += [Requirement(text).name for text in found.requires or () if "extra ==" not in text]
    return folder


def said(python: Path, code: str, variables: dict[str, str]) -> str:
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, env=variables, check=True
    ).stdout.strip()


@pytest.mark.skipif(find("current") is None, reason="the stack current is not installed: nox -s stack-current")
def test_pytorch_of_today_is_audited_beside_tensorflow_and_flax_of_4_37_with_neither_installed(tmp_path):
    python = find("current")
    variables = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    site = said(python, "import sysconfig; print(sysconfig.get_paths()['purelib'])", variables)
    packages = own_dependencies(tmp_path / "packages", Path(site))
    variables |= {"PYTHONPATH": str(packages), "PARITY_MAIN": "current"}
    code = "import importlib.util as u; print([n for n in ('tensorflow', 'jax', 'flax', 'torch') if u.find_spec(n)])"
    assert said(python, code, variables) == "['torch']"

    command = [python, "-m", "parity", "audit", fixture("bart-odd"), fixture("bert2bert"), "--golden", "docs-4.37"]
    command += ["--backend", "hf-torch/eager", "--out", tmp_path / "run", "--cache", tmp_path / "cache"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=variables, timeout=LONGEST)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr
    report = read_record(Report, tmp_path / "run" / "report.json")
    passed = {(v.backend, v.stack) for v in report.verdicts if v.status == "pass" and v.case == "forward"}
    assert {("hf-torch", "main"), ("hf-tf", "docs-4.37 (golden)"), ("hf-flax", "docs-4.37 (golden)")} <= passed
    environments = report.environments
    assert environments["docs-4.37 (golden)"]["versions"]["transformers"] == "4.37.2"
    assert not environments["main"]["versions"].get("jax")
    assert environments["main"]["versions"]["transformers"].startswith("5.")
