"""transformers 4.57.6, TF: an encoder-decoder model documents encoder_outputs as a tuple and refuses it."""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
from transformers import BertConfig, EncoderDecoderConfig, TFEncoderDecoderModel

sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 8}
halves = BertConfig(vocab_size=50, **sizes), BertConfig(vocab_size=50, **sizes)
model = TFEncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(*halves))
tokens = tf.constant([[5, 7, 9]])
encoded = model.get_encoder()(tokens)
print("object", tuple(model(None, encoder_outputs=encoded, decoder_input_ids=tokens).logits.shape))
try:
    states = (encoded.last_hidden_state,)
    print("tuple", tuple(model(None, encoder_outputs=states, decoder_input_ids=tokens).logits.shape))
except ValueError as error:
    print("tuple", type(error).__name__, " ".join(str(error).split())[-300:])
    sys.exit(1)
