"""transformers 5.23.0: BartTokenizer, documented to be a class of its own, is the fast one by another name."""

import sys

from transformers import BartTokenizer, BartTokenizerFast

print("BartTokenizer is", BartTokenizer.__mro__[:2])
sys.exit(BartTokenizer is BartTokenizerFast)
