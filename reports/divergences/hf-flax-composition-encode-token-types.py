"""transformers 4.57.6, Flax: encode() of a composition passes position ids to a BERT encoder as token type ids.

generate(), which encodes first, then generates text from NaN states: positions exceed the two rows of the embedding.
"""

import sys

import numpy as np
from transformers import BertConfig, EncoderDecoderConfig, FlaxEncoderDecoderModel

sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
half = BertConfig(vocab_size=19, max_position_embeddings=20, **sizes)
model = FlaxEncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(half, half))
source, target = np.array([[5, 6, 7, 8, 2]]), np.array([[0, 9, 4]])
whole = model(source, decoder_input_ids=target).encoder_last_hidden_state
alone = model.encode(source).last_hidden_state
away = np.abs(np.asarray(whole - alone)).max()
print(f"encoder states of encode() and of __call__ differ by {away}")
sys.exit(not away < 1e-4)
