"""transformers 4.57.6, PyTorch: a composition of two pretrained halves is in training mode; documented is eval."""

import sys
import tempfile

from transformers import BertConfig, BertLMHeadModel, BertModel, EncoderDecoderModel

sizes = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 9}
with tempfile.TemporaryDirectory() as folder:
    BertModel(BertConfig(**sizes)).save_pretrained(f"{folder}/encoder")
    BertLMHeadModel(BertConfig(**sizes, is_decoder=True)).save_pretrained(f"{folder}/decoder")
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(f"{folder}/encoder", f"{folder}/decoder")
print("training:", model.training, "encoder:", model.encoder.training, "decoder:", model.decoder.training)
sys.exit(model.training)
