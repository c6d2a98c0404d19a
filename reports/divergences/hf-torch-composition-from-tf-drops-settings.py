"""transformers 4.57.6: EncoderDecoderModel.from_pretrained(from_tf=True) loses the generation settings of the files."""

import os
import sys
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"

from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel, TFEncoderDecoderModel

sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 8, "vocab_size": 30}
both = EncoderDecoderConfig.from_encoder_decoder_configs(BertConfig(**sizes), BertConfig(**sizes))
both.decoder_start_token_id, both.pad_token_id = 7, 0
model = TFEncoderDecoderModel(both)
model(model.dummy_inputs)
with tempfile.TemporaryDirectory() as directory:
    model.save_pretrained(directory)
    loaded = EncoderDecoderModel.from_pretrained(directory, from_tf=True)
start = loaded.generation_config.decoder_start_token_id
print(f"saved: decoder_start_token_id 7; loaded: {start}")
sys.exit(start != 7)
