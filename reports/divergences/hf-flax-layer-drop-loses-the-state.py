"""transformers 4.37.2 and 4.57.6, Flax: where decoder_layerdrop skips the last layer, last_hidden_state is None.

With a probability of 1 every layer is skipped, and the decoder's last state would be its embeddings.
"""

import sys

import jax
import numpy as np
from transformers import BartConfig, FlaxBartModel

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=40, max_position_embeddings=20, decoder_layerdrop=1.0, **sizes, **heads)
model = FlaxBartModel(config, seed=0)
tokens = np.array([[5, 6, 7, 8, 9, 2]])
options = {"output_hidden_states": True, "train": True, "dropout_rng": jax.random.PRNGKey(0)}
output = model(tokens, decoder_input_ids=tokens, **options)
print("fields:", {name: type(value).__name__ for name, value in output.items()})
sys.exit(output.get("last_hidden_state") is None)
