"""transformers 5.23.0, PyTorch: BartModel accepts head_mask by name and ignores it; its position has changed."""

import inspect
import sys

import torch
from transformers import BartConfig, BartModel

torch.manual_seed(0)
sizes = {
    "d_model": 8,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}
model = BartModel(BartConfig(vocab_size=30, encoder_ffn_dim=9, decoder_ffn_dim=9, **sizes)).eval()
ids = torch.tensor([[0, 5, 6, 2]])
plain = model(input_ids=ids).last_hidden_state
silenced = model(input_ids=ids, head_mask=torch.zeros(1, 2)).last_hidden_state
place = list(inspect.signature(BartModel.forward).parameters).index("encoder_outputs") - 1
effect = (plain - silenced).abs().max().item()
print(f"encoder_outputs is argument {place} (documented: 7); effect of head_mask: {effect}")
sys.exit(place != 7 and torch.equal(plain, silenced))
