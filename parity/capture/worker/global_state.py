"""Global state that a task can leave changed for later tasks in its process: settings, which are compared, and random
states, which are seeded before each load and each case.

A framework's settings are read only if it has been imported, through ``sys.modules``: nothing is imported here. The
settings before the import of a framework are unknown, so an import by itself is not a change.
"""

from __future__ import annotations

import hashlib
import locale
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Setting = tuple[str, Callable[[], Any]]
ENVIRONMENT = "environ."
"""Prefix of settings that are environment variables."""
FOLDERS = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Variables that PyTorch sets when it first needs a compilation folder; they affect no result."""
JAX_OPTIONS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_dtype_bits",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_disable_jit",
    "jax_debug_nans",
    "jax_debug_infs",
    "jax_default_device",
)
"""Settings of ``jax.config`` that affect numbers, or whether there are any."""


class GlobalState:
    """A snapshot of this process's settings.

    Args:
        own: names of settings that the backend's adapter sets before each load or call that depends on them
            (``sets_before_use`` of its class), so that changes do not affect later tasks.
    """

    def __init__(self, own: Sequence[str] = ()) -> None:
        self._own = frozenset(own)
        self._settings = self._read()

    def changed(self, beginning: bool) -> list[str]:
        """Names of the changed settings, sorted.

        Args:
            beginning: whether this was the first task of the process. Frameworks add environment variables when they
                are imported on demand; every process gets them, so they do not count as changes.
        """
        now, before = self._read(), self._settings
        names = {name for name in before.keys() & now.keys() if before[name] != now[name]}
        names |= {name for name in before.keys() - now.keys() if name.startswith(ENVIRONMENT)}
        if not beginning:
            names |= {name for name in now.keys() - before.keys() if name.startswith(ENVIRONMENT)}
        return sorted(names)

    def _read(self) -> dict[str, Any]:
        found = {f"{ENVIRONMENT}{name}": value for name, value in os.environ.items() if name not in FOLDERS}
        for name, read in _settings():
            if name not in self._own:
                try:
                    found[name] = read()
                except (AttributeError, RuntimeError):  # this framework version has no such setting
                    continue
        return found


def _settings() -> Iterator[Setting]:
    yield "cwd", os.getcwd
    yield "locale", lambda: locale.setlocale(locale.LC_ALL)
    yield "signals", lambda: tuple(map(signal.getsignal, sorted(signal.valid_signals())))
    yield "numpy.errors", np.geterr
    yield "numpy.print", lambda: repr(np.get_printoptions())
    if (torch := _module("torch")) is not None:
        yield from _of_torch(torch)
    if (jax := _module("jax")) is not None:
        for option in JAX_OPTIONS:
            yield f"jax.{option}", lambda option=option: getattr(jax.config, option)
    if (tensorflow := _module("tensorflow")) is not None:
        yield from _of_tensorflow(tensorflow)


def _of_torch(torch: Any) -> Iterator[Setting]:
    yield "torch.default_dtype", torch.get_default_dtype
    yield "torch.default_device", lambda: str(torch.get_default_device())
    yield "torch.threads", torch.get_num_threads
    yield "torch.interop_threads", torch.get_num_interop_threads
    yield "torch.grad", torch.is_grad_enabled
    yield "torch.inference", torch.is_inference_mode_enabled
    yield "torch.anomaly", torch.is_anomaly_enabled
    yield "torch.autocast", torch.is_autocast_enabled
    yield "torch.deterministic", torch.are_deterministic_algorithms_enabled
    yield "torch.matmul_precision", torch.get_float32_matmul_precision
    yield "torch.matmul_tf32", lambda: torch.backends.cuda.matmul.allow_tf32
    yield "torch.cudnn_tf32", lambda: torch.backends.cudnn.allow_tf32
    yield "torch.cudnn_deterministic", lambda: torch.backends.cudnn.deterministic
    yield "torch.cudnn_benchmark", lambda: torch.backends.cudnn.benchmark
    yield "torch.cudnn", lambda: torch.backends.cudnn.enabled
    yield "torch.mkldnn", lambda: torch._C._get_mkldnn_enabled()
    for kind in ("flash", "mem_efficient", "math", "cudnn"):
        yield f"torch.sdp_{kind}", lambda kind=kind: getattr(torch.backends.cuda, f"{kind}_sdp_enabled")()


def _of_tensorflow(tensorflow: Any) -> Iterator[Setting]:
    yield "tensorflow.eager", tensorflow.config.functions_run_eagerly
    yield "tensorflow.tf32", tensorflow.config.experimental.tensor_float_32_execution_enabled
    yield "tensorflow.threads", tensorflow.config.threading.get_intra_op_parallelism_threads
    yield "tensorflow.interop_threads", tensorflow.config.threading.get_inter_op_parallelism_threads
    for name in ("tf_keras", "keras"):
        if (keras := _module(name)) is not None:
            yield f"{name}.float", keras.backend.floatx
            yield f"{name}.epsilon", keras.backend.epsilon
            yield f"{name}.image_format", keras.backend.image_data_format
            yield f"{name}.policy", lambda keras=keras: keras.mixed_precision.global_policy().name


def _module(name: str) -> Any:
    """A fully imported module; None otherwise."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return None if spec is None or getattr(spec, "_initializing", False) else module


def seed_random(*names: str) -> None:
    """Seeds the random states of every imported framework.

    A library initialises parameters that the file lacks at random, and draws masks where dropout is left on. With seeds
    from what is computed, a result depends neither on the process nor on the cases before it. Cases have different
    seeds: with the same one, dropout would draw the same mask in each, and two calls that are compared would agree.

    Args:
        names: what identifies the numbers to be drawn, such as the digest of a case.
    """
    number = int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:7], "big")
    np.random.seed(number % 2**32)
    random.seed(number)
    if (torch := _module("torch")) is not None:
        torch.default_generator.manual_seed(number)
    if (tensorflow := _module("tensorflow")) is not None:
        tensorflow.random.set_seed(number % 2**31)
