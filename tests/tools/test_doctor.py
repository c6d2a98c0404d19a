"""``parity doctor``: what can run here, what cannot, why, and what to type."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from parity.capture.task import CaptureError
from parity.cli.main import run
from parity.core.backends import ENGINES
from parity.core.stacks import table, variable
from parity.tools import doctor
from parity.tools.doctor import Findings, StackFinding, show

VERSIONS = {
    "transformers": "4.57.6",
    "torch": "2.13.0+cpu",
    "tensorflow-cpu": "2.21.0",
    "tf_keras": "2.21.0",
    "jax": "0.10.2",
    "flax": "0.12.8",
    "numpy": "2.4.6",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stack but the running one, an empty cache, lines that are not broken."""
    monkeypatch.setattr(doctor, "find", lambda name: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("PARITY_MAIN", raising=False)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Replaces the probe: these distributions are what an interpreter holds."""

    def install(versions: dict[str, str]) -> None:
        monkeypatch.setattr("parity.capture.probe.probe", lambda *arguments, **options: {"versions": versions})

    return install


def main_stack() -> StackFinding:
    return doctor.examine().stacks[0]


def test_the_running_interpreter_is_really_probed():
    finding = main_stack()
    assert finding.interpreter == Path(sys.executable)
    assert finding.problem == ""
    assert set(finding.backends) == set(table()["main"].backends)
    assert "numpy" in finding.versions


def test_with_everything_installed_all_five_backends_can_run(installed, capsys):
    installed(VERSIONS)
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    yes = [line.removeprefix("  yes  ") for line in lines if line.startswith("  yes")]
    *backends, named = yes
    assert backends == list(table()["main"].backends)
    # PyTorch and transformers are all that the variants of hf-torch need; the other engines are not installed.
    variants = [name for name in ENGINES if "hf-torch-" in name]
    assert named == f"only if named, --backend NAME: {', '.join(variants)} (needs a GPU)"
    assert variants[-1] == "hf-torch-flash"
    assert "next      parity audit PATH/TO/CHECKPOINT" in lines


def test_a_missing_library_is_named_for_the_backends_that_need_it(installed):
    installed({name: version for name, version in VERSIONS.items() if name != "flax"})
    why = {backend: reason for backend, reason in main_stack().backends.items() if reason}
    assert set(why) == {"reference-flax", "hf-flax"}
    assert all("flax is not installed" in reason for reason in why.values())


def test_with_nothing_installed_it_says_what_to_type_and_ends_with_2(installed, capsys):
    installed({"numpy": "2.4.6"})
    assert run(["doctor"]) == 2
    assert "next      python -m nox -s parity" in capsys.readouterr().out


def test_a_version_other_than_the_pinned_one_is_noted_and_a_local_part_is_not(installed):
    installed({**VERSIONS, "jax": "0.11.2"})
    assert main_stack().off_pins == ("jax 0.11.2, pinned 0.10.2",)


def test_a_stack_that_is_not_here_says_how_to_make_it(installed, capsys):
    installed(VERSIONS)
    run(["doctor"])
    text = capsys.readouterr().out
    for name in ("docs-4.37", "current", "gpu"):
        assert f"not installed here; to create it: python -m nox -s stack-{name}, or set {variable(name)}=" in text


def test_an_installed_package_has_no_noxfile_and_its_command_makes_the_stacks(installed, monkeypatch, capsys):
    for module in ("tools.doctor", "core.stacks"):
        monkeypatch.setattr(f"parity.{module}.in_clone", lambda: False)
    installed({"numpy": "2.4.6"})
    assert run(["doctor"]) == 2
    text = capsys.readouterr().out
    assert "nox -s" not in text
    assert "next      parity stack make main, or set PARITY_STACK_MAIN=" in text
    for name in ("docs-4.37", "current", "gpu"):
        assert f"to create it: parity stack make {name}, or set {variable(name)}=" in text


def test_an_interpreter_that_cannot_be_started_is_a_finding_and_no_crash(monkeypatch):
    def broken(*arguments, **options):
        raise CaptureError("/x: cannot be started")

    monkeypatch.setattr("parity.capture.probe.probe", broken)
    assert main_stack().problem == "/x: cannot be started"


@pytest.mark.parametrize(("gpus", "line"), [([], "cuda      no device"), (["NVIDIA X"], "cuda      NVIDIA X: ")])
def test_cuda_is_there_or_said_not_to_be(gpus, line, capsys, tmp_path):
    show(Findings([StackFinding(table()["main"], None)], gpus, 2, 10**10, tmp_path, 0, 0))
    text = capsys.readouterr().out
    assert line in text
    assert "2 cores, 10.0 GB of memory free" in text


def test_devices_are_read_from_the_driver_s_list(monkeypatch):
    listed = "GPU 0: NVIDIA H200 (UUID: GPU-1)\n  MIG 1g\nGPU 1: NVIDIA H200 (UUID: GPU-2)\n"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/bin/{name}")
    answer = doctor.subprocess.CompletedProcess([], 0, stdout=listed)
    monkeypatch.setattr(doctor.subprocess, "run", lambda *arguments, **options: answer)
    assert doctor._gpus() == ["NVIDIA H200", "NVIDIA H200"]
