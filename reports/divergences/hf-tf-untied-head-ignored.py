"""transformers 4.57.6, TensorFlow: the output embedding of an untied BART is ignored."""

import os
import sys
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tensorflow as tf
import torch
from transformers import BartConfig, BartForConditionalGeneration, TFBartForConditionalGeneration

sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
config = BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, tie_word_embeddings=False, **sizes)
with tempfile.TemporaryDirectory() as folder:
    model = BartForConditionalGeneration(config)
    with torch.no_grad():
        model.lm_head.weight.fill_(0.0)
    model.save_pretrained(folder)
    converted = TFBartForConditionalGeneration.from_pretrained(folder, from_pt=True)
ids = tf.constant([[0, 5, 2]])
logits = converted(input_ids=ids, decoder_input_ids=ids).logits.numpy()
print("largest logit, although the output embedding is zero:", abs(logits).max())
sys.exit(abs(logits).max() > 0)
