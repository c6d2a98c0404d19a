"""transformers 4.57.6, Flax: min_length forbids EOS for one token more than documented and than in PyTorch."""

import sys

import jax.numpy as jnp
import numpy as np
import torch
from transformers.generation.flax_logits_process import FlaxMinLengthLogitsProcessor
from transformers.generation.logits_process import MinLengthLogitsProcessor

END, LENGTH = 2, 5
text, scores = np.full((1, LENGTH), 7), np.zeros((1, 9), np.float32)
flax = FlaxMinLengthLogitsProcessor(LENGTH, END)(jnp.array(text), jnp.array(scores), LENGTH)
pytorch = MinLengthLogitsProcessor(LENGTH, END)(torch.tensor(text), torch.tensor(scores))
print(f"{LENGTH} tokens, min_length {LENGTH}: score of EOS {flax[0, END]} in Flax, {pytorch[0, END]} in PyTorch")
sys.exit(bool(np.isneginf(flax[0, END]) and pytorch[0, END] == 0))
