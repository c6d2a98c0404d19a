"""transformers 4.57.6, PyTorch: the padding row of a token embedding gets no gradient, although it is read."""

import sys

import torch
from transformers import BartConfig, BartModel

torch.manual_seed(0)
sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
model = BartModel(BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, pad_token_id=1, **sizes))
# The padding token as an ordinary token, without a mask.
states = model.eval()(input_ids=torch.tensor([[0, 5, 1, 2]])).last_hidden_state
(states**3).sum().backward()
padding, other = (model.shared.weight.grad[row].abs().max().item() for row in (1, 5))
print("gradient of the padding row:", padding, "of another row that is read:", other)
sys.exit(padding == 0 and other > 0)
