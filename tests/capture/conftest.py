"""A fake backend installed where only workers and the probe look, and tasks for it."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from parity.capture.executor import LocalProcesses
from parity.capture.task import OnEvent, Result, Rounds, Task
from parity.core.case import Case

HERE = Path(__file__).parent


def run_tasks(executor: LocalProcesses, tasks: Sequence[Task], on_event: OnEvent = lambda *event: None) -> Any:
    """Runs tasks as work of one round; how each ended, by its id."""
    found: dict[str, Result] = {}

    def once() -> Rounds:
        found.update((yield tasks))

    executor.run_rounds([once()], on_event)
    return found


@dataclass
class Bench:
    """A folder with the fake backend's distribution, a checkpoint, and somewhere for traces."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def site(self) -> Path:
        return self.folder / "site"

    @property
    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def checkpoint(self, name: str = "model", load: int | None = None) -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        if load is not None:
            (path / "load").write_text(str(load))
        return path

    def task(self, behaviour: int, operation: str = "forward", **changes: object) -> Task:
        """One case; rows ``[[behaviour, 2], [0, 3]]``."""
        case = Case(f"{operation}-{behaviour}", operation, {"input_ids": [[behaviour, 2], [0, 3]]})
        values = {
            "stack": "main",
            "interpreter": Path(sys.executable),
            "environment": self.environment,
            "backend": "fake",
            "variant": "eager",
            "device": "cpu",
            "dtype": "float32",
            "checkpoint": self.checkpoint(),
            "model_class": "BartForConditionalGeneration",
            "weight_bytes": 0,
            "case": case.to_json(),
            "provenance": {"checkpoint": "model", "backend": "fake"},
            **changes,
        }
        key = hashlib.sha256(repr(sorted(values.items(), key=str)).encode()).hexdigest()
        return Task(id=key, out=self.folder / "traces" / f"{key}.safetensors", **values)

    def run(self, tasks: list[Task], **options: object) -> list[Result]:
        """Runs tasks in processes and gives their results in order."""
        executor = LocalProcesses(self.folder / "compiled", **{"jobs": 1, "time_limit": 20.0, **options})
        results = run_tasks(executor, tasks)
        return [results[task.id] for task in tasks]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A new bench; the fake backend is found through an entry point, as a third party's is."""
    found = Bench(tmp_path)
    install_fake(found.site)
    monkeypatch.syspath_prepend(str(found.site))
    # This process imports it too, to read what it declares.
    monkeypatch.delitem(sys.modules, "parity_fake", raising=False)
    found.environment.update(PYTHONPATH=str(found.site), FAKE_LOG=str(tmp_path / "log"))
    return found


def workers():
    """Processes that this one has started and that are alive."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]


def install_fake(site: Path) -> None:
    package, information = site / "parity_fake", site / "parity_fake-1.0.dist-info"
    package.mkdir(parents=True)
    information.mkdir()
    shutil.copyfile(HERE / "fake_backend.py", package / "__init__.py")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: parity-fake\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[encdec_parity.backends]\nfake = parity_fake:Fake\n")
