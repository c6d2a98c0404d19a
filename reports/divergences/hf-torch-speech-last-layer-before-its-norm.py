"""transformers 5.23.0, PyTorch: a speech model's last_hidden_state is not the last of its hidden_states.

With do_stable_layer_norm the encoder ends with layer normalisation, which hidden_states does not include.
"""

import sys

import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model

torch.manual_seed(0)
sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 8}
audio = {"conv_dim": (8, 8), "conv_kernel": (5, 3), "conv_stride": (3, 2), "num_feat_extract_layers": 2}
positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "layer"}
config = Wav2Vec2Config(do_stable_layer_norm=True, **sizes, **audio, **positions)
with torch.no_grad():
    found = Wav2Vec2Model(config).eval()(torch.randn(1, 200), output_hidden_states=True)
apart = (found.hidden_states[-1] - found.last_hidden_state).abs().max().item()
print("hidden_states[-1] and last_hidden_state differ by", apart)
sys.exit(apart > 1e-6)
