"""Reads ``tf_model.h5``: Keras variables as HDF5 datasets, named by their scopes. Needs ``h5py``.

The library runs in a separate process (``hdf5_child``), because some damaged files terminate it. Keras writes
contiguous datasets, which are then read directly from the file.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from reference.errors import CheckpointError, brief
from reference.files import open_file, pipe_of
from reference.weights.cast import BFLOAT16
from reference.weights.stored import DTYPES, Opened, Stored, check_amount, check_name, check_shape, read_span

_NAMES = {dtype.str: name for name, dtype in DTYPES.items() if name != "bfloat16"}
_OPAQUE = ("|V2", BFLOAT16.str)
"""The HDF5 type that Keras uses for bfloat16: two opaque bytes."""
_MOST_OBJECTS = 20_000
"""The maximum number of groups and tensors in one file; the largest BART has about 2,000."""
_SECONDS = 120


def open_hdf5(path: Path) -> Opened:
    """Indexes all datasets of an HDF5 file by their full path.

    Raises:
        CheckpointError: h5py is not installed, or the file is truncated, damaged, has an unknown dtype, refers to
            data in another file (external or virtual datasets), or declares much more data than its size.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
    opened = Opened("tf")
    reply, _ = _requested(path, "index", str(path.absolute()), _MOST_OBJECTS)
    for found in reply["datasets"]:
        opened.tensors[found["name"]] = _stored(path, check_name(path, found["name"]), found, size)
    check_amount(path, size, sum(stored.nbytes for stored in opened.tensors.values()))
    return opened


class _Child:
    """The process, started at the first file and restarted after a file that terminated it."""

    def __init__(self) -> None:
        self.owner, self.read = 0, bytearray()
        self.process: subprocess.Popen[bytes] | None = None

    def request(self, path: Path, *what: Any) -> tuple[dict[str, Any], bytearray]:
        """A response and the bytes that follow it.

        Raises:
            CheckpointError: there is no response, or it reports an error in the file.
        """
        try:
            if self.process is not None and (self.owner != os.getpid() or self.process.poll() is not None):
                self.stop()
            if self.process is None:
                self.process = self._started()
            requests, answers = pipe_of(self.process.stdin), pipe_of(self.process.stdout)
            requests.write(json.dumps(what).encode() + b"\n")
            requests.flush()
            until = time.monotonic() + _SECONDS
            while (end := self.read.find(b"\n")) < 0:
                self._more(answers, until)
            reply = json.loads(self.read[:end])
            del self.read[: end + 1]
            while len(self.read) < reply.get("bytes", 0):
                self._more(answers, time.monotonic() + _SECONDS)
        except (OSError, ValueError, EOFError) as error:
            ended = self.stop()
            cause = "is not read in time" if isinstance(error, TimeoutError) else _how(ended)
            raise CheckpointError(path, f"not a readable HDF5 file: {cause}") from error
        content, self.read = self.read, bytearray()
        return reply, content

    def _started(self) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("hdf5_child.py")
        # -P: does not add the script's directory to sys.path.
        process = subprocess.Popen(
            [sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a separate process group, so that forks are terminated too
            env={**os.environ, "HDF5_PLUGIN_PRELOAD": "::"},  # disables loading of filter plugins
        )
        self.owner, self.read = os.getpid(), bytearray()
        return process

    def _more(self, answers: IO[bytes], until: float) -> None:
        if not select.select([answers], [], [], max(0, until - time.monotonic()))[0]:
            raise TimeoutError
        part = os.read(answers.fileno(), 1 << 20)
        if not part:
            raise EOFError
        self.read += part

    def stop(self) -> int | None:
        """Terminates the process and its forks, and returns its exit status; None if there was none.

        If this process was forked after the start, the process is left to the parent.
        """
        process, self.process = self.process, None
        if process is None:
            return None
        code = None
        if self.owner == os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        for pipe in (pipe_of(process.stdin), pipe_of(process.stdout)):
            with contextlib.suppress(OSError):
                pipe.close()  # unwritten data is discarded
        return code


def _how(ended: int | None) -> str:
    if ended is None:
        return "the library cannot be started"
    if ended == -signal.SIGXCPU:
        return "the library takes too long"
    return f"the library ended ({signal.Signals(-ended).name if ended < 0 else ended})"


_CHILD = _Child()


def _requested(path: Path, *what: Any) -> tuple[dict[str, Any], bytearray]:
    reply, content = _CHILD.request(path, *what)
    if "missing" in reply:
        raise CheckpointError(path, f"needs the package h5py, which is not installed: {reply['missing']}")
    if "error" in reply:
        cause = brief(reply["error"], 300)[1:-1]
        raise CheckpointError(path, cause if reply["refused"] else f"not a readable HDF5 file: {cause}")
    return reply, content


def _stored(path: Path, name: str, found: dict[str, Any], size: int) -> Stored:
    if found["elsewhere"]:
        raise CheckpointError(path, f"tensor {brief(name)} takes its data from another file")
    kind = found["dtype"]
    dtype = "bfloat16" if kind in _OPAQUE else kind and _NAMES.get(np.dtype(kind).newbyteorder("<").str)
    if not dtype:
        raise CheckpointError(path, f"tensor {brief(name)} has the unknown dtype {kind or 'of several fields'}")
    if found["shape"] is None:
        raise CheckpointError(path, f"tensor {brief(name)} has no shape")
    shape = check_shape(path, name, found["shape"])
    held = 0
    if found["chunk"] is not None:
        # A whole chunk is loaded to read one element, and may be much larger than the array.
        held = math.prod(check_shape(path, name, found["chunk"])) * DTYPES[dtype].itemsize
        check_amount(path, size, held)
    return Stored(shape, dtype, partial(_read, path, name, shape, (kind, dtype), found["offset"], 2 * held))


def _read(
    path: Path, name: str, shape: tuple[int, ...], kinds: tuple[str, str], offset: int | None, held: int
) -> np.ndarray:
    kind, dtype = np.dtype(kinds[0]), DTYPES[kinds[1]]
    size = math.prod(shape) * kind.itemsize
    if offset is None:
        _, content = _requested(path, "read", str(path.absolute()), name, size, held)
        if len(content) != size:
            raise CheckpointError(path, f"tensor {brief(name)} cannot be read: only {len(content)} bytes were read")
        array = np.frombuffer(content, kind)
    else:
        array = read_span(path, offset, math.prod(shape), kind)
    array = array.view(dtype) if kind.kind == "V" else array.astype(dtype, copy=False)
    return array.reshape(shape)
