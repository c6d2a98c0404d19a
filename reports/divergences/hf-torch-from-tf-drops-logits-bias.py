"""transformers 4.37.2, PyTorch: from_tf=True leaves final_logits_bias at zero, regardless of the TensorFlow file."""

import sys
import tempfile

import tensorflow as tf
from transformers import BartConfig, BartForConditionalGeneration, TFBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads)
model = TFBartForConditionalGeneration(config)
model.build_in_name_scope()
model.set_bias({"final_logits_bias": tf.ones((1, 50))})
with tempfile.TemporaryDirectory() as directory:
    model.save_pretrained(directory)
    loaded = BartForConditionalGeneration.from_pretrained(directory, from_tf=True).final_logits_bias
print(f"saved: ones; loaded: {loaded[0, :3].tolist()}")
sys.exit(bool((loaded != 1).any()))
