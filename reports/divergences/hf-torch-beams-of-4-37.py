"""transformers 4.37.2, PyTorch: an unfinished beam at max_length is dropped if another beam has just ended."""

import sys
from math import log

import torch
from transformers import BartConfig, BartForConditionalGeneration, LogitsProcessorList

sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
config = BartConfig(vocab_size=9, d_model=8, forced_eos_token_id=None, **sizes)
model = BartForConditionalGeneration(config).eval()
ENDS, WORD = {1: 0.3, 2: 0.1}, 5


def chances(ids, scores):
    """A text goes on with the one word, or ends: with 0.3 at once, with 0.1 after a word."""
    scores = torch.full_like(scores, -1e9)
    scores[:, 2], scores[:, WORD] = log(ENDS[ids.shape[1]]), log(1 - ENDS[ids.shape[1]])
    return scores


asked = {"num_beams": 2, "max_length": 3, "early_stopping": True, "logits_processor": LogitsProcessorList([chances])}
text = model.generate(torch.tensor([[0, 5, 2]]), **asked)[0, 1:].tolist()
scores = {(2,): log(0.3), (WORD, 2): log(0.7 * 0.1) / 2, (WORD, WORD): log(0.7 * 0.9) / 2}
print(f"returned {text}, score {scores[tuple(text)]}; {[WORD, WORD]} has score {scores[WORD, WORD]}")
sys.exit(text != [WORD, WORD])
