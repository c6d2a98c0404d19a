"""transformers, PyTorch and Flax: BartForCausalLM loads a whole BART's file with a random token embedding."""

import sys
import tempfile

import torch
from transformers import BartConfig, BartForCausalLM, BartForConditionalGeneration

sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
config = BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, **sizes)
with tempfile.TemporaryDirectory() as folder:
    whole = BartForConditionalGeneration(config)
    whole.save_pretrained(folder)
    decoder = BartForCausalLM.from_pretrained(folder)
saved, table = whole.model.shared.weight, decoder.model.decoder.embed_tokens.weight
layers = [model.model.decoder.layers[0].fc1.weight for model in (whole, decoder)]
print("equal to the file: layers", torch.equal(*layers), "token embedding", torch.equal(saved, table))
sys.exit(not torch.equal(saved, table))
