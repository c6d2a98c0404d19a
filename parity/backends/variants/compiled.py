"""``torch.compile`` of the documented model, with dynamic shapes and no graph breaks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from parity.backends.hf.torch_backend import HfTorch, HfTorchModel
from parity.core.subject import Variant

RECOMPILATIONS = 32
"""Graphs of one function. Lengths share a graph; other inputs, a batch of one row and one token need their own."""


class _Compiled(HfTorch):
    compiler = ""

    def setup(self, *, threads: int, device: str, cache: Path, converts: bool = False) -> None:
        super().setup(threads=threads, device=device, cache=cache, converts=converts)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache / "inductor")
        # Further processes would be children of a worker that may be killed.
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"

    def load(self, checkpoint: Path, variant: Variant, **options: Any) -> HfTorchModel:
        """Nothing is compiled before the first call."""
        import torch._dynamo as dynamo

        # By default PyTorch silently continues without compilation at the limit, so that nothing would be tested.
        dynamo.config.fail_on_recompile_limit_hit = True
        dynamo.config.recompile_limit = RECOMPILATIONS
        model = super().load(checkpoint, variant, **options)
        model._model.compile(backend=self.compiler, dynamic=True, fullgraph=True)
        return model


class Inductor(_Compiled):
    """With inductor, which generates and compiles C++ for a CPU."""

    compiler = "inductor"


class AotEager(_Compiled):
    """With ``aot_eager``: the graphs of inductor, run by PyTorch's own kernels."""

    compiler = "aot_eager"
