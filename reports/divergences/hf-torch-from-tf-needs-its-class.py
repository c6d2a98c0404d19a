"""transformers 4.57.6, PyTorch: from_tf=True raises AttributeError for a class without a TensorFlow counterpart."""

import sys
import tempfile

from transformers import BartConfig, BartForQuestionAnswering, TFBartModel

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
model = TFBartModel(BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads))
model.build_in_name_scope()
with tempfile.TemporaryDirectory() as directory:
    model.save_pretrained(directory)
    try:
        BartForQuestionAnswering.from_pretrained(directory, from_tf=True)
    except AttributeError as error:
        print(error)
        sys.exit(1)
