"""transformers 5.23.0: BartTokenizer, documented as a separate class, is an alias of the fast tokenizer."""

import sys

from transformers import BartTokenizer, BartTokenizerFast

print("BartTokenizer is", BartTokenizer.__mro__[:2])
sys.exit(BartTokenizer is BartTokenizerFast)
