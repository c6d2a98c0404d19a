"""transformers 5.23.0: the config of a composition without halves is filled with two default BERT configs."""

import sys

from transformers import EncoderDecoderConfig

try:
    config = EncoderDecoderConfig()
except (AssertionError, ValueError) as error:
    print("raises, as documented:", error)
    sys.exit(0)
print(f"no error; encoder: {config.encoder.model_type}, decoder: {config.decoder.model_type}")
sys.exit(1)
