"""transformers 4.37.2, PyTorch: a class with a head loads only the biases of a Flax base model."""

import sys
import tempfile

import numpy as np
from transformers import BartConfig, BartForConditionalGeneration, FlaxBartModel

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
model = FlaxBartModel(BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads))
with tempfile.TemporaryDirectory() as directory:
    model.save_pretrained(directory)
    loaded = BartForConditionalGeneration.from_pretrained(directory, from_flax=True)
saved = np.asarray(model.params["encoder"]["layers"]["0"]["fc1"]["kernel"]).T
kept = np.array_equal(loaded.model.encoder.layers[0].fc1.weight.detach().numpy(), saved)
print(f"the first kernel equals the saved one: {kept}")
sys.exit(not kept)
