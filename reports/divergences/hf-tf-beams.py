"""transformers 4.57.6, TensorFlow: of two possible texts, beam search returns the far less likely one.

Every step has the same logits: word 5 is likely, EOS is not, all other tokens are impossible. The likeliest text of six
tokens never ends, but one that has ended is returned, because unfinished beams count only if none has finished.
"""

import os
import sys

os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
import numpy as np
import tensorflow as tf
from transformers import BartConfig, TFBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=9, max_position_embeddings=20, forced_eos_token_id=None, **sizes, **heads)
model = TFBartForConditionalGeneration(config)
source = tf.constant([[5, 6, 7, 2]])
model(source)
bias = np.full((1, 9), -30.0, np.float32)
bias[0, [5, config.eos_token_id]] = 4.0, -4.0
model.set_weights([np.zeros(array.shape, np.float32) for array in model.get_weights()[:-1]] + [bias])
text = model.generate(source, num_beams=2, max_length=6, early_stopping=False)[0].numpy().tolist()
print(f"returned {text}; [2, 5, 5, 5, 5, 5] is e**8 times as likely as a text that ends")
sys.exit(text != [2, 5, 5, 5, 5, 5])
