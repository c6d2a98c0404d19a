"""transformers 4.57.6, PyTorch: a BART with tie_word_embeddings=false loads with random token embeddings."""

import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BartForConditionalGeneration

sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
config = BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, tie_word_embeddings=False, **sizes)
with tempfile.TemporaryDirectory() as folder:
    BartForConditionalGeneration(config).save_pretrained(folder)
    # The file of the documented release: one token embedding and a separate head.
    tables = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight")
    stored = load_file(f"{folder}/model.safetensors")
    save_file({n: t for n, t in stored.items() if n not in tables}, f"{folder}/model.safetensors", {"format": "pt"})
    first, second = (BartForConditionalGeneration.from_pretrained(folder) for _ in range(2))
with torch.no_grad():
    table, again = (model.model.encoder.embed_tokens.weight for model in (first, second))
    print(
        "token embedding equal in two loads:",
        torch.equal(table, again),
        "equal to the file's:",
        torch.equal(table, first.model.shared.weight),
    )
sys.exit(not torch.equal(table, again))
