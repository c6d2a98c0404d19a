"""transformers 4.37.2, PyTorch: from_tf=True randomly initialises a classifier's head without a warning."""

import logging
import sys
import tempfile

from transformers import BartConfig, BartForSequenceClassification, TFBartModel

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
model = TFBartModel(BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads))
model.build_in_name_scope()
said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("transformers").addHandler(handler)
with tempfile.TemporaryDirectory() as directory:
    model.save_pretrained(directory)
    said.clear()
    BartForSequenceClassification.from_pretrained(directory, from_tf=True)
print("\n".join(said))
sys.exit(not any("classification_head" in each for each in said))
