"""transformers 4.37.2 and 4.57.6, Flax: jax.vmap of BART's classifier raises, jax.jit does not."""

import sys

import jax
import jax.numpy as jnp
from transformers import BartConfig, FlaxBartForSequenceClassification

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
model = FlaxBartForSequenceClassification(BartConfig(vocab_size=50, **sizes, **heads))
texts = jnp.array([[[0, 5, 6, 2]], [[0, 7, 8, 2]]])


def logits(text):
    return model(text).logits


print("jax.jit", jax.jit(logits)(texts[0]).shape)
try:
    print("jax.vmap", jax.vmap(logits)(texts).shape)
except jax.errors.ConcretizationTypeError as error:
    print("jax.vmap", type(error).__name__, str(error).splitlines()[0])
    sys.exit(1)
