"""transformers, Flax: a whole BART loaded from a decoder-only file has a random token embedding."""

import sys
import tempfile

import numpy as np
from transformers import BartConfig, BartForCausalLM, FlaxBartForConditionalGeneration

sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
config = BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, **sizes)
with tempfile.TemporaryDirectory() as folder:
    decoder = BartForCausalLM(config)
    decoder.save_pretrained(folder)
    whole = FlaxBartForConditionalGeneration.from_pretrained(folder, from_pt=True)
saved = decoder.model.decoder.embed_tokens.weight.detach().numpy()
same = np.array_equal(saved, whole.params["model"]["shared"]["embedding"])
print("token embedding equals the file's:", same)
sys.exit(not same)
