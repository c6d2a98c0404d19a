"""transformers 4.37.2, TensorFlow: from_pt=True does not load sharded safetensors files of the PyTorch class."""

import sys
import tempfile

from transformers import BartConfig, BartForConditionalGeneration, TFBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads)
with tempfile.TemporaryDirectory() as directory:
    BartForConditionalGeneration(config).save_pretrained(directory, max_shard_size=8000)
    try:
        TFBartForConditionalGeneration.from_pretrained(directory, from_pt=True)
    except NotImplementedError as error:
        print(f"NotImplementedError: {error}")
        sys.exit(1)
print("loaded without an error")
