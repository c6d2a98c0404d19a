"""transformers 4.57.6, TF: the PyTorch file of a BART classifier whose EOS id is not 2 cannot be loaded."""

import os
import sys
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
from transformers import BartConfig, BartForSequenceClassification, TFBartForSequenceClassification

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
raised = {}
for end in (2, 3):
    config = BartConfig(vocab_size=50, max_position_embeddings=40, eos_token_id=end, **sizes, **heads)
    with tempfile.TemporaryDirectory() as folder:
        BartForSequenceClassification(config).save_pretrained(folder, safe_serialization=False)
        try:
            TFBartForSequenceClassification.from_pretrained(folder, from_pt=True)
            raised[end] = ""
        except tf.errors.InvalidArgumentError as error:
            raised[end] = f"InvalidArgumentError, slice index -1: {'slice index -1' in str(error)}"
print("raised by eos_token_id:", raised)
sys.exit(any(raised.values()))
