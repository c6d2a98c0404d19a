"""Runs one example in a process of its own: a script for a stack's interpreter, of the standard library alone.

``PYTHON runner.py JOB``: the job is a JSON file with ``statements`` (code and line of the block), ``session``,
``roots`` (folders it may write to), ``answers`` (the file for what happens, a JSON line for each event, written at
once, so that a process that is killed leaves what it did), ``parent`` and ``network``.

It is no sandbox. Python's own connections and writes are seen; a library's native ones, and those of programs that the
example starts, are not.
"""

from __future__ import annotations

# ruff: noqa: PTH100, PTH118, PTH123, PTH208 (an audit hook must not do more than it has to)
import ast
import io
import json
import os
import re
import sys
import time
import traceback
import types
from typing import Any

KEPT = 20_000
"""Characters of a statement's output that are kept."""
NAME = "<example>"


WRITES = {
    "os.mkdir": (0,),
    "os.rename": (0, 1),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.symlink": (1,),
    "os.link": (1,),
    "os.truncate": (0,),
}
"""Audit events, and which of their arguments is a path that is written to."""
CONNECTIONS = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")


class Output(io.TextIOBase):
    """Standard output, kept as far as a report needs it: an example may print for ever."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._parts, self._left = [], KEPT

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._parts.append(text[: self._left])
        self._left -= len(self._parts[-1])
        return len(text)

    def taken(self) -> str:
        text = "".join(self._parts)
        self._parts, self._left = [], KEPT
        return text


class Answers:
    """One JSON line for each event, written to the file at once."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(self, event: str, **content: Any) -> None:
        os.write(self._fd, json.dumps({"event": event, **content}).encode() + b"\n")


class Guard:
    """An audit hook: no connection leaves the process, and what is written outside its own folders is told."""

    def __init__(self, answers: Answers, roots: list[str], network: bool) -> None:
        self._answers, self._network = answers, network
        self._roots = tuple(os.path.join(os.path.realpath(root), "") for root in (*roots, "/dev", "/proc"))
        self._told: set[str] = set()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            written = (
                flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if flags else any(c in (mode or "") for c in "wax+")
            )
            if written:
                self._written(path)
        elif event in WRITES:
            for place in WRITES[event]:
                self._written(arguments[place])
        elif event in CONNECTIONS and not self._network and not _is_local(event, arguments):
            raise PermissionError(f"no network: {event} of an example that runs offline")

    def _written(self, path: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # a file descriptor: whatever it names was opened before
        # Its folder is resolved, not itself: a link may be replaced.
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        full = os.path.join(os.path.realpath(folder), name)
        if not (full + os.sep).startswith(self._roots) and full not in self._told:
            self._told.add(full)
            self._answers.tell("wrote", path=full)


def _is_local(event: str, arguments: tuple[Any, ...]) -> bool:
    """A socket of this machine's own has a path for an address."""
    return event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], str | bytes)


def run(job: dict[str, Any], answers: Answers, output: Output) -> None:
    """Runs the statements one after another, up to the first that raises.

    An assertion that does not hold is told, and the next statement is run: it may be about values only.
    """
    # What the example defines must be found where it says it is (pickle); our own names are none of its business.
    sys.modules["__main__"] = types.ModuleType("__main__")
    names: dict[str, Any] = vars(sys.modules["__main__"])
    for number, (code, line) in enumerate(job["statements"]):
        answers.tell("begun", statement=number)
        began, raised, asserted = time.monotonic(), None, False
        try:
            compiled = compile_statement(code, line, job["session"])
            asserted = _is_assertion(code)
            exec(compiled, names)
        except BaseException as error:  # also SystemExit and KeyboardInterrupt: the example's own, not ours
            raised = describe(error)
        answers.tell("ended", statement=number, output=output.taken(), raised=raised, seconds=time.monotonic() - began)
        if raised and not (asserted and raised["type"] == "AssertionError"):
            break
    answers.tell("done")


def compile_statement(code: str, line: int, session: bool) -> Any:
    """A session's statements are displayed, a script's are not; its lines keep the block's numbers."""
    return compile("\n" * (line - 1) + code, NAME, "single" if session else "exec", 0, True)


def _is_assertion(code: str) -> bool:
    body = ast.parse(code).body
    return len(body) == 1 and isinstance(body[0], ast.Assert)


def describe(error: BaseException) -> dict[str, Any]:
    """An exception's type, message and the frame it came from; its text for a session that documents a traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    where = ""
    if frames and frames[-1].filename != NAME:
        file = re.sub(r".*/(site-packages|lib/python[\d.]+)/", "", frames[-1].filename.replace(os.sep, "/"))
        where = f"{file}:{frames[-1].lineno} in {frames[-1].name}"
    line = next((frame.lineno for frame in reversed(frames) if frame.filename == NAME), None)
    if isinstance(error, SyntaxError) and error.filename == NAME:
        line = error.lineno
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    text = "".join(traceback.format_exception_only(kind, error))[-KEPT:]
    return {"type": name, "message": message[:KEPT], "where": where, "line": line, "text": text}


def supervised(parent: int) -> None:
    """Goes on in a child, which this process waits for, and returns there alone.

    On Linux everything that an example starts stays below this process, even what starts a session of its own and is
    left by its parent (``PR_SET_CHILD_SUBREAPER``), and is ended when the example ends, or when the run is killed. The
    process then ends as its child did. Elsewhere there is no such thing, and nothing is done.
    """
    if sys.platform != "linux":
        return
    import ctypes
    import signal

    parent_death_signal, child_subreaper = 1, 36
    prctl = ctypes.CDLL(None).prctl
    prctl(child_subreaper, 1, 0, 0, 0)
    prctl(parent_death_signal, signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: _leave(signal.SIGTERM))
    if os.getppid() != parent:
        os._exit(1)
    own = os.getpid()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        prctl(child_subreaper, 0, 0, 0, 0)
        prctl(parent_death_signal, signal.SIGKILL)
        if os.getppid() != own:
            os._exit(1)
        return
    while True:
        pid, status = os.waitpid(-1, 0)  # what was left by its parent is reaped here, too
        if pid == child:
            _leave(
                os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else os.WTERMSIG(status), os.WIFEXITED(status)
            )


def _leave(code: int, exited: bool = False) -> None:
    """Ends everything below this process, then itself: by an exit code, or by the signal that ended the example."""
    import signal

    end_all()
    if exited:
        os._exit(code)
    signal.signal(code, signal.SIG_DFL) if code not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), code)
    os._exit(128 + code)


def end_all(seconds: float = 5.0) -> None:
    """Kills the children of this process until it has none: what they leave comes to it and is next."""
    import signal

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for pid in children_of(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:  # it has ended, or is another user's
                pass
        try:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(0.005)
        except ChildProcessError:
            return


def children_of(parent: int) -> list[int]:
    """Process ids whose parent is this one, from ``/proc``."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The name of a program may hold blanks and brackets; what follows the last one is fixed (proc(5)).
                if name.isdigit() and int(file.read().rpartition(b")")[2].split()[1]) == parent:
                    found.append(int(name))
        except (OSError, IndexError, ValueError):  # no process, or one that has ended
            continue
    return found


def no_core_files() -> None:
    """A crash is an answer here; a core file of a framework is gigabytes."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    no_core_files()
    supervised(job["parent"])
    # Python puts a script's own folder first, where our file names would hide other packages; a session has its
    # working directory there.
    sys.path[0] = ""
    sys.argv = [""]
    answers, output = Answers(job["answers"]), Output()
    sys.addaudithook(Guard(answers, job["roots"], job["network"]))
    sys.stdout = output
    run(job, answers, output)
    # Frameworks crash while they are torn down; everything worth keeping is written.
    os._exit(0)


if __name__ == "__main__":
    main()
