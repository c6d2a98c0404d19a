"""Reads HDF5 files with ``h5py`` and writes their content to standard output: a script that runs in its own process.

The HDF5 library terminates its process on some damaged files, and does not limit the memory that a file can make it
use. So each request is handled in a fork with its own limits, which also discards any changed state of the library.
Each input line is ``["index", FILE, MOST]`` or ``["read", FILE, NAME, BYTES, MEMORY]``. The response is a line of
JSON; if it has ``bytes``, that many bytes follow: the dataset in C order. The script imports no module of this project.
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
"""Limits of one request, in addition to the dataset itself: address space in bytes, and processor time."""
_BYTES_A_SECOND = 10 << 20
"""The minimum throughput of reading a dataset; the strongest compression is unpacked ten times as fast."""


def main() -> None:
    with contextlib.suppress(Exception):  # every response then reports it
        import h5py  # noqa: F401 (imported once, before forking)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _one(*json.loads(line))
        status = os.waitpid(child, 0)[1]
        if status != 0:
            # Exits in the same way as the fork, so that the parent sees the cause.
            os.kill(os.getpid(), os.WTERMSIG(status) if os.WIFSIGNALED(status) else signal.SIGKILL)


def _one(does: str, path: str, more: int | str, size: int = 0, memory: int = 0) -> None:
    """Writes the response, and exits.

    Args:
        more: for an index, the maximum number of objects; else the name of the dataset.
        size, memory: bytes of the dataset, and of additional memory to read it.
    """
    content = b""
    try:
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_CPU, SECONDS + size // _BYTES_A_SECOND)
        _limit(resource.RLIMIT_AS, _address_space() + MEMORY + 2 * size + memory)
        reply, content = _answer(does, path, more)
    except ImportError as error:
        reply = {"missing": str(error)}
    except Exception as error:
        reply = {"error": f"{error}"[:300], "refused": isinstance(error, _Refused)}
    sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
    os._exit(0)


def _address_space() -> int:
    """Current address space of this process in bytes; an upper bound if the system does not report it."""
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
            raise _Refused(f"has no tensor {more!r:.100}")
        content = memoryview(dataset[()].tobytes())
        return {"bytes": len(content)}, content


class _Refused(Exception):
    """A file or dataset is refused; the message is the reason."""


def _index(h5py, file, most: int) -> list:
    """For every dataset: name, shape, dtype (None if unsupported), byte offset of its data, and chunk shape."""
    found: list = []
    visited = 0

    def visit(name, item) -> None:
        nonlocal visited
        visited += 1
        if visited > most:
            raise _Refused(f"has more than {most:,} groups and tensors")
        if isinstance(name, bytes):
            raise _Refused(f"has a name that is not UTF-8: {name[:100]!r}")
        if isinstance(item, h5py.Dataset):
            found.append(_described(h5py, name, item))

    def follow(name, link) -> str | None:
        nonlocal visited
        visited += 1
        if visited > 3 * most:
            return f"has more than {most:,} links"
        # The visit does not follow links, but loading the file by name would. A return value ends the visit.
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
