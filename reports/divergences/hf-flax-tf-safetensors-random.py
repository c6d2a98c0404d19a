"""transformers, Flax: a safetensors file of a TensorFlow class loads without an error, with random weights."""

import os
import sys
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
from transformers import BartConfig, FlaxBartForConditionalGeneration, TFBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads)
model = TFBartForConditionalGeneration(config)
model.build_in_name_scope()
with tempfile.TemporaryDirectory() as directory:
    model.save_pretrained(directory, safe_serialization=True)
    model_from_file = FlaxBartForConditionalGeneration.from_pretrained(directory)
saved = model.model.shared.weights[0].numpy()
loaded = np.asarray(model_from_file.params["model"]["shared"]["embedding"])
print(f"saved {saved[2, :3]}, loaded {loaded[2, :3]}")
sys.exit(not np.array_equal(saved, loaded))
