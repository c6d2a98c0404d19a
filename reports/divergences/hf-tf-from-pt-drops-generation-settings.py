"""transformers 4.57.6, TF: from_pt=True does not read generation_config.json, so generate() falls back to defaults."""

import os
import sys
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"

from transformers import BartConfig, BartForConditionalGeneration, TFBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
model = BartForConditionalGeneration(BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads))
model.generation_config.max_length, model.generation_config.num_beams = 33, 4
with tempfile.TemporaryDirectory() as directory:
    model.save_pretrained(directory)
    loaded = TFBartForConditionalGeneration.from_pretrained(directory, from_pt=True).generation_config
print(f"saved: max_length 33, num_beams 4; loaded: {loaded.max_length}, {loaded.num_beams}")
sys.exit((loaded.max_length, loaded.num_beams) != (33, 4))
