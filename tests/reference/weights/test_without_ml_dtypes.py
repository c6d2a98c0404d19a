"""An environment of PyTorch alone has no ``ml_dtypes``, which JAX and TensorFlow bring: bfloat16 is carried as bits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from parity.core.resources import fixture
from reference.in_torch.loading import from_host

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import sys
sys.modules["ml_dtypes"] = None
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import numpy as np, torch
from reference import in_torch
from reference.weights import BFLOAT16
assert BFLOAT16 == np.uint16
model = in_torch.load(Path(sys.argv[2]), dtype="float64")
for name, tensor in model.state_dict().items():
    print(name, repr(tensor.sum().item()))
"""


def test_bits_are_no_numbers():
    tensor = torch.tensor([1.5, -3.0, 0.0], dtype=torch.bfloat16)
    assert torch.equal(from_host(tensor.view(torch.uint16).numpy()), tensor)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_a_bfloat16_checkpoint_is_the_same_model(tmp_path, form):
    source = fixture("bart-odd")
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    weights = {name: tensor.bfloat16() for name, tensor in load_file(source / "model.safetensors").items()}
    if form == "bin":
        torch.save(weights, tmp_path / "pytorch_model.bin")
    else:
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    command = [sys.executable, "-c", SCRIPT, str(ROOT), str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    sums = dict(zip(found[::2], map(float, found[1::2]), strict=True))
    from reference import in_torch

    expected = in_torch.load(tmp_path, dtype="float64").state_dict()
    assert set(sums) == set(expected)
    for name, tensor in expected.items():
        assert np.isclose(sums[name], tensor.sum().item(), rtol=1e-12, atol=1e-12), name
