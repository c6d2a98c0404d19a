"""Weight files that cannot be read: one line that names the file and the cause, whatever the damage; nothing is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from reference.config import BartConfig
from reference.errors import CheckpointError
from reference.weights import FORMATS, hdf5_file, read_weights
from tests.profiles import examples

OPEN = {known.name: known for known in FORMATS}
CONFIG = BartConfig.from_dict({"model_type": "bart"})
ARRAYS = {"x.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "y.bias": np.ones(4, np.float16)}


def small_file(kind):
    """A tiny file of each format, as its own library writes it."""
    if kind == "safetensors":
        return "safetensors", save(ARRAYS, metadata={"format": "pt"})
    if kind.startswith("bin"):
        torch = pytest.importorskip("torch", reason="writes pytorch_model.bin")
        stream = io.BytesIO()
        tensors = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
        torch.save(tensors, stream, _use_new_zipfile_serialization=kind == "bin")
        return "bin", stream.getvalue()
    if kind == "h5":
        h5py = pytest.importorskip("h5py", reason="writes tf_model.h5")
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            for name, array in ARRAYS.items():
                file.create_dataset(f"model/{name}/kernel:0", data=array)
        return "h5", stream.getvalue()
    flax = pytest.importorskip("flax.serialization", reason="writes flax_model.msgpack")
    return "msgpack", flax.msgpack_serialize({"a": {"kernel": ARRAYS["x.weight"], "bias": ARRAYS["y.bias"]}})


@pytest.fixture(scope="module", params=["safetensors", "bin", "bin-legacy", "h5", "msgpack"])
def small(request, tmp_path_factory):
    """Format, bytes, and a place to write damaged copies to."""
    known, content = small_file(request.param)
    return OPEN[known], content, tmp_path_factory.mktemp("damaged") / OPEN[known].file


def read_all(known, path, content):
    """Reads everything of a file with this content; how many tensors, or None where it got its one line."""
    path.write_bytes(content)
    try:
        tensors = known.open(path).tensors
        for stored in tensors.values():
            assert stored.read().shape == stored.shape
    except CheckpointError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error) and len(str(error)) < 400
        return None
    return len(tensors)


def test_the_whole_file_is_read(small):
    known, content, path = small
    assert read_all(known, path, content) == 2


def test_every_truncation_is_told(small):
    known, content, path = small
    lengths = range(0, len(content), max(1, len(content) // 600))
    assert [length for length in lengths if read_all(known, path, content[:length]) is not None] == []


@examples(150)
@given(data=st.data())
def test_any_damage_is_told_or_harmless(small, data):
    known, content, path = small
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read_all(known, path, bytes(damaged))


def test_a_name_that_is_no_utf8_is_told(tmp_path):
    known, content = small_file("h5")
    # The old HDF5 layout keeps names in a heap without a checksum, so one byte makes another name of it.
    path, damaged = tmp_path / "tf_model.h5", content.replace(b"bias", b"bi\xaes")
    assert damaged != content
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="UTF-8"):
        OPEN[known].open(path)


def test_two_thousand_damaged_pickles(tmp_path):
    """A file that is little else than pickles, so that most damage meets the machine; the seed is fixed."""
    known, content = small_file("bin-legacy")
    draw, told = random.Random(3), 0
    for _ in range(2000):
        damaged = bytearray(content)
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        told += read_all(OPEN[known], tmp_path / "pytorch_model.bin", bytes(damaged)) is None
    assert told > 1000


@examples(100)
@given(content=st.binary(max_size=200))
def test_garbage_is_told(small, content):
    known, _, path = small
    assert read_all(known, path, content) is None or content == b"\x80"  # an empty map is a MessagePack file


class Malicious:
    """What a pickle can ask for when it is run."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_malicious_pickle_runs_nothing_and_is_named(tmp_path, protocol, zipped):
    torch = pytest.importorskip("torch", reason="writes pytorch_model.bin")
    witness, path = tmp_path / "witness", tmp_path / "pytorch_model.bin"
    content = {"x": torch.ones(2), "evil": Malicious(os.system, f"touch {witness}")}
    torch.save(content, path, pickle_protocol=max(protocol, 1), _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        CheckpointError, match=rf"pytorch_model\.bin: the pickle refers to {os.system.__module__}\.system"
    ):
        read_weights(tmp_path, CONFIG)
    assert not witness.exists()
    torch.load(path, weights_only=False)
    assert witness.exists(), "the pickle is not malicious, so the test shows nothing"


@pytest.mark.parametrize(
    ("forbidden", "name"),
    [
        (Malicious(eval, "1"), "__builtin__.eval"),
        (Malicious(__import__, "os"), "__builtin__.__import__"),
        (Malicious(getattr, "x", "upper"), "__builtin__.getattr"),
        (Malicious(pickle.loads, b"N."), "pickle.loads"),
        (Malicious(np.load, "x"), "numpy.load"),
    ],
)
def test_every_other_global_is_forbidden(tmp_path, forbidden, name):
    torch = pytest.importorskip("torch", reason="writes pytorch_model.bin")
    torch.save(OrderedDict(x=forbidden), tmp_path / "pytorch_model.bin")
    cause = rf"the pickle refers to {name}, which weight files do not need; nothing was executed"
    with pytest.raises(CheckpointError, match=cause):
        read_weights(tmp_path, CONFIG)


def header(entries, data=b""):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(begin, end, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"abc", "truncated: 3 bytes"),
        ((1 << 40).to_bytes(8, "little") + b"{}", "header of 1099511627776 bytes is larger than the file (10 bytes)"),
        (header([]), "header is not a JSON object"),
        ((4).to_bytes(8, "little") + b"oops", "header is not JSON"),
        (header({"a": entry(0, 4)}), "truncated: tensors need 4 bytes, 0 are there"),
        (header({"a": entry(0, 4)}, bytes(6)), "2 unused bytes after the last tensor"),
        (header({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)), "tensors 'a' and 'b' overlap at data offset 2"),
        (
            header({"a": entry(0, 4), "b": entry(6, 10)}, bytes(10)),
            "tensor 'b' is misaligned: 2 unused bytes before it",
        ),
        (header({"a": entry(0, 6)}, bytes(6)), "tensor 'a' is misaligned: offsets [0, 6] hold 6 bytes"),
        (header({"a": entry(0, 4, dtype="F8_E4M3")}, bytes(4)), "tensor 'a' has the unknown dtype 'F8_E4M3'"),
        (header({"a": entry(0, 4, (-1,))}, bytes(4)), "tensor 'a' has no usable shape"),
        (header({"a": entry(0, 4, (1 << 40, 1 << 40))}, bytes(4)), "tensor 'a' has no usable shape"),
        (header({"a": entry(4, 0)}, bytes(4)), "tensor 'a' is misaligned"),
        (header({"a": 1}), "tensor 'a' lacks dtype, shape or data_offsets"),
        (header({"__metadata__": {"format": "mlx"}}), "metadata names the format 'mlx'"),
        (
            (20).to_bytes(8, "little") + b'{"a": {}, "a": {}  }',
            "header is not JSON that can be read: it names 'a' twice",
        ),
    ],
)
def test_damaged_safetensors_are_told(tmp_path, content, cause):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        read_weights(tmp_path, CONFIG)
    assert str(error.value).startswith(f"{tmp_path / 'model.safetensors'}: {cause}")


def test_a_directory_without_weights_is_told(tmp_path):
    with pytest.raises(CheckpointError, match=r"no weight file: none of model\.safetensors, pytorch_model\.bin, tf_"):
        read_weights(tmp_path, CONFIG)
    with pytest.raises(CheckpointError, match=r"no weight file: none of tf_model\.h5, unsharded or sharded$"):
        read_weights(tmp_path, CONFIG, format="h5")


@pytest.mark.parametrize(
    ("index", "cause"),
    [
        ({"weight_map": {"a": "model-2.safetensors"}}, "names the shard model-2.safetensors, which is missing"),
        ({"weight_map": {"a": "../x.safetensors"}}, "names the shard '../x.safetensors', which lies outside"),
        ({"weight_map": {"a": "/etc/passwd"}}, "names the shard '/etc/passwd', which lies outside"),
        ({"weight_map": {}}, "no usable weight_map"),
        ({"weight_map": {"a": 1}}, "no usable weight_map"),
        ([], "no usable weight_map"),
    ],
)
def test_a_broken_index_is_told(tmp_path, index, cause):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError) as error:
        read_weights(tmp_path, CONFIG)
    assert str(error.value).startswith(f"{tmp_path / 'model.safetensors.index.json'}: {cause}")


def test_a_tensor_in_two_shards_is_told(tmp_path):
    names = ["model-1.safetensors", "model-2.safetensors"]
    for name in names:
        (tmp_path / name).write_bytes(save({"a": np.ones(1, np.float32)}))
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"model-2\.safetensors: tensor 'a' is in another shard too"):
        read_weights(tmp_path, CONFIG)


def test_data_of_another_file_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py", reason="writes tf_model.h5")
    (tmp_path / "secret").write_bytes(bytes(64))
    with h5py.File(tmp_path / "tf_model.h5", "w") as file:
        file.create_dataset("x", (4,), "<f4", external=[(str(tmp_path / "secret"), 0, 16)])
    with pytest.raises(CheckpointError, match="tensor 'x' takes its data from another file"):
        read_weights(tmp_path, CONFIG)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    # It is used in a process of its own, which finds this in its place.
    (tmp_path / "h5py.py").write_text("raise ImportError('none here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(hdf5_file, "_CHILD", hdf5_file._Child())
    (tmp_path / "tf_model.h5").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"tf_model\.h5: needs the package h5py, which is not installed"):
        read_weights(tmp_path, CONFIG)


def test_arrays_cut_into_chunks_are_joined(tmp_path, monkeypatch):
    flax = pytest.importorskip("flax.serialization", reason="writes flax_model.msgpack")
    monkeypatch.setattr(flax, "MAX_CHUNK_SIZE", 40)
    large = np.arange(99, dtype=np.float32).reshape(9, 11)
    path = tmp_path / "flax_model.msgpack"
    path.write_bytes(flax.msgpack_serialize({"shared": {"embedding": large.copy(), "bias": ARRAYS["y.bias"]}}))
    tensors = OPEN["msgpack"].open(path).tensors
    assert set(tensors) == {"shared/embedding", "shared/bias"}
    np.testing.assert_array_equal(tensors["shared/embedding"].read(), large)


def test_a_file_cut_after_it_was_opened_is_told(tmp_path):
    path = tmp_path / "model.safetensors"
    content = save(ARRAYS, metadata={"format": "pt"})
    path.write_bytes(content)
    stored = OPEN["safetensors"].open(path).tensors
    path.write_bytes(content[:-30])
    with pytest.raises(CheckpointError, match="truncated"):
        [tensor.read() for tensor in stored.values()]
