"""transformers 4.57.6, Flax: wav2vec 2.0 with a BART decoder of another width cannot be created."""

import sys

from transformers import (
    BartConfig,
    BertConfig,
    EncoderDecoderConfig,
    FlaxEncoderDecoderModel,
)

sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
decoder = BartConfig(vocab_size=19, max_position_embeddings=20, **sizes, **heads)
encoder = BertConfig(vocab_size=19, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
try:
    FlaxEncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder))
except AttributeError as error:
    print(error)
    sys.exit(1)
