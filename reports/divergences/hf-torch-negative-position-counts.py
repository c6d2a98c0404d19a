"""transformers 4.57.6, PyTorch: a start position of -1, outside the sequence, is treated as position 0."""

import sys

import torch
from transformers import BartConfig, BartForQuestionAnswering

torch.manual_seed(0)
sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
model = BartForQuestionAnswering(BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads)).eval()
ids = torch.tensor([[5, 6, 7, 2], [8, 9, 10, 2]])


def loss(outside):
    places = torch.tensor([1, outside])
    return model(ids, start_positions=places, end_positions=places).loss.item()


print(f"loss, second text's start position 9: {loss(9):.6f}, -1: {loss(-1):.6f}, 0: {loss(0):.6f}")
sys.exit(loss(-1) != loss(9))
