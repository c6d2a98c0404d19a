"""The fleet on a real Ray of this machine: the verdicts of ``parity audit``, whatever is killed on the way."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from parity import api, tiny
from parity.cli.main import run
from parity.core.errors import InputError
from parity.core.options import AuditOptions
from parity.core.records import Manifest, read_record
from parity.fleet.folder import Folder
from parity.fleet.on_ray import RayCluster
from parity.fleet.ray_process import RayProcess
from parity.fleet.run import FleetResult, fleet
from parity.fleet.table import rows_of
from parity.fleet.targets import Target, TargetList
from tests.fleet.poisoned import POISON, audit_or_end
from tests.selection import EVERYTHING

NEEDS = "Ray or pyarrow is not installed: pip install 'encdec-parity[ray]'"
pytest.importorskip("ray", reason=NEEDS)
pytest.importorskip("pyarrow", reason=NEEDS)
pytestmark = pytest.mark.full
where_all_tests_run = pytest.mark.skipif(not EVERYTHING, reason="takes minutes: set PARITY_TEST_EVERYTHING=1")

ROOT = Path(api.__file__).parents[1]
CONFIG = {
    "model_type": "bart",
    "vocab_size": 99,
    "d_model": 24,
    "max_position_embeddings": 40,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 36,
    "decoder_layers": 2,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 28,
}
OPTIONS = AuditOptions(backends=["hf-torch/eager"], checks=["NUM01", "LOAD01"], references=["reference-torch"])
ARGUMENTS = ["--backend", "hf-torch/eager", "--check", "NUM01,LOAD01", "--reference", "reference-torch"]
PROVENANCE = ("seconds",)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three checkpoints, the last of which has a weight that no class has and lacks one."""
    folder = tmp_path_factory.mktemp("models")
    made = [tiny(CONFIG, folder / f"m{seed}", seed=seed) for seed in range(3)]
    from safetensors.numpy import load_file, save_file

    weights = load_file(made[2] / "model.safetensors")
    weights["nonsense"] = weights.pop(sorted(name for name in weights if name.endswith("fc1.bias"))[0])
    save_file(weights, made[2] / "model.safetensors", metadata={"format": "pt"})
    return made


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Traces of audits without a fleet. Fleets have caches of their own, so that they compute."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def audits(models: list[Path], cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The table that ``parity audit`` gives."""
    rows = []
    for path in models:
        out = tmp_path_factory.mktemp("run")
        report = api.audit([path], replace(OPTIONS, cache=cache, out=out), jobs=1)
        rows += rows_of(report, read_record(Manifest, out / "manifest.json"), str(path), "")
    return compared(rows)


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without times, in one order."""
    kept = [{name: value for name, value in row.items() if name not in PROVENANCE} for row in rows]
    return sorted(kept, key=lambda row: [str(value) for value in row.values()])


def table(out: Path) -> list[dict[str, Any]]:
    return compared([row for _, rows in Folder(out).tables() for row in rows])


def on_ray(out: Path, paths: list[Path], cache: Path, **named) -> FleetResult:
    targets = TargetList([Target(str(path)) for path in paths], [], [])
    return fleet(targets, replace(OPTIONS, cache=cache), out, **named)


def processes_of(name: str) -> list[psutil.Process]:
    """This process's descendants with such a command line."""
    found = []
    for each in psutil.Process().children(recursive=True):
        try:
            if name in " ".join(each.cmdline()):
                found.append(each)
        except psutil.Error:
            continue
    return found


@contextmanager
def killing(name: str, ready: Callable[[], bool] = lambda: True) -> Iterator[list[int]]:
    """Kills the first descendant with this command line that lives for a second; has its id at the end."""
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        seen: dict[int, float] = {}
        while not ended.is_set() and not killed:
            for each in processes_of(name):
                if time.monotonic() - seen.setdefault(each.pid, time.monotonic()) > 1.0 and ready():
                    each.send_signal(signal.SIGKILL)
                    killed.append(each.pid)
                    break
            time.sleep(0.05)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def test_a_fleet_has_the_verdicts_and_errors_of_single_audits(tmp_path, models, audits):
    result = on_ray(tmp_path / "fleet", models, tmp_path / "cache")
    assert table(tmp_path / "fleet") == audits
    assert {row["verdict"] for row in audits} >= {"pass", "fail"}
    assert result.exit_code == 1
    assert sum(each.cells for each in result.outcomes) == len(audits)
    assert not list((tmp_path / "cache" / "fleet").iterdir()), "run directories are removed"


@where_all_tests_run
@pytest.mark.parametrize("victim", ["ray::m", "worker/main.py"])
def test_a_killed_process_changes_nothing(tmp_path, models, audits, victim):
    """A task's own process, and one of the worker processes that it started."""
    with killing(victim) as killed:
        result = on_ray(tmp_path / "fleet", models, tmp_path / "cache")
    assert killed
    assert table(tmp_path / "fleet") == audits
    assert sum(each.tries for each in result.outcomes) == len(models) + 1


@where_all_tests_run
def test_a_checkpoint_that_ends_its_process_is_set_aside(tmp_path, models, audits):
    poison = tmp_path / POISON
    shutil.copytree(models[0], poison)
    cluster = RayProcess(None, 1.0, function=audit_or_end)
    result = on_ray(tmp_path / "fleet", [poison, *models], tmp_path / "cache", cluster=cluster)
    states = {each.checkpoint: (each.state, each.tries) for each in result.outcomes}
    assert states[str(poison)] == ("set aside", 2)
    assert table(tmp_path / "fleet") == audits


def command_for(models: list[Path], tmp_path: Path) -> list[str]:
    """``parity fleet`` for these, one task at a time."""
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in models))
    command = [sys.executable, "-m", "parity", "fleet", str(listed), "--out", str(tmp_path / "fleet"), *ARGUMENTS]
    return [*command, "--cache", str(tmp_path / "cache"), "--cpus-per-audit", str(os.cpu_count() or 1)]


def when_the_first_has_ended(started: subprocess.Popen, out: Path) -> None:
    deadline = time.monotonic() + 400
    while not list(out.glob("checkpoints/[!.]*.json")) and time.monotonic() < deadline:
        assert started.poll() is None
        time.sleep(0.1)


def ended_times(out: Path) -> dict[str, int]:
    return {
        each.name: (out / "checkpoints" / f"{each.name}.json").stat().st_mtime_ns for each in Folder(out).outcomes()
    }


def goes_on(command: list[str], out: Path, before: dict[str, int], audits: list[dict[str, Any]]) -> None:
    """Checks that ``--resume`` completes the table, and audits nothing again."""
    assert 0 < len(before) < 3
    ended = subprocess.run([*command, "--resume"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert table(out) == audits
    after = ended_times(out)
    assert before == {name: after[name] for name in before}


def test_a_killed_command_goes_on_with_resume(tmp_path, models, audits):
    command, out = command_for(models, tmp_path), tmp_path / "fleet"
    started = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    when_the_first_has_ended(started, out)
    started.send_signal(signal.SIGKILL)
    started.wait()
    goes_on(command, out, ended_times(out), audits)


def test_a_command_whose_ray_is_killed_ends_with_one_line_and_goes_on_with_resume(tmp_path, models, audits):
    """Ray ends the process that uses it when its own raylet has ended; no process of either is left."""
    command, out = command_for(models, tmp_path), tmp_path / "fleet"
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    when_the_first_has_ended(started, out)
    started_by_it = psutil.Process(started.pid).children(recursive=True)
    (raylet,) = [each for each in started_by_it if each.name() == "raylet"]
    raylet.kill()
    stdout, stderr = started.communicate(timeout=120)
    assert started.returncode == 2
    assert not stdout
    *progress, last = stderr.splitlines()
    assert all(line.startswith("[") for line in progress), stderr
    assert "Ray has ended" in last
    assert "every checkpoint that has ended is kept, the same command with --resume goes on from there" in last
    psutil.wait_procs(started_by_it, timeout=30)
    assert not [each for each in started_by_it if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    goes_on(command, out, ended_times(out), audits)


def test_ctrl_c_ends_the_command_with_its_code(tmp_path, models):
    """A terminal sends it to the whole process group."""
    command, out = command_for(models, tmp_path), tmp_path / "fleet"
    started = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    when_the_first_has_ended(started, out)
    os.killpg(started.pid, signal.SIGINT)
    _, stderr = started.communicate(timeout=120)
    assert started.returncode == 130
    assert stderr.splitlines()[-1].startswith("parity: interrupted; every checkpoint that has ended is kept")
    assert "Traceback" not in stderr


@where_all_tests_run
def test_a_time_limit_sets_a_checkpoint_aside(tmp_path, models):
    (outcome,) = on_ray(tmp_path / "fleet", models[:1], tmp_path / "cache", limit=1.0).outcomes
    assert outcome.state == "set aside"
    assert outcome.reason == "the audit took longer than 1 s and was stopped"


def test_an_address_where_nothing_listens_is_one_line(tmp_path, models, capsys):
    with pytest.raises(InputError, match=r"--address 127\.0\.0\.1:1: cannot be reached: Connection refused"):
        on_ray(tmp_path / "fleet", models, tmp_path / "cache", address="127.0.0.1:1")
    listed = tmp_path / "list.txt"
    listed.write_text(str(models[0]))
    assert run(["fleet", str(listed), "--out", str(tmp_path / "other"), "--address", "nonsense"]) == 2
    assert "--address nonsense: not of the form HOST:PORT" in capsys.readouterr().err


def test_an_address_where_something_else_listens_is_one_line_in_time(tmp_path, models):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        cluster = RayProcess(address, 1.0, limit=5.0)
        began = time.monotonic()
        with pytest.raises(
            InputError, match=f"^--address {address}: (Ray does not answer within 5 s|cannot be used: )"
        ):
            on_ray(tmp_path / "fleet", models, tmp_path / "cache", cluster=cluster)
        assert time.monotonic() - began < 60


def test_a_killed_ray_process_is_one_line():
    with RayProcess(None, 1.0) as cluster:
        cluster._process.kill()
        with pytest.raises(InputError, match=r"Ray has ended by SIGKILL.*\(its messages: .*\); every checkpoint"):
            cluster.wait(1.0)
    cluster._log.unlink()


def test_a_cluster_of_another_version_is_one_line(monkeypatch):
    """Ray compares versions when it connects; the cluster's are substituted, and the message is Ray's own."""
    import ray
    from ray._private.utils import check_version_info

    def init(**named: object) -> None:
        check_version_info({"ray_version": "2.0.0", "python_version": "3.8.0"}, "here")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(
        InputError, match=r"^--address auto: cannot be used: Version mismatch: .* Ray: 2\.0\.0 Python: 3\.8\.0 "
    ):
        RayCluster("auto", 1.0).__enter__()
