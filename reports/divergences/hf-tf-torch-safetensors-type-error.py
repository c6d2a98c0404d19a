"""transformers 4.57.6, TF: a safetensors file of the PyTorch class raises TypeError without from_pt."""

import os
import sys
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"

from transformers import BartConfig, BartForConditionalGeneration, TFBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads)
with tempfile.TemporaryDirectory() as directory:
    BartForConditionalGeneration(config).save_pretrained(directory)
    try:
        TFBartForConditionalGeneration.from_pretrained(directory)
    except TypeError as error:
        print(f"TypeError: {error}")
        sys.exit(1)
print("loaded without an error")
