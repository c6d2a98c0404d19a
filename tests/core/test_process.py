"""When a command started, which is before anything of it could be imported."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from parity.core import process


def test_the_start_is_before_the_first_import_and_after_the_command_was_given():
    code = (
        "import time; first = time.monotonic(); time.sleep(0.2);"
        "from parity.core.process import process_start; print(process_start() - first)"
    )
    given = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The system counts in hundredths of a second.
    assert -(time.monotonic() - given) - 0.02 <= float(ended.stdout) <= 0.02


def test_where_the_system_has_no_start_it_is_the_time_of_the_import(monkeypatch):
    def absent(self: Path, **_: object) -> str:
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", absent)
    assert process.process_start() == process._IMPORTED
