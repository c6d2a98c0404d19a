"""Detects files whose first bytes contradict their name."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from parity.checkpoint.diagnosis.reading import first_bytes, size_of
from parity.core.records import Notice

LFS = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"\s*(\xef\xbb\xbf)?\s*<(!doctype\s+html|html|head|body|\?xml)", re.IGNORECASE)
_ANSWERS = (
    b"Entry not found",
    b"Repository not found",
    b"Invalid username or password",
    b"Access to model",
    b"Not Found",
    b"Unauthorized",
    b"Forbidden",
    b"Too Many Requests",
    b"Internal Server Error",
    b"Bad Gateway",
    b'{"error"',
)
"""Error responses of servers, saved under the file's name by scripts that ignore the status."""
_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", "HDF5", ".h5"),
    (b"GGUF", "GGUF (llama.cpp)", ".gguf"),
    (b"\x1f\x8b", "gzip", ".gz"),
    (b"\xfd7zXZ\0", "xz", ".xz"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", ".7z"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", ".zst"),
    (b"Rar!", "RAR", ".rar"),
    (b"BZh", "bzip2", ".bz2"),
    (b"\x93NUMPY", "NumPy", ".npy"),
)
_PACKED = (".gz", ".xz", ".7z", ".zst", ".rar", ".bz2", ".tar")
_UNFINISHED = (".incomplete", ".part", ".partial", ".crdownload", ".download", ".aria2", ".tmp")


def notice_of(path: Path) -> Notice | None:
    """What is wrong with a file according to its first bytes; None if nothing is."""
    head, name = first_bytes(path), path.name
    if head is None:
        return None
    if not head:
        return Notice(
            id="empty-file",
            cause=f"{name} is empty (0 bytes): a download or a copy that was cut short",
            advice=f"fetch {name} again",
        )
    return _pointer(head, name) or _answer(head, name) or _marked(head, name) or _other_kind(head, name)


def _pointer(head: bytes, name: str) -> Notice | None:
    if not head.startswith(LFS):
        return None
    stated = re.search(rb"^size (\d{1,15})\s*$", head, re.MULTILINE)
    whole = f" of {int(stated[1]):,} bytes" if stated else ""
    return Notice(
        id="git-lfs-pointer",
        cause=f"{name} is a git-lfs pointer, a few lines that stand for a file{whole}, and not that file",
        advice="run git lfs install and git lfs pull in the clone, or fetch it with hf download",
    )


def _marked(head: bytes, name: str) -> Notice | None:
    """JSON with a byte order mark, as editors on Windows save it: our reader accepts it, the libraries' config readers
    do not."""
    mark = next((mark for mark in _MARKS if head.startswith(mark)), None)
    if mark is None or not name.endswith(".json"):
        return None
    return Notice(
        id="byte-order-mark",
        cause=f"{name} begins with a byte order mark ({_MARKS[mark]}), at which the libraries end with an error",
        advice=f"save {name} as UTF-8 without a mark",
    )


_MARKS = {
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF16_LE: "UTF-16 or 32",
    codecs.BOM_UTF16_BE: "UTF-16",
    codecs.BOM_UTF32_BE: "UTF-32",
}


def _answer(head: bytes, name: str) -> Notice | None:
    if name.endswith((".txt", ".model")) and not _PAGE.match(head):
        return None
    if _PAGE.match(head) or head.lstrip().startswith(_ANSWERS):
        return Notice(
            id="error-page",
            cause=f"{name} is a page that a server answered with (a log-in, or that there is no such file)",
            advice=f"open {name} in an editor to see what the server said, then fetch the file itself",
        )
    return None


def _other_kind(head: bytes, name: str) -> Notice | None:
    """One format under the name of another; a binary JSON file."""
    found = _kind(head)
    if found is None:
        return None
    kind, fitting = found
    if not name.endswith((".safetensors", ".bin", ".h5", ".msgpack", ".json")) or name.endswith(fitting):
        return None
    if kind == "torch.save" and name.endswith(".safetensors"):
        advice = (
            "load it in Python with torch.load(…, weights_only=True) and write it with safetensors.torch.save_file, "
            "or, if you trust it, name it pytorch_model.bin"
        )
    elif fitting[0] in _PACKED:
        advice = f"unpack it; a file named {name} is read as it is"
    else:
        right = {"safetensors": "model.safetensors", "HDF5": "tf_model.h5", "torch.save": "pytorch_model.bin"}
        advice = f"name it {right[kind]}" if kind in right else "audit the checkpoint that it was made from"
    return Notice(
        id="other-format",
        cause=f"{name} is a {kind} file: its name and its content are of two formats",
        advice=advice,
    )


def _kind(head: bytes) -> tuple[str, tuple[str, ...]] | None:
    """A format by its first bytes, and its file name extensions."""
    if head.startswith(b"PK\x03\x04") and b"data.pkl" in head[:200]:
        return "torch.save", (".bin", ".pt", ".pth", ".ckpt")
    if head.startswith(b"PK\x03\x04"):
        return "zip", (".zip", ".bin", ".npz", ".keras")
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") and not head.startswith(b"\x80\x04\x95"):
        return "torch.save", (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack")
    length = int.from_bytes(head[:8], "little")
    if len(head) > 9 and head[8:9] == b"{" and 2 <= length <= 1 << 28:
        return "safetensors", (".safetensors",)
    if head[257:262] == b"ustar":
        return "tar", (".tar",)
    return next(((kind, (ending,)) for magic, kind, ending in _MAGIC if head.startswith(magic)), None)


def unfinished(directory: Path, files: frozenset[str]) -> Iterator[Notice]:
    """Incomplete downloads, under the temporary names of download tools."""
    names = sorted(name for name in files if name.endswith(_UNFINISHED))
    for name in names[:1]:
        size, more = size_of(directory / name), f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        amount = "" if size is None else f" of {size:,} bytes so far"
        yield Notice(
            id="incomplete-download",
            cause=f"{name}{more} is a download{amount} that was not finished",
            advice="run the same download again: it goes on where it stopped",
        )
