"""PyTorch's settings, and tensors to and from numpy; shared by the two PyTorch backends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from parity.core.subject import Variant

SETS_BEFORE_USE = ("torch.threads", "torch.cudnn_tf32")
"""The settings that ``compute_as`` changes, by their names in ``parity.capture.worker.global_state``."""


def set_deterministic(threads: int) -> None:
    """Fixed thread counts; called once, before anything is computed."""
    import torch

    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        torch.set_num_interop_threads(1)


def compute_as(variant: Variant, threads: int) -> None:
    """The variant's threads and matmul precision; both are global, so they are set before every call.

    TF32 is off unless the variant asks for the default precision. The defaults are PyTorch 2's: off for products,
    on inside cuDNN (https://pytorch.org/docs/stable/notes/cuda.html, "TensorFloat-32").
    """
    import torch

    wanted = 1 if variant.one_thread else threads
    if torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = variant.default_precision


def as_tensors(inputs: Mapping[str, np.ndarray], device: Any, dtype: Any) -> dict[str, Any]:
    """Inputs on the device: integers as int64, float ones (head masks) in the model's dtype, as its products need."""
    import torch

    tensors = {}
    for name, array in inputs.items():
        tensor = torch.from_numpy(np.array(array))
        tensors[name] = tensor.to(device, dtype if tensor.is_floating_point() else torch.int64)
    return tensors


def on_host(tensor: Any) -> tuple[np.ndarray, str]:
    """The values on the host and their dtype; bfloat16, which numpy lacks, widened to float32."""
    import torch

    if isinstance(tensor, np.ndarray):
        tensor = _from_bits(tensor)
    dtype = str(tensor.dtype).removeprefix("torch.")
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy(), dtype


def sharing_storage(named: Iterable[tuple[str, Any]]) -> list[list[str]]:
    """Groups of names whose tensors share storage and shape.

    Args:
        named: names and tensors, none of which is on the meta device.
    """
    stores: dict[tuple[Any, ...], list[str]] = {}
    for name, tensor in named:
        # By address alone, empty tensors would appear tied to any tensor.
        stores.setdefault((tensor.data_ptr(), tuple(tensor.shape)), []).append(name)
    return [names for names in stores.values() if len(names) > 1]


def _from_bits(array: np.ndarray) -> Any:
    """The tensor of an array that ``bits_on_host`` made."""
    import torch

    if array.dtype.name not in ("bfloat16", "uint16"):
        return torch.from_numpy(array)
    return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)


def bits_on_host(tensor: Any) -> np.ndarray:
    """The tensor's bits, unchanged: bfloat16 as ``ml_dtypes.bfloat16`` or, without that package, as uint16."""
    import torch

    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype != torch.bfloat16:
        return tensor.numpy()
    bits = tensor.view(torch.int16).numpy().view(np.uint16)
    try:
        import ml_dtypes
    except ImportError:
        return bits
    return bits.view(ml_dtypes.bfloat16)
