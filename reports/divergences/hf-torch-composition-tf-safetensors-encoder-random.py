"""transformers 4.37.2, PyTorch: a composition saved by TensorFlow as safetensors loads with a random encoder."""

import sys
import tempfile

import torch
from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel, TFEncoderDecoderModel

sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
half = BertConfig(vocab_size=19, max_position_embeddings=20, **sizes)
model = TFEncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(half, half))
model.build_in_name_scope()
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder, safe_serialization=True)
    first, second = (EncoderDecoderModel.from_pretrained(folder).state_dict() for _ in range(2))
for half in ("encoder", "decoder"):
    name = f"{half}.{'' if half == 'encoder' else 'bert.'}embeddings.word_embeddings.weight"
    print(f"{name} is equal in two loads:", same := torch.equal(first[name], second[name]))
    if half == "encoder":
        random = not same
sys.exit(random)
