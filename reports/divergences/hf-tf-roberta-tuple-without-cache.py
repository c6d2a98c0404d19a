"""transformers 4.57.6, TF: the tuple of a RoBERTa decoder lacks past_key_values, which the dictionary has."""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
from transformers import RobertaConfig, TFRobertaForCausalLM

sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 8}
model = TFRobertaForCausalLM(RobertaConfig(vocab_size=50, **sizes, is_decoder=True))
text = tf.constant([[5, 7, 9]])
named, bare = model(text, use_cache=True), model(text, use_cache=True, return_dict=False)
print(f"dictionary: {', '.join(named.keys())}; tuple: {len(bare)} values")
sys.exit(len(bare) != len(named.keys()))
