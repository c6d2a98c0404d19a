"""transformers 4.57.6, PyTorch: generate of BART raises with stop_strings."""

import sys

import torch
from tokenizers import Tokenizer, decoders, models
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
model = BartForConditionalGeneration(BartConfig(vocab_size=9, max_position_embeddings=20, **sizes, **heads))
words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["abcdef", *"stuvwxyz"])}, unk_token="z"))
words.decoder = decoders.Fuse()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
try:
    model.generate(torch.tensor([[5, 6, 7, 2]]), max_length=8, stop_strings=["x"], tokenizer=tokenizer)
except TypeError as error:
    print("raised:", error)
    sys.exit(1)
