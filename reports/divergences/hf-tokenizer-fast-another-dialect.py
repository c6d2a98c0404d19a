"""transformers 4.57.6: with a prefix space the slow and the fast tokenizer of BART split the same text differently."""

import json
import sys
import tempfile
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel
from transformers import BartTokenizer, BartTokenizerFast

tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "<mask>"]
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    Path(folder, "merges.txt").write_text("#version: 0.2\n")
    slow, fast = (kind.from_pretrained(folder, add_prefix_space=True) for kind in (BartTokenizer, BartTokenizerFast))
texts = ("a<mask>b", "a\x1c<mask>")
tokens_of = [[kind.convert_ids_to_tokens(kind(text)["input_ids"]) for kind in (slow, fast)] for text in texts]
for text, (one, other) in zip(texts, tokens_of, strict=True):
    print(f"{text!r}: slow {one}, fast {other}")
sys.exit(any(one != other for one, other in tokens_of))
