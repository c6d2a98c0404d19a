"""transformers 4.37.2, TensorFlow and Flax: a bfloat16 pytorch_model.bin raises TypeError, for Flax if sharded."""

import sys
import tempfile

import torch
from transformers import BartConfig, BartModel, FlaxBartModel

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
model = BartModel(BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads))
with tempfile.TemporaryDirectory() as directory:
    model.to(torch.bfloat16).save_pretrained(directory, safe_serialization=False, max_shard_size="4KB")
    try:
        FlaxBartModel.from_pretrained(directory, from_pt=True)
    except TypeError as error:
        print(error)
        sys.exit(1)
