"""Runs an example in a subprocess with limits of time and memory, a scratch folder and its own ``HF_HOME``.

This is not a sandbox: the code of a document has the rights of the user who runs it. It gets a scratch folder as the
working directory and a small environment. Files that it writes elsewhere through Python are reported, not prevented.
Connections that Python itself opens are refused, and the Hugging Face libraries are set to offline mode; a program that
the example starts, or native code, can still connect. Processes that it leaves behind are ended with it, on Linux
daemons too; on other systems a process that starts its own session is not.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from parity.capture.memory import resident
from parity.capture.worker_process import describe_exit
from parity.core.stacks import Stack
from parity.tools.examples.model import Block

RUNNER = Path(__file__).with_name("runner.py")
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT", "CUDA_VISIBLE_DEVICES")
"""Variables that an example inherits: no token, and none of the user's paths."""
FOR_THE_NETWORK = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HF_ENDPOINT",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)
LAST_WORDS = 2000
GIGABYTE = 1_000_000_000
ROUNDS = 20
"""Maximum number of searches for processes that were started while others were killed."""
LOOK_EVERY = 0.1
"""Seconds between two memory measurements; an example that allocates fast exceeds the limit by some hundred
megabytes."""


@dataclass(frozen=True)
class Answer:
    """The result of one statement that was started."""

    output: str = ""
    raised: dict[str, Any] | None = None
    """``type``, ``message``, ``where``, ``line`` and ``text`` of the exception."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """The result of an example's process."""

    answers: tuple[Answer, ...] = ()
    """Those of the statements that finished, in order."""
    ended: str = ""
    """How the process ended in the statement after these, if it did: ``took longer than 120 s``."""
    not_begun: str = ""
    """Why not even the first statement was started; this is no result of the example."""
    wrote_outside: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def problem(self) -> str:
        """The exception or how the process ended, in one line; empty if the example finished."""
        raised = next((each.raised for each in self.answers if each.raised), None)
        said = f"{raised['type']}: {raised['message']}" if raised else self.not_begun or self.ended
        return (said.splitlines() or [""])[0][:200]


@dataclass
class Runner:
    """Runs examples; ``stop`` ends those that are running, within ``LOOK_EVERY``.

    Args:
        furnish: fills an example's ``HF_HOME`` folder in a stack.
        time_limit: seconds.
        memory_limit: gigabytes that an example and all its child processes may use together.
        threads: threads of each process.
        cache: the hub cache that may be filled from the network; None: no network.
    """

    install: Callable[[Path, Stack, Block], None]
    time_limit: float = 120.0
    memory_limit: float = 6.0
    threads: int = 1
    cache: Path | None = None
    _stopped: bool = False

    def run(self, block: Block, stack: Stack) -> Outcome:
        """Runs one example.

        Raises:
            OSError: the interpreter cannot be started.
        """
        with tempfile.TemporaryDirectory(prefix="parity-docs-", ignore_cleanup_errors=True) as folder:
            return self._run(block, stack, Path(folder).resolve())

    def _run(self, block: Block, stack: Stack, folder: Path) -> Outcome:
        work, home = folder / "work", make_home(folder)
        work.mkdir()
        self.install(home / "huggingface", stack, block)
        job, answers, complaints = folder / "job.json", folder / "answers.jsonl", folder / "stderr.txt"
        content = {
            "statements": [(each.code, each.line - block.line + 1) for each in block.statements],
            "session": block.kind == "session",
            "roots": [str(folder)],
            "answers": str(answers),
            "parent": os.getpid(),
            "network": self.cache is not None,
        }
        job.write_text(json.dumps(content), encoding="utf-8")
        began = time.monotonic()
        with complaints.open("wb") as stderr:
            child = subprocess.Popen(
                [str(stack.interpreter), str(RUNNER), str(job)],
                cwd=work,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
                env=environment_of(stack, home, threads=self.threads, cache=self.cache),
            )
        ended = self._wait(child)
        events = _read_events(answers)
        if ended == "exit code 0":
            ended = "" if events.get("done") else "left Python by itself with exit code 0"
        return Outcome(
            answers=tuple(Answer(each["output"], each["raised"], each["seconds"]) for each in events.get("ended", ())),
            ended=ended,
            not_begun="" if events.get("begun") else f"its process did not start ({ended}): {_last_line(complaints)}",
            wrote_outside=tuple(each["path"] for each in events.get("wrote", ())),
            seconds=time.monotonic() - began,
        )

    def _wait(self, child: subprocess.Popen[bytes]) -> str:
        """Waits for the process and returns how it ended; ends all processes it started."""
        began, ended = time.monotonic(), ""
        while not ended:
            try:
                ended = describe_exit(child.wait(LOOK_EVERY))
            except subprocess.TimeoutExpired:
                ended = self._too_much(child, time.monotonic() - began)
        _kill(child)
        child.wait()
        return ended

    def _too_much(self, child: subprocess.Popen[bytes], seconds: float) -> str:
        """Why a process and its descendants have to be ended now; empty where they may continue.

        The limit applies to resident memory: frameworks reserve far more address space than they use, so a limit on
        that would stop conforming examples.
        """
        if self.stopped:
            return "was stopped"
        if seconds > self.time_limit:
            return f"took longer than {self.time_limit:g} s and was stopped"
        if resident([psutil.Process(child.pid), *_below(child)]) > self.memory_limit * GIGABYTE:
            return f"held more than {self.memory_limit:g} GB of memory and was stopped"
        return ""

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopped

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Stops the examples on Ctrl-C, instead of ``KeyboardInterrupt``.

        The main thread shares locks with the threads that run examples, and an exception that is raised just after it
        took one can leave it taken. So the handler only sets a flag, which all of them look at.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, lambda number, frame: self.stop())
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def stop(self) -> None:
        """Ends every running example, and every one that starts later."""
        self._stopped = True


def make_home(folder: Path) -> Path:
    """Creates a home and a folder for temporary files in a scratch folder."""
    home = folder / "home"
    for each in (home, home / "huggingface", folder / "tmp"):
        each.mkdir()
    return home


def environment_of(stack: Stack, home: Path, *, threads: int = 1, cache: Path | None = None) -> dict[str, str]:
    """The environment of a stack's process: few variables, and a separate home.

    Args:
        home: replaces the user's home; ``huggingface`` in it is ``HF_HOME``.
        cache: the hub cache that may be filled from the network; None: no network.
    """
    passed = (*PASSED_ON, *FOR_THE_NETWORK) if cache is not None else PASSED_ON
    given = {name: os.environ[name] for name in passed if name in os.environ}
    own = {
        "HOME": str(home),
        "HF_HOME": str(home / "huggingface"),
        "XDG_CACHE_HOME": str(home),
        "TMPDIR": str(home.parent / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
        "TOKENIZERS_PARALLELISM": "false",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    if cache is None:
        own |= dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
    else:
        own["HF_HUB_CACHE"] = str(cache)
    return {**given, **own, **{name: value for name, value in stack.environment.items() if value}}


def _below(child: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """All live descendants of an example's process; ``runner.supervised`` makes it their ancestor."""
    try:
        return psutil.Process(child.pid).children(recursive=True)
    except psutil.Error:  # it has ended
        return []


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Ends the descendants of a process, then the process: an orphan would no longer be found as its descendant."""
    for _ in range(ROUNDS):
        below = _below(child)
        for each in below:
            try:
                each.kill()
            except psutil.Error:  # it has ended, or is another user's
                pass
        if not below:
            break
        psutil.wait_procs(below, timeout=0.2)
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # no process of the group is left
        pass


def _read_events(answers: Path) -> dict[str, list[dict[str, Any]]]:
    """The events that the process wrote, by kind; an incomplete last line is omitted."""
    found: dict[str, list[dict[str, Any]]] = {}
    whole, _, _ = answers.read_bytes().rpartition(b"\n") if answers.exists() else (b"", b"", b"")
    for line in whole.splitlines():
        event = json.loads(line)
        found.setdefault(event["event"], []).append(event)
    return found


def _last_line(complaints: Path) -> str:
    text = complaints.read_bytes()[-LAST_WORDS:].decode(errors="replace")
    return (text.strip().splitlines() or ["nothing on standard error"])[-1]
