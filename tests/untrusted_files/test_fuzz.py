"""Inputs made by structure, a few hundred, and what once broke something.

``python -m tests.untrusted_files.fuzz`` tries 20,000.
"""

from __future__ import annotations

import os
import signal
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from reference.errors import CheckpointError
from reference.weights import find_weights, hdf5_file, open_weights, read_weights
from tests.untrusted_files import fuzz
from tests.untrusted_files.subjects import CONFIG, READERS, Reader
from tests.untrusted_files.weights import doubled, packed, sizes

CORPUS = Path(__file__).with_name("corpus")


def test_every_reader_accepts_or_refuses_by_one_line():
    pytest.importorskip("h5py", reason="writes tf_model.h5")
    tally = fuzz.run(fuzz.spread(20 * len(READERS)), seed=18)
    assert not tally.failures and tally.outcomes.total() == 20 * len(READERS)
    for name in READERS:
        assert tally.outcomes[name, "refused"], name
    assert tally.slowest[0] < fuzz.SECONDS and tally.largest[0] < fuzz.MEGABYTES


@pytest.mark.parametrize(
    ("does", "why"),
    [
        (lambda _: 1 / 0, "ZeroDivisionError"),
        (lambda _: os.kill(os.getpid(), signal.SIGKILL), "the process ended or hung"),
        (lambda _: _spin(), "more than 1.0 seconds|1 seconds|hung"),
        (lambda _: bytearray(200 << 20), "200 MB|201 MB|199 MB"),
        (lambda _: (_ for _ in ()).throw(_two_lines()), "a message of several lines"),
    ],
)
def test_what_is_neither_is_a_failure(monkeypatch, does, why):
    monkeypatch.setattr(fuzz, "SECONDS", 1.0)
    monkeypatch.setattr(fuzz, "MEGABYTES", 100)
    monkeypatch.setitem(READERS, "odd", Reader(lambda place, draw: None, does))
    tally = fuzz.run([("odd", 0), ("config", 1)], seed=1)
    assert len(tally.failures) == 1 and any(word in tally.failures[0] for word in why.split("|"))
    assert tally.outcomes.total() == 2


def _spin() -> None:
    while True:
        pass


def _two_lines() -> CheckpointError:
    error = CheckpointError("x", "y")
    error.args = ("x\ny",)
    return error


def opened(place):
    known, files = find_weights(place)
    return open_weights(known, files)


def test_a_file_that_ends_the_library_is_refused(tmp_path):
    pytest.importorskip("h5py", reason="reads tf_model.h5")
    (tmp_path / "tf_model.h5").write_bytes((CORPUS / "ends-the-library.h5").read_bytes())
    with pytest.raises(CheckpointError, match="not a readable HDF5 file: the library ended"):
        read_weights(tmp_path, CONFIG, "h5")


def in_chunks(place, megabytes):
    h5py = pytest.importorskip("h5py", reason="reads tf_model.h5")
    with h5py.File(place / "tf_model.h5", "w") as file:
        file.create_dataset("model/kernel:0", data=np.ones((megabytes, 1 << 18), np.float32), chunks=(1, 1 << 18))
    return opened(place)


def test_a_dataset_in_chunks_is_read_in_time_that_grows_with_its_size(tmp_path):
    """It comes through a pipe in hundreds of pieces, each of which was put to all before it."""
    whole = in_chunks(tmp_path, 48)
    began = time.process_time()
    assert whole.tensors["model/kernel:0"].read().sum() == 48 << 18
    assert time.process_time() - began < 2


def test_the_process_that_reads_hdf5_is_started_again_where_it_was_ended(tmp_path):
    whole = in_chunks(tmp_path, 1)
    os.kill(hdf5_file._CHILD.process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, hdf5_file._CHILD.process.pid, os.WEXITED | os.WNOWAIT)
    assert whole.tensors["model/kernel:0"].read().all()


def test_a_process_that_gives_no_answer_is_ended(tmp_path, monkeypatch):
    whole = in_chunks(tmp_path, 1)
    monkeypatch.setattr(hdf5_file, "_SECONDS", 0.1)
    process = hdf5_file._CHILD.process
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(CheckpointError, match="not a readable HDF5 file: is not read in time"):
        whole.tensors["model/kernel:0"].read()
    assert process.returncode == -signal.SIGKILL


def test_an_answer_has_a_limit_of_its_own_for_memory(tmp_path):
    """A file says how large it is, and who believes it takes no more than is due."""
    h5py = pytest.importorskip("h5py", reason="reads tf_model.h5")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (700, 1 << 18), np.float32, chunks=(1, 1 << 18))
    with pytest.raises(CheckpointError, match="not a readable HDF5 file: "):
        hdf5_file._requested(tmp_path / "x.h5", "read", str(tmp_path / "x.h5"), "x", 0, 0)


def pickled(place, *parts):
    """A file of the older format whose state dict is the pickle made of these."""
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    machine = b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s."
    file = place / "pytorch_model.bin"
    file.write_bytes(magic + b"\x80\x02M\xe9\x03." + machine + b"".join(parts) + b"\x80\x02].")
    return file


def one_tensor(shape, stride, key=b"X\x01\x00\x00\x000"):
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + key + b"X\x03\x00\x00\x00cpuK\x01tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape + stride + b"\x89)tR"
    return b"\x80\x02}(X\x01\x00\x00\x00x" + call + b"u."


ONE_HASH = range(0, 20_000 * (2**61 - 1), 2**61 - 1)
"""Numbers that Python gives one hash."""


@pytest.mark.parametrize(
    "state",
    [
        one_tensor(doubled(60), b")"),
        one_tensor(b")", doubled(60)),
        one_tensor(b")", b")", doubled(60)),
        b"\x80\x02}(" + doubled(60) + b"\x85Nu.",
        b"\x80\x02" + b"(" * 100_000,
        b"\x80\x02]" + b"(" * 20_000 + b"e" * 20_000 + b".",
        b"\x80\x02}(" + b"".join(b"\x8a\x0a" + key.to_bytes(10, "little") + b"N" for key in ONE_HASH) + b"u.",
        b"\x80\x02X\xff\xff\xff\xff",
        b"\x80\x02I" + b"9" * 100_000 + b"\n.",
    ],
    ids=["shape", "stride", "storage", "key", "marks", "nested marks", "one hash", "length", "digits"],
)
def test_a_pickle_that_asks_for_endless_work_is_refused_at_once(tmp_path, state):
    pickled(tmp_path, state)
    began = time.process_time()
    with pytest.raises(CheckpointError) as error:
        opened(tmp_path)
    assert time.process_time() - began < 3 and len(str(error.value)) < 1000


def test_a_view_larger_than_its_storage_is_refused(tmp_path):
    state = one_tensor(sizes([10**12]), sizes([0]))
    data = (1).to_bytes(8, "little") + bytes(4)
    file = pickled(tmp_path, state)
    file.write_bytes(file.read_bytes()[: -len(b"\x80\x02].")] + b"\x80\x02](X\x01\x00\x00\x000e." + data)
    with pytest.raises(CheckpointError, match="its tensors need 4,000,000,000,000 bytes, more than 16 times"):
        opened(tmp_path)


def test_many_chunk_markers_take_a_moment(tmp_path):
    """Each was looked for among all the others."""
    leaf = b"\xc7\x13\x01\x93\x91\x01\xa7float32\xc4\x04" + bytes(4)
    leaf = b"\xc7" + bytes([len(leaf) - 3]) + leaf[2:]
    cut = packed({"__msgpack_chunked_array__": True, "shape": {"0": 1}, "chunks": {"0": leaf}})
    pairs = b"".join(packed(f"layer{number}") + cut for number in range(2_000))
    (tmp_path / "flax_model.msgpack").write_bytes(b"\xdf" + struct.pack(">I", 2_000) + pairs)
    began = time.process_time()
    assert len(opened(tmp_path).tensors) == 2_000
    assert time.process_time() - began < 3
