"""transformers 4.57.6, PyTorch: a model that stores early_stopping without beams loads, but cannot be saved."""

import json
import sys
import tempfile
from pathlib import Path

from transformers import BartConfig, BartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
with tempfile.TemporaryDirectory() as directory:
    BartForConditionalGeneration(BartConfig(vocab_size=50, **sizes, **heads)).save_pretrained(directory)
    path = Path(directory, "generation_config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "early_stopping": True, "num_beams": 1}))
    model = BartForConditionalGeneration.from_pretrained(directory)
    try:
        model.save_pretrained(directory)
    except ValueError as error:
        print(f"loaded; saving raises: {str(error).splitlines()[0]}")
        sys.exit(1)
