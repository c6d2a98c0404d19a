"""Ray in a process of its own: what ends Ray, such as the loss of its local node, does not end the command.

Ray ends the process that uses it, without an exception, when its own ``raylet`` on that machine has ended.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from parity.core.errors import InputError
from parity.fleet.audit_one import Asked, audit_one
from parity.fleet.on_ray import GO_ON, Lost, RayCluster
from parity.fleet.outcome import Answer
from parity.fleet.targets import Job

START_LIMIT = 120.0
"""Seconds to wait for Ray. A local one starts in about five."""
STOP_LIMIT = 30.0


class RayProcess:
    """A ``RayCluster`` that another process opens, while the context is open.

    Args:
        address, cpus, gpu_type, function: of the ``RayCluster``; the process imports the function by its name.
        limit: seconds that Ray may take to start or to answer at its address.

    Raises:
        InputError: on entry: Ray is not installed, or cannot be reached or started.
    """

    def __init__(
        self,
        address: str | None,
        cpus: float,
        gpu_type: str = "",
        function: Callable[[Job, Asked, int], Answer] = audit_one,
        limit: float = START_LIMIT,
    ) -> None:
        self._arguments, self._limit = (address, cpus, gpu_type, function), limit
        self._where = f"--address {address}" if address else "Ray on this machine"
        self.dashboard, self.slots, self.most_memory = "", 1, 0
        self.gpu_types: tuple[str, ...] = ()
        self._keep_log = False

    def __enter__(self) -> RayProcess:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        descriptor, name = tempfile.mkstemp(prefix="parity-ray-", suffix=".log")
        os.close(descriptor)
        self._log = Path(name)
        arguments = (theirs, name, *self._arguments)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        with _interrupts_blocked():
            self._process.start()
        theirs.close()
        try:
            if not self._pipe.poll(self._limit):
                raise InputError(f"{self._where}: Ray does not answer within {self._limit:g} s")
            self.dashboard, self.slots, self.most_memory, self.gpu_types = self._answer()
        except BaseException:
            self._stop(0.0)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop(STOP_LIMIT)

    def _stop(self, seconds: float) -> None:
        """Ends the process: it stops Ray when the pipe is closed."""
        self._pipe.close()
        self._process.join(seconds)
        self._process.kill()
        self._process.join()
        if not self._keep_log:
            self._log.unlink(missing_ok=True)

    def share(self, asked: Asked) -> None:
        """``RayCluster.share``."""
        self._ask("share", asked)

    def submit(self, job: Job, memory: int) -> None:
        """``RayCluster.submit``."""
        self._ask("submit", job, memory)

    def wait(self, seconds: float) -> Sequence[tuple[Job, Answer | Lost]]:
        """``RayCluster.wait``.

        Raises:
            InputError: Ray has ended, or cannot run the function.
        """
        return self._ask("wait", seconds)

    def _ask(self, method: str, *arguments: object) -> Any:
        try:
            self._pipe.send((method, arguments))
        except OSError:
            raise self._ended() from None
        return self._answer()

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if isinstance(answer, InputError):
            raise answer
        return answer

    def _ended(self) -> InputError:
        self._process.join(STOP_LIMIT)
        code = self._process.exitcode
        self._keep_log = True
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        return InputError(
            f"{self._where}: Ray has ended {how}, as it does when its processes on this machine are killed "
            f"(its messages: {self._log}); {GO_ON}"
        )


def _serve(
    pipe: Connection,
    log: str,
    address: str | None,
    cpus: float,
    gpu_type: str,
    function: Callable[[Job, Asked, int], Answer],
) -> None:
    """Opens the cluster, and calls its methods as the command asks, until that closes the pipe or ends."""
    with Path(log).open("ab") as messages:
        for descriptor in (1, 2):
            os.dup2(messages.fileno(), descriptor)
    try:
        with RayCluster(address, cpus, gpu_type, function) as cluster:
            pipe.send((cluster.dashboard, cluster.slots, cluster.most_memory, cluster.gpu_types))
            while True:
                method, arguments = pipe.recv()
                pipe.send(getattr(cluster, method)(*arguments))
    except InputError as error:
        pipe.send(InputError(str(error)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C reaches the whole process group. A process that is started here never sees it: the command decides."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
