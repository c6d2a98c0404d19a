"""transformers 4.37.2 and 4.57.6, Flax: a BART model cannot be made if its config has a list of end tokens."""

import sys

from transformers import BartConfig, FlaxBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=9, max_position_embeddings=20, eos_token_id=[2, 5], **sizes, **heads)
try:
    FlaxBartForConditionalGeneration(config)
except ValueError as error:
    print("raised:", error)
    sys.exit(1)
