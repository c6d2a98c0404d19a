"""The process that asks one backend: ``PYTHON main.py`` reads jobs from stdin, a line each, and reports line by line.

The first job says which backend, and its framework is imported once; each further one brings more tasks for it. The
end of stdin ends the process.

Any interpreter runs it. It makes the packages ``parity`` and ``reference`` importable from the folder it stands
in, and nothing else of that folder: an old stack must not see our own site-packages. Events are JSON lines on a private
copy of stdout; whatever a library prints goes to stderr. ``--probe`` describes the interpreter instead.
"""

# ruff: noqa: E402 (what would hide other packages is taken off the path before they are imported)
from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__" and sys.path and Path(sys.path[0] or ".").resolve() == HERE:
    # Python puts a script's own folder first, where our file names would hide other packages.
    del sys.path[0]

import faulthandler
import gc
import importlib
import importlib.abc
import importlib.util
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
"""Bytes of a checkpoint from which on its model must be gone before another is loaded."""
TRIES = 3
"""How often a case is asked whose files were touched meanwhile."""


class IsolatedFinder(importlib.abc.MetaPathFinder):
    """Finds the packages ``parity`` and ``reference`` in one folder without that folder being on ``sys.path``."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname not in ("parity", "reference"):
            return None
        folder = ROOT / fullname
        return importlib.util.spec_from_file_location(
            fullname, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


class Channel:
    """JSON lines to the parent, on a copy of stdout that no library and no child process knows of."""

    def __init__(self) -> None:
        self._fd = os.dup(1)
        os.dup2(2, 1)

    def send(self, event: str, **content: Any) -> None:
        line = json.dumps({"event": event, **content}).encode() + b"\n"
        while line:
            line = line[os.write(self._fd, line) :]


class Jobs:
    """JSON lines from the parent, on a copy of stdin that no library and no child process knows of.

    They are read at once, by a thread of their own: the end of stdin means that the parent is gone, and ends this
    process whatever it is doing.
    """

    def __init__(self) -> None:
        self._fd = os.dup(0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> dict[str, Any]:
        """The next job, when there is one."""
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
    """Linux kills this process with its parent even while a library holds the interpreter's lock."""
    if sys.platform == "linux":
        import ctypes

        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def no_core_files() -> None:
    """A crash is a verdict here; a core file of a framework is gigabytes."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def give_memory_back() -> None:
    """Has glibc return the memory of a large array to the system as soon as it is freed.

    Left alone, it raises the size from which on it does so to 32 MB, keeps what is smaller on its heap, and a worker
    that holds no model any more, or one after the largest step of a pass, still has what two models take. Arrays below
    a megabyte, all of a small model's, stay on the heap: getting these from the system each time would take longer.
    """
    trim_above, map_from = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    _of_glibc("mallopt", trim_above, 1 << 26)
    _of_glibc("mallopt", map_from, 1 << 20)


def trim_heaps() -> None:
    """Gives back what lies free on the heaps: each thread has its own, and keeps up to 64 MB of it."""
    _of_glibc("malloc_trim", 0)


def _of_glibc(name: str, *arguments: int) -> None:
    """Calls a function of its allocator; other C libraries have none of that name."""
    if sys.platform == "linux":
        import ctypes

        function = getattr(ctypes.CDLL(None), name, None)
        if function is not None:
            function(*arguments)


class Worker:
    """Goes through the tasks of its jobs, keeping one model loaded as long as the next task needs the same.

    Args:
        job: the first one, which says what the process is for: the ``module`` and ``attribute`` of the backend's
            class, and what its ``setup`` is told: ``device``, ``threads``, ``cache``, and ``setup`` by name.
    """

    def __init__(self, job: dict[str, Any], channel: Channel) -> None:
        self.job, self.channel = job, channel
        self.backend: Any = None  # of the class that the job names, which may have more than ``Backend``
        self.answered = 0
        self.key: tuple[str, ...] | None = None
        self.model: Any = None
        self.load_failed: dict[tuple[str, ...], Any] = {}
        self.handed: dict[str, Any] = {}

    def start(self) -> None:
        """Imports the backend's framework.

        The job names module and class: were they looked up here, a change of any backend's row would be a change of
        what this one is computed with.
        """
        began = time.monotonic()
        adapter = importlib.import_module(self.job["module"])
        self.backend = getattr(adapter, self.job["attribute"])()
        arguments = {"threads": self.job["threads"], "device": self.job["device"], "cache": Path(self.job["cache"])}
        self.backend.setup(**arguments, **self.job["setup"])
        # What a framework made while it was imported stays; without this each collection would look through all of it.
        gc.freeze()
        self.channel.send("ready", intervals=[(began, time.monotonic())])

    def run(self, tasks: Sequence[dict[str, Any]]) -> None:
        """Asks each; afterwards nothing is held but the framework, as in a process that has just begun."""
        for task in tasks:
            if not self.answer(task):
                # Not fit for another task: the parent ends this process, and has the rest asked in a new one.
                threading.Event().wait()
        self.channel.send("done")
        self.key = self.model = None
        self.load_failed, self.handed = {}, {}
        gc.collect()
        if hasattr(self.backend, "release"):
            self.backend.release()
        trim_heaps()

    def answer(self, task: dict[str, Any]) -> bool:
        """Asks one case and writes its trace, or says why there is none.

        Random states are put back. Where a global setting is not what it was, the trace counts only if it is the
        process's first: settings were then those of a new process, as they are wherever this case is asked alone, so
        that asking again could bring nothing else. A later one is asked again in a new process, because what it
        answered may rest on what the ones before it left where nobody looks.

        Returns:
            Whether the process may be asked more.
        """
        from parity.capture.worker.global_state import GlobalState
        from parity.capture.worker.handed_files import UsersPath
        from parity.capture.worker.session import Clock

        began, clock = time.monotonic(), Clock()
        state = GlobalState(getattr(self.backend, "sets_before_use", ()))
        self.channel.send("started", id=task["id"])
        paths = UsersPath(task["view"], task["checkpoint"])
        trace, outcome, reason = self._ask_unchanged(task, clock, paths)
        state.restore_random()
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
                trace.write(Path(task["out"]))
            except OSError as error:
                # The run ends with this: another trace would be killed half-written.
                self.channel.send("unwritable", id=task["id"], reason=_one_line(error, task["out"]))
                return False
        own = time.monotonic() - began - clock.seconds
        times = {"seconds": clock.seconds, "load_seconds": clock.loading, "io_seconds": own}
        told = {"outcome": outcome, "reason": paths.text(reason), "changed": changed, "intervals": clock.intervals}
        self.channel.send("finished", id=task["id"], **told, **times)
        return not changed

    def _ask_unchanged(self, task: dict[str, Any], clock: Any, paths: Any) -> tuple[Any, str, str]:
        """As ``_ask``; no answer where a file that it may rest on is not, or was not throughout, what was digested.

        A file that is the same again was linked to, touched, or exchanged and put back: which, nobody can tell, so that
        the case is asked again.
        """
        from parity.capture.worker.handed_files import FilesChanged, Handed

        place = task["view"]
        if place not in self.handed:
            self.handed[place] = Handed(task["files"], task["checkpoint"])
        handed = self.handed[place]
        reason = ""
        for _ in range(TRIES):
            try:
                handed.before()
                answer = self._ask(task, clock, paths)
                handed.after()
                return answer
            except FilesChanged as error:
                reason = str(error)
                self._forget(place)
        return None, "changed", reason

    def _forget(self, place: str) -> None:
        """Whatever was loaded from there may be of another file."""
        self.load_failed = {key: value for key, value in self.load_failed.items() if key[0] != place}
        self._free()

    def _ask(self, task: dict[str, Any], clock: Any, paths: Any) -> tuple[Any, str, str]:
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
            session = self._session(task, key, clock, loading, paths)
            return perform(Case.from_json(task["case"]), session), "captured", ""
        except Refused as error:
            return Trace(raised=Raised("Refused", str(error), "before the library was called", "load")), "captured", ""
        except TraceError as error:
            return None, "harness-error", f"an answer that this case is made from: {error}"
        except Exception as error:
            phase = "load" if loading[0] else "call"
            if is_out_of_memory(error):
                answer = None, "out-of-memory", f"{type(error).__name__} in the {phase}: {_one_line(error)}"
            elif is_ours(error):
                answer = None, "harness-error", "".join(traceback.format_exception(error))[-4000:]
            else:
                answer = Trace(raised=raised(error, phase, paths.text)), "captured", ""
        if loading[0] == "own":
            self.load_failed[key] = answer
        if answer[1] == "out-of-memory":
            self._free()
        return answer

    def _session(self, task: dict[str, Any], key: tuple[str, ...], clock: Any, loading: list[str], paths: Any) -> Any:
        from parity.capture.worker.handed_files import Refused
        from parity.capture.worker.session import Session
        from parity.core.subject import Variant
        from parity.core.trace import Trace, TraceError

        variant = Variant.parse(task["variant"])

        def load() -> Any:
            if task["refused"]:
                raise Refused(task["refused"])
            self._free()
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

        def load_other(**asked: Any) -> Any:
            if task["refused"] and "checkpoint" not in asked:
                raise Refused(task["refused"])
            self._free()
            loading[0] = "other"
            told = {"checkpoint": Path(task["view"]), "model_class": task["model_class"], **asked}
            with clock.load():
                model = self.backend.load(variant=variant, device=self.job["device"], dtype=task["dtype"], **told)
            loading[0] = ""
            return model

        def load_plain() -> Any:
            if task["refused"]:
                raise Refused(task["refused"])
            self._free()
            loading[0] = "other"
            with clock.load():
                model = self.backend.load_plain(Path(task["view"]), task["model_class"])
            loading[0] = ""
            return model

        def saved() -> Any:
            # Traces stand side by side in the cache (parity.capture.cache), each under its key.
            key = task["case"]["notes"]["trace"]
            trace = Trace.read(Path(task["out"]).parents[1] / key[:2] / f"{key}.safetensors")
            if trace.provenance.get("key") != key:
                raise TraceError(f"{key}: a trace of something else stands in its place")
            return trace

        return Session(
            load,
            lambda: self.model if self.key == key else load(),
            variant,
            clock,
            model_class=task["model_class"],
            load_other=load_other,
            saved=saved,
            checkpoint=Path(task["view"]),
            paths=paths,
            load_plain=load_plain,
        )

    def _free(self) -> None:
        """Before the next model is loaded: two large ones must not be in memory at once.

        Looking through everything a framework holds takes longer than a small model does to answer a case.
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
        worker.start()
        while True:
            worker.run(job["tasks"])
            job = jobs.next()
            channel.send("ready")
    # Frameworks crash while they are torn down; everything worth keeping is written.
    os._exit(0)


if __name__ == "__main__":
    main()
