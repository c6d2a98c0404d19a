"""Weight files by structure: each format's parts, one or more of them wrong."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
from pathlib import Path

from tests.untrusted_files.values import NUMBERS, TEXTS, altered, wrong

SIZES = (0, 1, 2, 4, 255, 2**16, 2**31 - 1, 2**32 - 1)


# --- safetensors -----------------------------------------------------------------------------------------------------
def safetensors(draw: random.Random) -> bytes:
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for index in range(draw.choice((0, 1, 3, 20))):
        shape = [draw.choice((1, 2, 3)) for _ in range(draw.randrange(4))]
        size = 4
        for extent in shape:
            size *= extent
        header[f"model.x.{index}.weight"] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    if draw.random() < 0.85:
        header = altered(header, draw)
    text = json.dumps(header).encode()
    if draw.random() < 0.2:
        at_byte = draw.randrange(len(text))
        text = text[:at_byte] + draw.choice((b"[" * 2000, b'"', b"\xff", b"9" * 6000, b"NaN", b"{}")) + text[at_byte:]
    length = len(text) if draw.random() < 0.9 else draw.choice((0, 7, 2**40, 2**63, len(text) - 1, 99_999_999))
    size = at if draw.random() < 0.8 else draw.choice((0, at + 1, max(0, at - 1)))
    return cut(length.to_bytes(8, "little") + text + bytes(size), draw)


def cut(content: bytes, draw: random.Random) -> bytes:
    """Now and then only the beginning, or a few bytes others."""
    does = draw.randrange(20)
    if does == 0:
        return content[: draw.randrange(len(content) + 1)]
    if does == 1 and content:
        content = bytearray(content)
        for _ in range(draw.choice((1, 4))):
            content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


# --- pickles ---------------------------------------------------------------------------------------------------------
def text(value: str) -> bytes:
    content = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(content)) + content


def number(value: object) -> bytes:
    if type(value) is int:
        if 0 <= value < 256:
            return b"K" + bytes([value])
        content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(content)]) + content if len(content) < 256 else b"N"
    return {True: b"\x88", False: b"\x89"}.get(value, b"N") if value in (True, False) else b"N"  # type: ignore[call-overload]


def sizes(values: list[object]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def doubled(levels: int) -> bytes:
    """A list that holds itself twice, this many levels deep."""
    return b"]" + b"".join(b"q\x00]h\x00ah\x00a" for _ in range(levels))


def evil(draw: random.Random) -> bytes:
    """Instructions where a value is due."""
    return draw.choice(
        (
            doubled(60),
            doubled(60) + b"\x85",
            b")" + b"\x85" * 5000,
            b"cos\nsystem\nX\x01\x00\x00\x00a\x85R",
            b"(" * 3000,
            b"]" * 3000,
            b"}" * 3000,
            b"N",
            b"h\x63",
            b"j\xff\xff\xff\xff",
            b"p999999999999\nN",
            b"I" + b"9" * 5000 + b"\n",
            b"L" + b"9" * 900 + b"L\n",
            b"\x8b\xff\xff\xff\x7f",
            b"X\xff\xff\xff\xff",
            b"\x8d" + b"\xff" * 8,
            b"F1e999\n",
            b"S'a\\x41'\n",
            b"S'\n",
            b"V\\ud800\n",
            b"}(" + b"".join(number(k * (2**61 - 1)) + b"N" for k in range(200)) + b"u",
            b"ccollections\nOrderedDict\n)R",
            b"}}b",
            b"0",
            b"00000",
            b"t",
            b"u",
            b"e",
            b"(t",
            b"\x81",
            b"R",
            b"Q",
            b"i" + b"a\nb\n",
            b"\x95" + b"\xff" * 8,
            b"\x80\x7f",
            b"\x82\x01",
            b"2",
            b"1",
            b"B\x00\x00\x00\x01",
            b"G\x7f\xf8\x00\x00\x00\x00\x00\x00",
        )
    )


def tensor(draw: random.Random, key: str, shape: list[object], strides: list[object], count: int) -> bytes:
    """The call that rebuilds a tensor, in the words of ``torch.save``."""
    odd = draw.random() < 0.3
    values = [draw.choice(NUMBERS)] * draw.choice((1, 2, 40)) if odd and draw.random() < 0.3 else shape
    steps = [draw.choice(NUMBERS) for _ in shape] if odd and draw.random() < 0.4 else strides
    storage = draw.choice((b"ctorch\nFloatStorage\n",) * 9 + (b"ctorch\nQInt8Storage\n",))
    name = text(key) if draw.random() < 0.95 else evil(draw)
    persistent = b"(" + text("storage") + storage + name + text("cpu") + number(count) + b"tQ"
    offset = number(draw.choice((0,) * 9 + (2**62, 7, -1)))
    size = sizes(values) if draw.random() < 0.95 else evil(draw)
    stride = sizes(steps) if draw.random() < 0.95 else evil(draw)
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + persistent + offset + size + stride
    return made + b"\x89ccollections\nOrderedDict\n)RtR"


def state_dict(draw: random.Random) -> tuple[bytes, dict[str, int]]:
    """A pickle, and the storages it needs: bytes by key."""
    storages, parts = {}, [b"\x80\x02}("]
    for index in range(draw.choice((0, 1, 2, 6))):
        shape = [draw.choice((1, 2, 3)) for _ in range(draw.randrange(3))]
        strides, step = [], 1
        for extent in reversed(shape):
            strides.insert(0, step)
            step *= extent
        name = f"model.x.{index}.weight" if draw.random() < 0.9 else draw.choice(TEXTS)
        parts.append(text(name) if draw.random() < 0.96 else evil(draw))
        parts.append(tensor(draw, str(index), list(shape), list(strides), step) if draw.random() < 0.93 else evil(draw))
        storages[str(index)] = 4 * step
    return b"".join(parts) + draw.choice((b"u.",) * 9 + (b".", b"u", b"uu.")), storages


def zipped(draw: random.Random) -> bytes:
    """An archive as ``torch.save`` writes it, entry by entry."""
    content, storages = state_dict(draw)
    entries = [("archive/data.pkl", content), ("archive/version", b"3\n"), ("archive/byteorder", b"little")]
    entries += [(f"archive/data/{key}", bytes(size)) for key, size in storages.items()]
    does = draw.randrange(14)
    if does == 0:
        entries.append(draw.choice(entries))
    elif does == 1:
        entries = [entry for entry in entries if draw.random() < 0.7]
    elif does == 2:
        entries[2] = ("archive/byteorder", draw.choice((b"big", b"", b"x" * 3_000_000)))
    elif does == 3:
        entries.append((draw.choice(("/etc/passwd", "../x", "archive/data/\x00", "é", "b/data.pkl", "")), b"x"))
    local, central = io.BytesIO(), io.BytesIO()
    for name, data in entries:
        raw = name.encode()
        flags, method = draw.choice(((0, 8), (1, 0), (0, 99))) if draw.random() < 0.02 else (0, 0)
        claimed = draw.choice(SIZES) if draw.random() < 0.03 else len(data)
        at = draw.choice((0, local.tell(), 2**31)) if draw.random() < 0.03 else local.tell()
        common = struct.pack("<HHHHHIII", 20, flags, method, 0, 0, 0, claimed, claimed)
        extra = draw.choice((0, 0, 0, 5))
        local.write(b"PK\x03\x04" + common + struct.pack("<HH", len(raw), extra) + raw + bytes(extra) + data)
        tail = struct.pack("<HHHHHII", len(raw), 0, 0, 0, 0, 0, at)
        central.write(b"PK\x01\x02" + struct.pack("<H", 20) + common + tail + raw)
    start, size, count = local.tell(), len(central.getvalue()), len(entries)
    if draw.random() < 0.06:
        size, count = draw.choice(SIZES), draw.choice((0, 1, 65535))
    if draw.random() < 0.04:
        start = draw.choice(SIZES)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, size, start, 0)
    if draw.random() < 0.06:
        wide = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, draw.choice((2**62, size)), start)
        where = local.tell() + len(central.getvalue())
        end = b"PK\x06\x06" + wide + b"PK\x06\x07" + struct.pack("<IQI", 0, where, 1) + end
    return cut(local.getvalue() + central.getvalue() + end, draw)


def legacy(draw: random.Random) -> bytes:
    """The stream of pickles that ``torch.save`` wrote before 1.6."""
    content, storages = state_dict(draw)
    sizes = {"short": 2, "int": 4, "long": 4}
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, machine)]
    keys = pickle.dumps(list(storages), 2) if draw.random() < 0.9 else b"\x80\x02" + evil(draw) + b"."
    parts += [content, keys]
    if draw.random() < 0.15:
        parts[draw.randrange(len(parts))] = b"\x80\x02" + evil(draw) + b"."
    for size in storages.values():
        claimed = draw.choice((size // 4,) * 12 + (-1, 2**61, 2**63 - 1, 10**9))
        parts.append(claimed.to_bytes(8, "little", signed=True) + bytes(size))
    return cut(b"".join(parts), draw)


# --- msgpack ---------------------------------------------------------------------------------------------------------
def packed(value: object) -> bytes:
    """MessagePack of texts, numbers, lists, maps, and what is packed already (bytes)."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool) or value is None:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return b"\xd3" + struct.pack(">q", value) if -(2**63) <= value < 2**63 else b"\xcf" + b"\xff" * 8
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        content = value.encode("utf-8", "surrogatepass")
        return b"\xdb" + struct.pack(">I", len(content)) + content
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(packed, value))
    pairs = value.items()  # type: ignore[attr-defined]
    return b"\xdf" + struct.pack(">I", len(pairs)) + b"".join(packed(each) for pair in pairs for each in pair)


def leaf(draw: random.Random) -> bytes:
    shape: list[object] = [draw.choice((1, 2, 3)) for _ in range(draw.randrange(3))]
    size = 4
    for extent in shape:
        size *= extent  # type: ignore[operator]
    if draw.random() < 0.1:
        shape = [draw.choice(NUMBERS) for _ in range(draw.choice((1, 3, 40)))]
    dtype = draw.choice(("float32",) * 9 + ("float8", "object", ""))
    data = b"\xc6" + struct.pack(">I", draw.choice(SIZES) if draw.random() < 0.06 else size) + bytes(size)
    body = [packed(shape), packed(dtype), data]
    if draw.random() < 0.08:
        body[draw.randrange(3)] = packed_wrong(draw)
    content = b"\x93" + b"".join(body) if draw.random() < 0.95 else b"\xdd\xff\xff\xff\xff" + body[0]
    length = len(content) if draw.random() < 0.95 else draw.choice(SIZES)
    return b"\xc9" + struct.pack(">I", length) + bytes([draw.choice((1,) * 9 + (0, 3, 99))]) + content


def packed_wrong(draw: random.Random) -> bytes:
    return draw.choice(
        (
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b"\x91" * 200,
            b"\x81\xa1a" * 100,
            b"\xc1",
            b"\xdd\x00\x00\x27\x10" + b"\xc0" * 10_000,
            packed(2**62),
            packed("x" * 5000),
            b"\xd9\x02\xff\xff",
            b"\xca\x7f\xc0\x00\x00",
            b"\xc7\x00\x01",
            b"\xd4\x01\x00",
        )
    )


def msgpack(draw: random.Random) -> bytes:
    def tree(depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        for index in range(draw.choice((0, 1, 2, 4))):
            name = f"layers{index}" if draw.random() < 0.9 else draw.choice(TEXTS)
            kind = draw.random()
            if kind < 0.4 and depth < 4:
                found[name] = tree(depth + 1)
            elif kind < 0.5:
                count = draw.choice((0, 1, 3))
                chunks = {str(place): leaf(draw) for place in range(count)}
                shape = {"0": draw.choice((1, 2, *NUMBERS[:4]))}
                found[name] = {"__msgpack_chunked_array__": True, "shape": shape, "chunks": chunks}
            elif kind < 0.93:
                found[name] = leaf(draw)
            else:
                found[name] = packed_wrong(draw)
        return found

    content = packed(tree(0))
    return cut(content if draw.random() < 0.9 else content + draw.choice((b"\xc0", packed_wrong(draw))), draw)


# --- HDF5 ------------------------------------------------------------------------------------------------------------
def hdf5(draw: random.Random) -> bytes:
    import h5py
    import numpy as np

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        group = file
        for index in range(draw.choice((0, 1, 2, 5))):
            name = f"model{index}"
            does = draw.randrange(16)
            if does == 0:
                group[name] = h5py.ExternalLink(draw.choice(("/etc/passwd", "other.h5", "/dev/zero")), "/x")
            elif does == 1:
                group[name] = h5py.SoftLink(draw.choice(("/", f"/{name}", "/nowhere", ".")))
            elif does == 2:
                kind = np.dtype([("a", "f4"), ("b", "i8")])
                group.create_dataset(name, data=np.zeros(2, kind))
            elif does == 3:
                shape = draw.choice(((10**9,), (10**6, 10**6), (2**40,), (1, 2**33)))
                group.create_dataset(
                    name, shape=shape, dtype="f4", chunks=tuple(min(64, s) for s in shape), fillvalue=1.0
                )
            elif does == 4:
                group.create_dataset(
                    name, shape=(1,), dtype="f4", maxshape=(None,), chunks=(draw.choice((1, 2**20, 2**29)),)
                )
            elif does == 5:
                layout = h5py.VirtualLayout(shape=(2,), dtype="f4")
                layout[:] = h5py.VirtualSource("other.h5", "x", shape=(2,))
                group.create_virtual_dataset(name, layout)
            elif does == 6:
                group.create_dataset(name, data=draw.choice(("text", b"bytes", True, 2, 1j)))
            elif does == 7:
                group.create_dataset(name, data=h5py.Empty("f4"))
            elif does == 8:
                group.create_dataset(name, shape=(2,), dtype=h5py.ref_dtype)
            elif does == 9:
                group.create_dataset(name, data=np.zeros((50, 50), "f4"), compression="gzip", shuffle=True)
            elif does == 10:
                group.create_dataset(name, (2,), "f4", external=[("/etc/passwd", 0, 8)])
            elif does == 11:
                group = group.create_group(name)
                group["again"] = file["/"]
            elif does == 12:
                group.attrs[name] = draw.choice(("x" * 1000, np.zeros(100), 10**18))
            else:
                group.create_dataset(f"{name}/kernel:0", data=np.ones((2, 3), "f4"))
    content = bytearray(stream.getvalue())
    if draw.random() < 0.35:
        for _ in range(draw.choice((1, 1, 3, 20))):
            at = draw.randrange(len(content) if draw.random() < 0.3 else min(len(content), 2000))
            content[at] = draw.choice((0, 1, 255, draw.randrange(256)))
    return cut(bytes(content), draw)


FILES = {
    "safetensors": ("model.safetensors", safetensors),
    "zip": ("pytorch_model.bin", zipped),
    "legacy": ("pytorch_model.bin", legacy),
    "msgpack": ("flax_model.msgpack", msgpack),
    "h5": ("tf_model.h5", hdf5),
}
"""By format: the file's name, and what makes its content."""


def write_index(place: Path, draw: random.Random) -> None:
    """An index of shards; the one that is there is small and whole."""
    index = {"metadata": {"total_size": 4}, "weight_map": {"model.x": "model-00001-of-00001.safetensors"}}
    names = (
        *TEXTS,
        "/etc/passwd",
        "../x",
        ".",
        "..",
        "model.safetensors.index.json",
        "a" * 300,
        "config.json",
        "\udc80",
    )
    if draw.random() < 0.5:
        index["weight_map"] = {f"x{number}": draw.choice(names) for number in range(draw.randrange(4))}
    data = altered(index, draw) if draw.random() < 0.5 else index
    (place / "model.safetensors.index.json").write_bytes(
        json.dumps(data if draw.random() < 0.9 else wrong(draw)).encode()
    )
    header = json.dumps({"model.x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (place / "model-00001-of-00001.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
