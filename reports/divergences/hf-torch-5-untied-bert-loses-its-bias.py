"""transformers 5.23.0, PyTorch: the output bias of an untied BERT, saved under one name by 4.x, is not loaded."""

import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertLMHeadModel

sizes = {"vocab_size": 50, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 8}
model = BertLMHeadModel(BertConfig(**sizes, is_decoder=True, tie_word_embeddings=False))
torch.nn.init.ones_(model.cls.predictions.bias)
with tempfile.TemporaryDirectory() as directory:
    model.save_pretrained(directory)
    weights = load_file(f"{directory}/model.safetensors")
    weights.pop("cls.predictions.decoder.bias", None)
    save_file(weights, f"{directory}/model.safetensors", metadata={"format": "pt"})
    loaded = BertLMHeadModel.from_pretrained(directory)
used = loaded.cls.predictions.decoder.bias
print(f"saved bias: ones; bias of the loaded head: {used[:3].tolist()}")
sys.exit(bool((used != 1).any()))
