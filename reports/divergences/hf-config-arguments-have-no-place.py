"""transformers 5.23.0: the first argument of BartConfig is documented to be vocab_size."""

import sys

from transformers import BartConfig

try:
    size = BartConfig(500).vocab_size
except ValueError as error:
    print("BartConfig(500) raises:", error)
    sys.exit(1)
print("BartConfig(500).vocab_size is", size)
sys.exit(size != 500)
