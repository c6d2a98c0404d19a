"""The cache of traces and conversions that all tests with audits share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from parity.backends.engines.conversion import RECORD, read_record
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.resources import fixture
from tests.end_to_end.conftest import shared_cache


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_cache(tmp_path_factory)


def exported_of(cache: Path, name: str, dtype: str = "float32") -> Path:
    """The folder below the cache with the export of a fixture, not quantised, which an audit has made."""
    digest = inspect_checkpoint(fixture(name)).digest
    folders = [path.parent for path in (cache / "engines").glob(f"*/{RECORD}")]
    records = {folder: read_record(folder) for folder in folders}
    found = [
        folder
        for folder, record in records.items()
        if (record["engine"], record["checkpoint"]) == ("onnxruntime", digest)
        and "quantisation" not in record["settings"]
        and record["settings"]["dtype"] == dtype
    ]
    assert len(found) == 1, found
    return found[0]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BART whose halves have equally many heads, and without forced tokens."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    sizes: dict[str, Any] = {
        "vocab_size": 97,
        "d_model": 24,
        "max_position_embeddings": 40,
        "scale_embedding": True,
        "init_std": 0.3,
    }
    heads: dict[str, Any] = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    layers: dict[str, Any] = {"encoder_layers": 2, "decoder_layers": 3, "encoder_ffn_dim": 40, "decoder_ffn_dim": 28}
    torch.manual_seed(0)
    model = BartForConditionalGeneration(BartConfig(**sizes, **heads, **layers, forced_eos_token_id=cast(Any, None)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.normal_(float("norm" in name and name.endswith("weight")), 0.3)
        cast(Any, model.final_logits_bias).normal_()
    cast(Any, model.generation_config).forced_eos_token_id = None
    folder = tmp_path_factory.mktemp("checkpoint") / "bart-equal-heads"
    model.save_pretrained(folder)
    return folder
