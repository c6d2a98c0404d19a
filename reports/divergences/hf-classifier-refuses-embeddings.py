"""transformers 4.37.2 to 5.23.0: BartForSequenceClassification documents inputs_embeds and refuses it."""

import inspect
import sys

import torch
from transformers import BartConfig, BartForSequenceClassification

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
model = BartForSequenceClassification(BartConfig(vocab_size=50, **sizes, **heads)).eval()
tokens = torch.tensor([[0, 5, 6, 2]])
assert "inputs_embeds" in inspect.signature(model.forward).parameters
print("from tokens", tuple(model(input_ids=tokens, decoder_input_ids=tokens).logits.shape))
try:
    embedded = model.model.shared(tokens)
    print("from embeddings", tuple(model(inputs_embeds=embedded, decoder_input_ids=tokens).logits.shape))
except NotImplementedError as error:
    print("from embeddings", type(error).__name__, error)
    sys.exit(1)
