"""JAX's settings, and arrays to and from numpy; shared by the two JAX backends."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from parity.core.subject import Variant


def set_up(threads: int, device: str, cache: Path) -> None:
    """Platform, size of the CPU thread pool, and the compilation cache; before JAX computes anything.

    Compiled programs are stored under ``cache/xla``: a small model spends most of its time compiling.
    """
    # Read when the CPU client starts (jaxlib, xla/pjrt/cpu); there is no other way to set it.
    os.environ.update(NPROC=str(threads), PJRT_NPROC=str(threads), TF_CPP_MIN_LOG_LEVEL="3")
    os.environ["JAX_PLATFORMS"] = "cpu" if device == "cpu" else "cuda,cpu"
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def precision(variant: Variant) -> AbstractContextManager[Any]:
    """The variant's matmul precision while a call is compiled: the highest, or the framework's default.

    The highest is spelled ``float32`` here, which JAX 0.4.26 knows and which later releases read as ``highest``.
    """
    import jax

    return jax.default_matmul_precision(None if variant.default_precision else "float32")


def as_arrays(inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Integers as int32, JAX's default; floats as float32."""
    import jax.numpy as jnp

    def kind(array: np.ndarray) -> Any:
        return jnp.int32 if np.issubdtype(array.dtype, np.integer) else jnp.float32

    return {name: jnp.asarray(array, dtype=kind(array)) for name, array in inputs.items()}


def on_host(value: Any) -> tuple[np.ndarray, str]:
    """The values on the host and the dtype they had; bfloat16 widened to float32."""
    array = np.asarray(value)
    dtype = array.dtype.name
    return (array.astype(np.float32) if dtype == "bfloat16" else array), dtype
