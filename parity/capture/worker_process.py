"""One worker process from the parent's side: input lines, output lines, and its exit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.capture.probe import WORKER, child_environment
from parity.capture.worker.environment import EVENT
from reference.files import pipe_of

KEEP = 16_384
"""Bytes of stderr that are stored for the report."""
SHOWN_LINES = 8
SHOWN_CHARACTERS = 1500


class Child:
    """A worker process. No method blocks: the executor reads when there is output."""

    def __init__(self, interpreter: Path, environment: Mapping[str, str], job: Mapping[str, Any]) -> None:
        """Starts the process with its first job.

        Raises:
            OSError: the interpreter cannot be started.
        """
        self.process = subprocess.Popen(
            [str(interpreter), str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(environment),
            start_new_session=True,
            bufsize=0,
        )
        self._pipes = tuple(map(pipe_of, (self.process.stdin, self.process.stdout, self.process.stderr)))
        self._in, self.out, self.err = self._pipes[0], self._pipes[1].fileno(), self._pipes[2].fileno()
        os.set_blocking(self.out, False)
        os.set_blocking(self.err, False)
        self._partial = b""
        self.send({**job, "parent": os.getpid()})

    def send(self, job: Mapping[str, Any]) -> None:
        """Sends a job, and discards earlier stderr output."""
        self._complaints = b""
        line = json.dumps(job).encode() + b"\n"
        # A job can be larger than a pipe's buffer, and the child may never read it.
        threading.Thread(target=self._feed, args=(line,), daemon=True).start()

    def _feed(self, line: bytes) -> None:
        try:
            while line:
                line = line[self._in.write(line) :]
        except (OSError, ValueError):  # it ended first, which the executor notices
            return

    def events(self) -> list[dict[str, Any]]:
        """Complete lines received since the last call."""
        self._partial += _drain(self.out)
        *lines, self._partial = self._partial.split(b"\n")
        # An interpreter's start-up code may print before the worker takes over stdout.
        return [json.loads(line) for line in lines if line.startswith(EVENT)]

    def drain_stderr(self) -> None:
        """Reads the available stderr output, and stores the end of it."""
        self._complaints = (self._complaints + _drain(self.err))[-KEEP:]

    def ended(self) -> int | None:
        """The exit code (negative: the signal), None while it is running."""
        return self.process.poll()

    def kill(self) -> None:
        """Kills the process and its descendants."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has already ended
            pass
        self.close()

    def close(self) -> None:
        """Waits for the process and closes its pipes."""
        self.process.wait()
        for pipe in self._pipes:
            pipe.close()

    def last_line(self) -> str:
        """The last line of its stderr."""
        return (self._lines() or ["nothing on standard error"])[-1]

    def stderr_tail(self) -> str:
        """The end of stderr; where the interpreter reports a fatal error, the beginning, which has the frame."""
        lines = self._lines()
        fatal = [index for index, line in enumerate(lines) if line.startswith("Fatal Python error")]
        shown = lines[fatal[-1] :][:SHOWN_LINES] if fatal else lines[-SHOWN_LINES:]
        return "\n".join(shown)[-SHOWN_CHARACTERS:]

    def _lines(self) -> list[str]:
        self.drain_stderr()
        return [line for line in self._complaints.decode(errors="replace").splitlines() if line.strip()]


def _drain(fd: int) -> bytes:
    parts = []
    try:
        while chunk := os.read(fd, 1 << 16):
            parts.append(chunk)
    except (BlockingIOError, OSError):  # nothing more at the moment, or closed
        pass
    return b"".join(parts)


def describe_exit(code: int) -> str:
    """An exit code as text: ``SIGABRT`` or ``exit code 3``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
