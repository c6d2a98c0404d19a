"""transformers 4.57.6, TensorFlow: from_pt=True is documented to raise for a composition, but converts it."""

import os
import sys
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"
from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel, TFEncoderDecoderModel

sizes = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 9}
config = EncoderDecoderConfig.from_encoder_decoder_configs(BertConfig(**sizes), BertConfig(**sizes))
with tempfile.TemporaryDirectory() as folder:
    EncoderDecoderModel(config).save_pretrained(folder)
    try:
        model = TFEncoderDecoderModel.from_pretrained(folder, from_pt=True)
    except Exception as error:
        print("raises, as documented:", error)
        sys.exit(0)
print("no error; loaded", type(model).__name__, "with", model.count_params(), "parameters")
sys.exit(1)
