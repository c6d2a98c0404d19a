"""transformers 4.57.6, PyTorch: from_flax=True returns a model of meta tensors, without values."""

import sys
import tempfile

from transformers import BartConfig, BartForConditionalGeneration, FlaxBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads)
with tempfile.TemporaryDirectory() as directory:
    FlaxBartForConditionalGeneration(config).save_pretrained(directory)
    model = BartForConditionalGeneration.from_pretrained(directory, from_flax=True)
empty = sum(parameter.is_meta for parameter in model.parameters())
print(f"{empty} of {len(list(model.parameters()))} parameters have no values")
sys.exit(empty > 0)
