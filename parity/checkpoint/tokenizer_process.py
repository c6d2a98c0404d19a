"""A checkpoint's tokenizer, read by the library ``tokenizers`` in a subprocess with resource limits.

A ``tokenizer.json`` can contain patterns that never finish on a short text and sizes that request any amount of memory,
and the library may abort its process. Here that only ends the subprocess.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parity.core.errors import InputError
from parity.core.resources import data
from parity.core.stacks import main_interpreter
from reference.errors import CheckpointError
from reference.files import MEGABYTE, SIZES, open_file, pipe_of

SECONDS = 60
"""Time limit in seconds for reading the files, and for each request."""
_LONGEST_ANSWER = 64 * MEGABYTE


class TokenizerError(InputError):
    """A tokenizer cannot be read, or a request fails; the message names its file and the cause."""


class TokenizerMissing(TokenizerError):
    """The library ``tokenizers`` is not installed."""


class TokenizerProcess:
    """One tokenizer, read once."""

    def __init__(self, kind: str, files: Sequence[Path]) -> None:
        """Starts the process and waits until it has read the files.

        Args:
            kind: ``serialised``, a ``tokenizer.json``; or ``byte-level``, a ``vocab.json`` and a ``merges.txt``.

        Raises:
            TokenizerMissing: the library is not installed.
            TokenizerError: a file is not a regular file, is too large, or cannot be read in time, or at all.
        """
        self.file = files[0]
        for file in files:
            _check_size(file)
        self._process = subprocess.Popen(
            # Without the script's folder on the import path.
            [str(main_interpreter()), "-P", str(data("checkpoint/tokenizer_child.py")), kind, *map(str, files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
        )
        weakref.finalize(self, _end, self._process)
        self._read = b""
        reply = self._line()
        if "missing" in reply:
            make = "parity stack make main, or pip install tokenizers"
            raise TokenizerMissing(f"texts need the tokenizers library: {make} ({reply['missing']})")
        if "error" in reply:
            raise TokenizerError(f"{self.file}: cannot be read: {_first_line(reply['error'])}")

    def encode(self, text: str, pair: str | None = None) -> list[int]:
        """The token ids of a text, including special tokens; raises TokenizerError."""
        return self._request({"text": text, "pair": pair})

    def decode(self, tokens: list[int]) -> tuple[str, list[str]]:
        """The decoded text, and the vocabulary entry of each token; raises TokenizerError."""
        text, words = self._request({"tokens": tokens})
        return text, words

    def _request(self, what: dict[str, Any]) -> Any:
        try:
            pipe = pipe_of(self._process.stdin)
            pipe.write(json.dumps(what).encode() + b"\n")
            pipe.flush()
        except OSError as error:
            raise self._gone() from error
        reply = self._line()
        if "error" in reply:
            raise TokenizerError(f"{self.file}: gives no answer: {_first_line(reply['error'])}")
        return reply["answer"]

    def _line(self) -> dict[str, Any]:
        """The next output line of the process."""
        until, answers = time.monotonic() + SECONDS, pipe_of(self._process.stdout)
        while b"\n" not in self._read:
            ready, _, _ = select.select([answers], [], [], max(0, until - time.monotonic()))
            if not ready or len(self._read) > _LONGEST_ANSWER:
                _end(self._process)
                raise TokenizerError(f"{self.file}: gives no answer in {SECONDS} seconds, or no end of one")
            part = os.read(answers.fileno(), MEGABYTE)
            if not part:
                raise self._gone()
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        return json.loads(line)

    def _gone(self) -> TokenizerError:
        _end(self._process)
        return TokenizerError(f"{self.file}: the library that reads it ended ({self._process.returncode})")


def _check_size(file: Path) -> None:
    try:
        with open_file(file) as opened:
            size = os.fstat(opened.fileno()).st_size
    except CheckpointError as error:
        raise TokenizerError(str(error)) from error
    if size > SIZES[file.name] * MEGABYTE:
        raise TokenizerError(f"{file}: larger than {SIZES[file.name]} MB, which no such file needs")


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    for pipe in (pipe_of(process.stdin), pipe_of(process.stdout)):
        try:
            pipe.close()
        except OSError:
            pass  # unwritten output can no longer be delivered


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")
