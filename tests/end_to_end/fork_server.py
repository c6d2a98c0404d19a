"""Runs scripts that import a framework, each in a fork of one process that has imported it: ``python fork_server.py
SCRIPT…`` imports what these import at their top level, then reads a script's path from each line of its standard input
and answers with one line of JSON: how it ended, and what it printed.

Of the standard library alone: a stack's interpreter runs it.
"""

from __future__ import annotations

import ast
import json
import os
import runpy
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

LONGEST = 240
"""Seconds that one script may take."""


def import_all(scripts: list[str]) -> None:
    """Imports what scripts import at their top level; what cannot be imported fails in the script itself."""
    for script in scripts:
        tree = ast.parse(Path(script).read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                try:
                    exec(compile(ast.Module([node], []), script, "exec"), {"__name__": "imported"})
                except Exception:
                    traceback.print_exc()


def run(script: str) -> tuple[int, str]:
    """The exit code and the output of a script in a fork: nothing that it changes stays."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            os._exit(_as_a_command(script))
        code = _ending(child)
        output.seek(0)
        return code, output.read().decode(errors="replace")


def _as_a_command(script: str) -> int:
    """The exit code of ``python SCRIPT``; its output is flushed."""
    code = 0
    sys.argv = [script]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _ending(child: int) -> int:
    """Waits for a fork, and kills it after ``LONGEST`` seconds; its exit code, or a signal's number below 0."""
    deadline = time.monotonic() + LONGEST
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(0.02)


def main() -> None:
    # What a framework prints while it is imported must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import_all(sys.argv[1:])
    for line in sys.stdin:
        code, output = run(line.rstrip("\n"))
        print(json.dumps({"code": code, "output": output}), file=answers, flush=True)


if __name__ == "__main__":
    main()
