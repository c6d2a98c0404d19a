"""transformers 5.23.0: decode of a byte-level BPE tokenizer ignores clean_up_tokenization_spaces=True."""

import json
import sys
import tempfile
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel
from transformers import BartTokenizer

tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "<mask>"]
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    Path(folder, "merges.txt").write_text("#version: 0.2\n")
    tokenizer = BartTokenizer.from_pretrained(folder)
ids = tokenizer("well ?", add_special_tokens=False)["input_ids"]
text = tokenizer.decode(ids, clean_up_tokenization_spaces=True)
print(f"decoded with clean_up_tokenization_spaces=True: {text!r}")
sys.exit(text != "well?")
