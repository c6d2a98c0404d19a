"""Looks into HDF5 files with ``h5py`` and writes what they hold: a script for a process of its own.

The library that reads HDF5 ends its process on some damaged files, and has no bound for what a file may ask of it. So
each question is answered in a fork, with limits of its own, and nothing that a file did to the library is left for the
next. Each line of its input is ``["index", FILE, MOST]`` or ``["read", FILE, NAME, BYTES, MEMORY]``. The answer is a
line of JSON; where it has ``bytes``, so many bytes follow: the dataset in C order. It imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
from pathlib import Path

MEMORY, SECONDS = 512 << 20, 10
"""What one answer may take, beside what a dataset itself takes: address space in bytes, and processor time."""
_BYTES_A_SECOND = 10 << 20
"""Of a dataset, at the least: what packs them best is unpacked ten times as fast."""


def main() -> None:
    with contextlib.suppress(Exception):  # which every answer then says
        import h5py  # noqa: F401 (once, for all of them)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _one(*json.loads(line))
        status = os.waitpid(child, 0)[1]
        if status != 0:
            # As the answer ended, so that whoever waits sees how.
            os.kill(os.getpid(), os.WTERMSIG(status) if os.WIFSIGNALED(status) else signal.SIGKILL)


def _one(does: str, path: str, more: int | str, size: int = 0, memory: int = 0) -> None:
    """Answers, and ends the process.

    Args:
        more: of an index, how many objects there may be; else the dataset's name.
        size, memory: of a dataset, and of what is held beside it to read it; in bytes.
    """
    content = b""
    try:
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_CPU, SECONDS + size // _BYTES_A_SECOND)
        _limit(resource.RLIMIT_AS, _address_space() + MEMORY + 2 * size + memory)
        told, content = _answer(does, path, more)
    except ImportError as error:
        told = {"missing": str(error)}
    except Exception as error:
        told = {"error": f"{error}"[:300], "refused": isinstance(error, _Refused)}
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n")
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
    os._exit(0)


def _address_space() -> int:
    """What this process has by now, in bytes; where the system does not say, more than it can have."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 8 << 30


def _limit(what: int, limit: int) -> None:
    highest = resource.getrlimit(what)[1]
    resource.setrlimit(what, (limit if highest == resource.RLIM_INFINITY else min(limit, highest), highest))


def _answer(does: str, path: str, more: int | str) -> tuple[dict, memoryview | bytes]:
    import h5py

    with h5py.File(path, "r") as file:
        if does == "index":
            return {"datasets": _index(h5py, file, int(more))}, b""
        dataset = file[str(more)]
        if not isinstance(dataset, h5py.Dataset):
            raise _Refused(f"holds no tensor {more!r:.100}")
        content = memoryview(dataset[()].tobytes())
        return {"bytes": len(content)}, content


class _Refused(Exception):
    """What is wrong, in our words."""


def _index(h5py, file, most: int) -> list:
    """Of every dataset: name, shape, dtype (None for what no weight has), where its bytes begin, and its chunk."""
    found: list = []
    visited = 0

    def visit(name, item) -> None:
        nonlocal visited
        visited += 1
        if visited > most:
            raise _Refused(f"holds more than {most:,} groups and tensors")
        if isinstance(name, bytes):
            raise _Refused(f"holds a name that is no UTF-8: {name[:100]!r}")
        if isinstance(item, h5py.Dataset):
            found.append(_described(h5py, name, item))

    def follow(name, link) -> str | None:
        nonlocal visited
        visited += 1
        if visited > 3 * most:
            return f"holds more than {most:,} links"
        # Nobody follows it here, and whoever loads the file by name would. What is returned ends the visit.
        return f"takes {name[:100]!r} from another file" if isinstance(link, h5py.ExternalLink) else None

    file.visititems(visit)
    if refused := file.visititems_links(follow):
        raise _Refused(refused)
    return found


def _described(h5py, name: str, item) -> dict:
    made = item.id.get_create_plist()
    layout = made.get_layout()
    kind = item.dtype
    plain = kind.names is None and kind.subdtype is None
    return {
        "name": name,
        "elsewhere": bool(made.get_external_count()) or layout == h5py.h5d.VIRTUAL,
        "dtype": kind.str[:20] if plain else None,
        "shape": None if item.shape is None else [int(size) for size in item.shape],
        "offset": item.id.get_offset() if layout == h5py.h5d.CONTIGUOUS else None,
        "chunk": [int(size) for size in made.get_chunk()] if layout == h5py.h5d.CHUNKED else None,
    }


if __name__ == "__main__":
    main()
