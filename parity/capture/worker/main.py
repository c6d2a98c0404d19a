"""The process that runs one backend: ``PYTHON main.py`` reads jobs from stdin, one per line, and reports line by line.

The first job names the backend, whose framework is imported once; later jobs have more tasks for it. The end of stdin
ends the process.

Any interpreter can run it. An import hook makes ``parity`` and ``reference`` importable without adding their folder to
``sys.path``: an old stack must not see our own site-packages. Events are JSON lines on a private copy of stdout;
whatever a library prints goes to stderr. ``--probe`` describes the interpreter instead.
"""

# ruff: noqa: E402 (what would hide other packages is taken off the path before they are imported)
from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__" and sys.path and Path(sys.path[0] or ".").resolve() == HERE:
    # Python puts a script's folder first on sys.path, where our file names would shadow other packages.
    del sys.path[0]

import dataclasses
import faulthandler
import gc
import importlib
import importlib.abc
import importlib.util
import itertools
import json
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

ROOT = HERE.parents[2]
LARGE = 1 << 26
"""Bytes of a checkpoint from which its model must be freed before another one is loaded."""
TRIES = 3
"""Attempts for a case whose files were touched meanwhile."""


class IsolatedFinder(importlib.abc.MetaPathFinder):
    """Imports the packages ``parity`` and ``reference`` from one folder that is not on ``sys.path``."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname not in ("parity", "reference"):
            return None
        folder = ROOT / fullname
        return importlib.util.spec_from_file_location(
            fullname, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


class Channel:
    """JSON lines to the parent, on a copy of stdout that libraries and child processes do not have."""

    def __init__(self) -> None:
        self._fd = os.dup(1)
        os.dup2(2, 1)

    def send(self, event: str, **content: Any) -> None:
        line = json.dumps({"event": event, **content}).encode() + b"\n"
        while line:
            line = line[os.write(self._fd, line) :]


class Jobs:
    """JSON lines from the parent, on a copy of stdin that libraries and child processes do not have.

    A separate thread reads them at once: the end of stdin means that the parent is gone, and ends this process whatever
    it is doing.
    """

    def __init__(self) -> None:
        self._fd = os.dup(0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> dict[str, Any]:
        """The next job, waiting for it if necessary."""
        return json.loads(self._lines.get())

    def _read(self) -> None:
        parts: list[bytes] = []
        while chunk := os.read(self._fd, 1 << 16):
            *ended, rest = chunk.split(b"\n")
            for line in ended:
                self._lines.put(b"".join([*parts, line]))
                parts = []
            parts.append(rest)
        os._exit(1)


def die_with_parent(parent: int) -> None:
    """Makes Linux kill this process with its parent even while a library holds the GIL."""
    if sys.platform == "linux":
        import ctypes

        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def no_core_files() -> None:
    """Disables core files: a crash is a verdict here, and a framework's core file takes gigabytes."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def give_memory_back() -> None:
    """Makes glibc return the memory of a large array to the system as soon as it is freed.

    By default glibc raises this threshold dynamically up to 32 MB and keeps smaller blocks on its heap, so that a
    worker without a model, or after the largest step of a pass, still uses the memory of two models. Arrays below a
    megabyte, as in small models, stay on the heap, where allocation is faster.
    """
    trim_above, map_from = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD from malloc.h
    _of_glibc("mallopt", trim_above, 1 << 26)
    _of_glibc("mallopt", map_from, 1 << 20)


def trim_heaps() -> None:
    """Returns free heap memory to the system: each thread has its own heap, and keeps up to 64 MB."""
    _of_glibc("malloc_trim", 0)


def _of_glibc(name: str, *arguments: int) -> None:
    """Calls a function of glibc's allocator; other C libraries lack it."""
    if sys.platform == "linux":
        import ctypes

        function = getattr(ctypes.CDLL(None), name, None)
        if function is not None:
            function(*arguments)


class Worker:
    """Runs the tasks of its jobs, and reuses the loaded model while the next task needs the same one.

    Args:
        job: the first job, with the ``module`` and ``attribute`` of the backend's class and the arguments of its
            ``setup``: ``device``, ``threads``, ``cache``, and ``setup`` by name.
    """

    def __init__(self, job: dict[str, Any], channel: Channel) -> None:
        self.job, self.channel = job, channel
        self.backend: Any = None  # of the class named in the job, which may have more than ``Backend``
        self.answered = 0
        self.key: tuple[str, ...] | None = None
        self.model: Any = None
        self.load_failed: dict[tuple[str, ...], Any] = {}
        self.handed: dict[str, Any] = {}

    def start(self) -> None:
        """Imports the backend's framework.

        The job names module and class: a lookup here would make the registry, and thus every backend's row, part of
        this backend's sources.
        """
        began = time.monotonic()
        adapter = importlib.import_module(self.job["module"])
        self.backend = getattr(adapter, self.job["attribute"])()
        arguments = {"threads": self.job["threads"], "device": self.job["device"], "cache": Path(self.job["cache"])}
        self.backend.setup(**arguments, **self.job["setup"])
        # Freezes the objects created by the framework's import, so that garbage collections skip them.
        gc.freeze()
        self.channel.send("ready", intervals=[(began, time.monotonic())])

    def describe(self, about: dict[str, Any]) -> None:
        """Reports what a user's model offers (``parity.backends.user``), or why it cannot be used; never returns."""
        try:
            self.start()
            offer = self.backend.describe(Path(about["checkpoint"]), about["model_class"])
            self.channel.send("described", offer=offer)
        except BaseException as error:
            kind = "" if type(error).__name__ == "NotUsable" else f"{type(error).__name__}: "
            self.channel.send("described", error=f"{kind}{error}")
        os._exit(0)

    def run(self, tasks: Sequence[dict[str, Any]]) -> None:
        """Runs the tasks; afterwards only the framework stays in memory, as in a new process."""
        for task in tasks:
            if not self.run_task(task):
                # Unusable for another task: the parent ends this process and runs the rest in a new one.
                threading.Event().wait()
        self.channel.send("done")
        self.key = self.model = None
        self.load_failed, self.handed = {}, {}
        gc.collect()
        if hasattr(self.backend, "release"):
            self.backend.release()
        trim_heaps()

    def run_task(self, task: dict[str, Any]) -> bool:
        """Runs one case and writes its trace, or reports why there is none.

        Where a global setting has changed, the trace is valid only if it is the process's first: it then started from
        the settings of a new process. A later case is run again in a new process, because its result may depend on
        undetected state left by earlier ones.

        Returns:
            Whether the process may run further tasks.
        """
        from parity.capture.worker.global_state import GlobalState
        from parity.capture.worker.handed_files import UsersPath
        from parity.capture.worker.session import Clock

        began, clock = time.monotonic(), Clock()
        state = GlobalState(getattr(self.backend, "sets_before_use", ()))
        self.channel.send("started", id=task["id"])
        paths = UsersPath(task["view"], task["checkpoint"])
        trace, outcome, reason = self._run_with_stable_files(task, clock, paths)
        changed = state.changed(beginning=not self.answered)
        self.answered += 1
        if changed and trace is not None and self.answered > 1:
            self.channel.send("discarded", id=task["id"], changed=changed, intervals=clock.intervals)
            return False
        if trace is not None:
            trace = paths.trace(trace)
            left = {"left_changed": changed} if changed else {}
            trace.provenance = {**task["provenance"], "seconds": clock.seconds, **left}
            try:
                trace.write(Path(task["out"]), replaces=False)
            except OSError as error:
                # The run ends with this error: another trace would be interrupted while being written.
                self.channel.send("unwritable", id=task["id"], reason=_one_line(error, task["out"]))
                return False
        own = time.monotonic() - began - clock.seconds
        times = {"seconds": clock.seconds, "load_seconds": clock.loading, "io_seconds": own}
        message = {"outcome": outcome, "reason": paths.text(reason), "changed": changed, "intervals": clock.intervals}
        self.channel.send("finished", id=task["id"], **message, **times)
        return not changed

    def _run_with_stable_files(self, task: dict[str, Any], clock: Any, paths: Any) -> tuple[Any, str, str]:
        """As ``_run_case``; no result where a file it may depend on changed after it was hashed.

        A file with equal content but another status was linked, touched, or replaced and restored. These cannot be
        distinguished, so the case runs again.
        """
        from parity.capture.worker.handed_files import FilesChanged, Handed

        view = task["view"]
        if view not in self.handed:
            self.handed[view] = Handed(task["files"], task["checkpoint"])
        handed = self.handed[view]
        reason = ""
        for _ in range(TRIES):
            try:
                handed.before()
                result = self._run_case(task, clock, paths)
                handed.after()
                return result
            except FilesChanged as error:
                reason = str(error)
                self._forget(view)
        return None, "changed", reason

    def _forget(self, view: str) -> None:
        """Drops the loaded model, which may come from another file."""
        self.load_failed = {key: value for key, value in self.load_failed.items() if key[0] != view}
        self._free()

    def _run_case(self, task: dict[str, Any], clock: Any, paths: Any) -> tuple[Any, str, str]:
        """The trace and ``captured``, or None, the outcome and its reason."""
        import traceback

        from parity.capture.worker.exceptions import is_ours, is_out_of_memory, raised
        from parity.capture.worker.handed_files import Refused
        from parity.capture.worker.operations import perform
        from parity.core.case import Case
        from parity.core.trace import Raised, Trace, TraceError

        key = (task["view"], task["model_class"], task["variant"], task["dtype"])
        if key in self.load_failed:
            return self.load_failed[key]
        loading = [""]
        try:
            case = Case.from_json(task["case"])
            session = self._session(task, key, clock, loading, paths, case.digest)
            return perform(case, session), "captured", ""
        except Refused as error:
            return Trace(raised=Raised("Refused", str(error), "before the library was called", "load")), "captured", ""
        except TraceError as error:
            return None, "harness-error", f"a trace that this case depends on: {error}"
        except Exception as error:
            phase = "load" if loading[0] else "call"
            if is_out_of_memory(error):
                result = None, "out-of-memory", f"{type(error).__name__} in the {phase}: {_one_line(error)}"
            elif is_ours(error):
                result = None, "harness-error", "".join(traceback.format_exception(error))[-4000:]
            else:
                result = Trace(raised=raised(error, phase, paths.text)), "captured", ""
        if loading[0] == "own":
            self.load_failed[key] = result
        if result[1] == "out-of-memory":
            self._free()
        return result

    def _session(
        self, task: dict[str, Any], key: tuple[str, ...], clock: Any, loading: list[str], paths: Any, seed: str
    ) -> Any:
        from parity.capture.worker.global_state import seed_random
        from parity.capture.worker.handed_files import Refused
        from parity.capture.worker.session import Session
        from parity.core.subject import Variant
        from parity.core.trace import Trace, TraceError

        variant = Variant.parse(task["variant"])
        loads = itertools.count()

        def seed_load() -> None:
            """The first load of every case initialises parameters alike, in whichever process; a second one differs."""
            # A fault draws the same numbers as the unmodified variant, so that only its own effect differs.
            about = {**task["provenance"], "variant": str(dataclasses.replace(variant, mutant=""))}
            names = ("stack", "backend", "variant", "dtype", "model_class", "checkpoint_digest")
            seed_random("load", *(str(about.get(name)) for name in names), str(next(loads)))

        def load() -> Any:
            if task["refused"]:
                raise Refused(task["refused"])
            self._free()
            seed_load()
            loading[0] = "own"
            with clock.load():
                model = self.backend.load(
                    Path(task["view"]),
                    variant,
                    device=self.job["device"],
                    dtype=task["dtype"],
                    model_class=task["model_class"],
                )
            loading[0] = ""
            self.key, self.model = key, model
            self.channel.send("loaded", id=task["id"])
            return model

        def load_other(**arguments: Any) -> Any:
            if task["refused"] and "checkpoint" not in arguments:
                raise Refused(task["refused"])
            self._free()
            seed_load()
            loading[0] = "other"
            call = {"checkpoint": Path(task["view"]), "model_class": task["model_class"], **arguments}
            with clock.load():
                model = self.backend.load(variant=variant, device=self.job["device"], dtype=task["dtype"], **call)
            loading[0] = ""
            return model

        def load_plain() -> Any:
            if task["refused"]:
                raise Refused(task["refused"])
            self._free()
            seed_load()
            loading[0] = "other"
            with clock.load():
                model = self.backend.load_plain(Path(task["view"]), task["model_class"])
            loading[0] = ""
            return model

        def saved() -> Any:
            # Traces are siblings in the cache (parity.capture.cache), each named by its key.
            key = task["case"]["notes"]["trace"]
            trace = Trace.read(Path(task["out"]).parents[1] / key[:2] / f"{key}.safetensors")
            if trace.provenance.get("key") != key:
                raise TraceError(f"{key}: its file has the trace of another key")
            return trace

        return Session(
            load,
            lambda: self.model if self.key == key else load(),
            variant,
            clock,
            forget=self._free,
            model_class=task["model_class"],
            load_other=load_other,
            saved=saved,
            checkpoint=Path(task["view"]),
            paths=paths,
            load_plain=load_plain,
            seed=seed,
        )

    def _free(self) -> None:
        """Frees the model before the next one is loaded: two large ones must not be in memory at once.

        A full garbage collection takes longer than a case of a small model, so small ones are not collected.
        """
        if self.model is not None and self.key is not None:
            large = _bytes_below(self.key[0]) > LARGE
            self.key = self.model = None
            if large:
                gc.collect()
                trim_heaps()


def _bytes_below(folder: str) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())


def _one_line(error: BaseException, path: str = "") -> str:
    text = " ".join(str(error).split())[:500]
    return text if path in text else f"{path}: cannot be written: {text}"


def main() -> None:
    """Runs jobs until stdin ends, or describes this interpreter with ``--probe``; never returns."""
    channel = Channel()
    faulthandler.enable()
    sys.meta_path.insert(0, IsolatedFinder())
    jobs = Jobs()
    job = jobs.next()
    die_with_parent(job["parent"])
    no_core_files()
    give_memory_back()
    if "--probe" in sys.argv[1:]:
        from parity.capture.worker.environment import describe

        channel.send("probed", facts=describe(job))
    else:
        worker = Worker(job, channel)
        if "describe" in job:
            worker.describe(job["describe"])
        worker.start()
        while True:
            if "tasks" in job:  # not in the job of a worker that is started ahead of its tasks
                worker.run(job["tasks"])
            job = jobs.next()
            channel.send("ready")
    # Frameworks can crash at interpreter shutdown; all results are already written.
    os._exit(0)


if __name__ == "__main__":
    main()
