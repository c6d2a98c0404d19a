"""Runs one example in this process: a script for a stack's interpreter that only uses the standard library.

``PYTHON runner.py JOB``: the job is a JSON file with ``statements`` (code and line of the block), ``session``,
``roots`` (folders it may write to), ``answers`` (the file for events, one JSON line for each, written immediately, so
that a killed process leaves the results up to then), ``parent`` and ``network``.

It is not a sandbox. Python's own connections and writes are detected; those of native code in libraries, and of
programs that the example starts, are not.
"""

from __future__ import annotations

# ruff: noqa: PTH100, PTH118, PTH123, PTH208 (an audit hook must do as little as possible)
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

OUTPUT_LIMIT = 20_000
"""Maximum number of characters of a statement's output that are recorded."""
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
    """Standard output, recorded up to the length that a report needs: an example may print without end."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._parts, self._left = [], OUTPUT_LIMIT

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._parts.append(text[: self._left])
        self._left -= len(self._parts[-1])
        return len(text)

    def taken(self) -> str:
        text = "".join(self._parts)
        self._parts, self._left = [], OUTPUT_LIMIT
        return text


class Answers:
    """One JSON line for each event, written to the file at once."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, event: str, **content: Any) -> None:
        os.write(self._fd, json.dumps({"event": event, **content}).encode() + b"\n")


class Guard:
    """An audit hook: refuses connections to other machines, and reports writes outside the example's own folders."""

    def __init__(self, answers: Answers, roots: list[str], network: bool) -> None:
        self._answers, self._network = answers, network
        self._roots = tuple(os.path.join(os.path.realpath(root), "") for root in (*roots, "/dev", "/proc"))
        self._reported: set[str] = set()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            written = (
                flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if flags else any(c in (mode or "") for c in "wax+")
            )
            if written:
                self._written(path)
        elif event in WRITES:
            for position in WRITES[event]:
                self._written(arguments[position])
        elif event in CONNECTIONS and not self._network and not _is_local(event, arguments):
            raise PermissionError(f"no network: {event} of an example that runs offline")

    def _written(self, path: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # a file descriptor: the file was opened before
        # Only its folder is resolved, not the path itself: a link may be replaced.
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        full = os.path.join(os.path.realpath(folder), name)
        if not (full + os.sep).startswith(self._roots) and full not in self._reported:
            self._reported.add(full)
            self._answers.write("wrote", path=full)


def _is_local(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a socket is local: its address is a path."""
    return event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], str | bytes)


def run(job: dict[str, Any], answers: Answers, output: Output) -> None:
    """Runs the statements one after another, up to the first that raises.

    A failed assertion is recorded, and the next statement is run: the assertion may only concern values.
    """
    # The example's definitions must be found in its own module (pickle), and our names must not be visible in it.
    sys.modules["__main__"] = types.ModuleType("__main__")
    names: dict[str, Any] = vars(sys.modules["__main__"])
    for number, (code, line) in enumerate(job["statements"]):
        answers.write("begun", statement=number)
        began, raised, asserted = time.monotonic(), None, False
        try:
            compiled = compile_statement(code, line, job["session"])
            asserted = _is_assertion(code)
            exec(compiled, names)
        except BaseException as error:  # also SystemExit and KeyboardInterrupt, which the example raised
            raised = describe(error)
        answers.write("ended", statement=number, output=output.taken(), raised=raised, seconds=time.monotonic() - began)
        if raised and not (asserted and raised["type"] == "AssertionError"):
            break
    answers.write("done")


def compile_statement(code: str, line: int, session: bool) -> Any:
    """Compiles a statement; only a session's values are displayed. Line numbers are those of the block."""
    return compile("\n" * (line - 1) + code, NAME, "single" if session else "exec", 0, True)


def _is_assertion(code: str) -> bool:
    body = ast.parse(code).body
    return len(body) == 1 and isinstance(body[0], ast.Assert)


def describe(error: BaseException) -> dict[str, Any]:
    """An exception's type, message and raising frame; also its text, for a session that documents a traceback."""
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
    text = "".join(traceback.format_exception_only(kind, error))[-OUTPUT_LIMIT:]
    return {"type": name, "message": message[:OUTPUT_LIMIT], "where": where, "line": line, "text": text}


def supervised(parent: int) -> None:
    """Continues in a child process, for which this process waits; only the child returns.

    On Linux all processes that an example starts remain descendants of this process, even those that start their own
    session and are orphaned (``PR_SET_CHILD_SUBREAPER``). They are ended when the example ends or the run is killed.
    This process then ends as its child did. Other systems have no such mechanism; there this does nothing.
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
        pid, status = os.waitpid(-1, 0)  # orphans are reaped here, too
        if pid == child:
            _leave(
                os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else os.WTERMSIG(status), os.WIFEXITED(status)
            )


def _leave(code: int, exited: bool = False) -> None:
    """Ends all descendants, then this process: by an exit code, or by the signal that ended the example."""
    import signal

    end_all()
    if exited:
        os._exit(code)
    signal.signal(code, signal.SIG_DFL) if code not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), code)
    os._exit(128 + code)


def end_all(seconds: float = 5.0) -> None:
    """Kills the children of this process until it has none: orphans become its children and are killed next."""
    import signal

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for pid in children_of(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:  # it has ended, or belongs to another user
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
                # The name of a program may contain blanks and brackets; the fields after the last bracket are fixed
                # (proc(5)).
                if name.isdigit() and int(file.read().rpartition(b")")[2].split()[1]) == parent:
                    found.append(int(name))
        except (OSError, IndexError, ValueError):  # not a process, or one that has ended
            continue
    return found


def no_core_files() -> None:
    """Disables core files: a crash is a result here, and a framework's core file takes gigabytes."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    no_core_files()
    supervised(job["parent"])
    # Python puts a script's own folder first on sys.path, where our file names would shadow other packages; a session
    # has its working directory there.
    sys.path[0] = ""
    sys.argv = [""]
    answers, output = Answers(job["answers"]), Output()
    sys.addaudithook(Guard(answers, job["roots"], job["network"]))
    sys.stdout = output
    run(job, answers, output)
    # Frameworks can crash at interpreter shutdown; all results are already written.
    os._exit(0)


if __name__ == "__main__":
    main()
