"""transformers 4.37.2, PyTorch: of three token embeddings in a file, loading uses one, without a warning."""

import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BartForConditionalGeneration

sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
config = BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, tie_word_embeddings=False, **sizes)
tables = [f"model.{name}.weight" for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens")]
with tempfile.TemporaryDirectory() as folder:
    BartForConditionalGeneration(config).save_pretrained(folder)
    # The file that 4.57.6 and 5.23.0 save for such a model.
    stored = load_file(f"{folder}/model.safetensors") | {name: torch.randn(30, 8) for name in tables}
    save_file(stored, f"{folder}/model.safetensors", {"format": "pt"})
    model, reported = BartForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
held = model.state_dict()
lost = [name for name in tables if not torch.equal(held[name], stored[name])]
print("not loaded:", lost, "reported:", {key: names for key, names in reported.items() if names})
sys.exit(len(lost) == 2)
