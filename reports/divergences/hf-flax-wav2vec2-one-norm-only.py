"""transformers 4.57.6, Flax: a wav2vec2 with post-normalisation, the default, cannot be created."""

import sys

from transformers import FlaxWav2Vec2Model, Wav2Vec2Config

sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
sound = {"conv_dim": (8,), "conv_kernel": (5,), "conv_stride": (3,), "num_conv_pos_embedding_groups": 2}
raised = []
for form in ({}, {"do_stable_layer_norm": True}, {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}):
    try:
        FlaxWav2Vec2Model(Wav2Vec2Config(num_feat_extract_layers=1, **sizes, **sound, **form), input_shape=(1, 200))
    except NotImplementedError as error:
        raised.append(f"{form}: {error}")
print("\n".join(raised))
sys.exit(bool(raised))
