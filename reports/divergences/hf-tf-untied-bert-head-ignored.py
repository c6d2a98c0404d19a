"""transformers 4.57.6, TensorFlow: the output embedding of an untied BERT decoder is ignored."""

import os
import sys
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tensorflow as tf
import torch
from transformers import BertConfig, BertLMHeadModel, TFBertLMHeadModel

sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 9}
config = BertConfig(vocab_size=30, is_decoder=True, tie_word_embeddings=False, **sizes)
with tempfile.TemporaryDirectory() as folder:
    model = BertLMHeadModel(config)
    with torch.no_grad():
        model.cls.predictions.decoder.weight.fill_(0.0)
    model.save_pretrained(folder)
    converted = TFBertLMHeadModel.from_pretrained(folder, from_pt=True)
logits = converted(input_ids=tf.constant([[0, 5, 2]])).logits.numpy()
print("largest logit, although the output embedding is zero:", abs(logits).max())
sys.exit(abs(logits).max() > 0)
