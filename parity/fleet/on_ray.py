"""Runs the tasks of a fleet on Ray; the only module that imports it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from parity.core.display import sentence
from parity.core.errors import InputError
from parity.fleet.audit_one import Asked, audit_one
from parity.fleet.outcome import Answer
from parity.fleet.targets import Job

CONNECT_LIMIT = 10.0
"""Seconds to wait for an address to accept a connection. Ray itself would try for minutes."""
ACCELERATOR = "accelerator_type:"
"""The prefix of a resource of Ray that stands for a type of GPU."""
GO_ON = "every checkpoint that has ended is kept, the same command with --resume goes on from there"


@dataclass(frozen=True)
class Lost:
    """A task that ended without an answer."""

    cause: Literal["worker", "node", "memory"]
    """``worker``: its process ended. ``node``: so did its machine. ``memory``: Ray ended it for lack of memory."""
    reason: str


class RayCluster:
    """Ray, local or a cluster, while the context is open.

    Args:
        address: of a cluster (``HOST:PORT``, ``auto``); None starts Ray on this machine.
        cpus: CPUs that one task reserves.
        gpu_type: the GPU that a task for CUDA needs, by Ray's name (``A100``); "" for any.
        function: the task, which every machine can import.

    Raises:
        InputError: on entry: Ray is not installed, or cannot be reached or started.
    """

    def __init__(
        self,
        address: str | None,
        cpus: float,
        gpu_type: str = "",
        function: Callable[[Job, Asked, int], Answer] = audit_one,
    ) -> None:
        self._address, self._cpus, self._gpu_type, self._task = address, cpus, gpu_type, function
        self._running: dict[Any, tuple[Job, int]] = {}
        self.dashboard = ""
        """The address of Ray's dashboard; empty where there is none."""
        self.slots = 1
        """Tasks that run at once on the machines that are there now, by their CPUs."""
        self.most_memory = 0
        """Bytes of the largest machine that is there now."""
        self.gpu_types: tuple[str, ...] = ()
        """The GPUs that are there now, by Ray's names; "" for one of an unknown type."""

    def __enter__(self) -> RayCluster:
        try:
            import ray
            import ray.exceptions
        except ImportError as error:
            raise InputError("parity fleet needs Ray: pip install 'encdec-parity[ray]'") from error
        self._ray = ray
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to third parties unasked
        if self._address is not None and self._address != "auto":
            _check_reachable(self._address)
        try:
            context = ray.init(
                address=self._address or "local",
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                configure_logging=True,
            )
        except (ConnectionError, RuntimeError, ValueError, OSError, AssertionError) as error:
            where = f"--address {self._address}" if self._address else "Ray on this machine"
            raise InputError(f"{where}: cannot be used: {sentence(error, 600)}") from error
        self.dashboard = context.dashboard_url or ""
        total = ray.cluster_resources()
        self.slots = max(1, int(total.get("CPU", 1) // self._cpus))
        self.most_memory = max((int(each["Resources"].get("memory", 0)) for each in self._nodes()), default=0)
        named = tuple(name.removeprefix(ACCELERATOR) for name in sorted(total) if name.startswith(ACCELERATOR))
        self.gpu_types = (named or ("",)) if total.get("GPU", 0) >= 1 else ()
        self._function = ray.remote(self._task)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    def share(self, asked: Asked) -> None:
        """Stores what all tasks need, once for each machine."""
        self._asked = self._ray.put(asked)

    def submit(self, job: Job, memory: int) -> None:
        """Submits a task; ``wait`` returns how it ended."""
        function = self._function.options(
            num_cpus=self._cpus,
            num_gpus=1 if job.device == "cuda" else 0,
            accelerator_type=self._gpu_type or None if job.device == "cuda" else None,
            memory=memory,
            max_retries=0,  # who tries again, with how much memory and how often, is decided by the caller
            name=job.name,
        )
        self._running[function.remote(job, self._asked, memory)] = (job, self._lost_nodes())

    def wait(self, seconds: float) -> Sequence[tuple[Job, Answer | Lost]]:
        """The tasks that have ended, after this time at the latest.

        Raises:
            InputError: Ray itself has ended, or cannot run the function.
        """
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [(self._running[each][0], self._result(each, self._running.pop(each)[1])) for each in ready]

    def _result(self, reference: Any, lost_before: int) -> Answer | Lost:
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.OutOfMemoryError as error:
            return Lost("memory", _first_line(error))
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.ObjectLostError) as error:
            lost = isinstance(error, exceptions.NodeDiedError) or self._lost_nodes() > lost_before
            return Lost("node" if lost else "worker", _first_line(error))
        except exceptions.RayTaskError as error:
            cause = sentence(error.cause, 300)
            raise InputError(f"a machine of the cluster cannot run encdec-parity: {cause}") from error
        except exceptions.RayError as error:
            raise InputError(f"Ray has ended: {sentence(error, 600)}; {GO_ON}") from error

    def _nodes(self) -> list[dict[str, Any]]:
        return [each for each in self._ray.nodes() if each["Alive"]]

    def _lost_nodes(self) -> int:
        return sum(not each["Alive"] for each in self._ray.nodes())


def _first_line(error: BaseException) -> str:
    return sentence((str(error).strip().splitlines() or [type(error).__name__])[0], 300)


def _check_reachable(address: str) -> None:
    """Raises InputError where nothing accepts a connection at ``HOST:PORT``."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"--address {address}: not of the form HOST:PORT")
    try:
        socket.create_connection((host, int(port)), CONNECT_LIMIT).close()
    except (OSError, OverflowError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise InputError(f"--address {address}: cannot be reached: {cause}") from error
