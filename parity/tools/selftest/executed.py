"""Records which lines of some files are executed."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

Lines = dict[str, set[int]]
"""Executed lines by module."""


@contextlib.contextmanager
def executed_lines(files: Mapping[str, str], lines: Lines) -> Iterator[None]:
    """Adds to ``lines`` what this thread executes while the block runs.

    Args:
        files: modules by their file, as the code objects name it.
    """

    def trace_lines(frame: types.FrameType, event: str, argument: Any) -> Any:
        lines.setdefault(files[frame.f_code.co_filename], set()).add(frame.f_lineno)
        return trace_lines

    def trace_calls(frame: types.FrameType, event: str, argument: Any) -> Any:
        return trace_lines(frame, event, argument) if frame.f_code.co_filename in files else None

    sys.settrace(trace_calls)
    try:
        yield
    finally:
        sys.settrace(None)
