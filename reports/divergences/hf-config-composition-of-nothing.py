"""transformers 5.23.0: a composition's config without halves is made of two BERTs that nobody asked for."""

import sys

from transformers import EncoderDecoderConfig

try:
    config = EncoderDecoderConfig()
except (AssertionError, ValueError) as error:
    print("it raises:", error)
    sys.exit(0)
print(f"without halves: {config.encoder.model_type} before {config.decoder.model_type}")
sys.exit(1)
