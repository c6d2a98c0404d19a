"""transformers 4.57.6, TF: cross_attentions of generate is empty; documented is an element for each generated token."""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
from transformers import BartConfig, TFBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
model = TFBartForConditionalGeneration(BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads))
asked = {"output_attentions": True, "return_dict_in_generate": True, "max_length": 6, "num_beams": 1}
answer = model.generate(tf.constant([[5, 6, 2]]), **asked)
steps = answer.sequences.shape[1] - 1
print(f"{steps} tokens; decoder_attentions {len(answer.decoder_attentions)}, cross {len(answer.cross_attentions)}")
sys.exit(len(answer.cross_attentions) != steps)
