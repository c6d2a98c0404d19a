# Peer reference: reference/in_torch/__init__.py
"""Every architecture in Flax.

Suggested reading order for BART: masks, attention, normalisation, embeddings, cache, layers, stacks, seq2seq, bart;
then labels, loading, generation. Other architectures have a module each: bart_heads, bert, gpt2, speech (with
convolution). encoder_decoder combines two of them; classes maps documented class names to implementations.
"""

from __future__ import annotations

from reference.in_flax.bart import BartForConditionalGeneration
from reference.in_flax.generation import CachedDecoder, generate
from reference.in_flax.loading import as_inputs, build, canonical_parameters, load, loss_and_gradients
from reference.in_flax.outputs import DecoderOutput, EncoderOutput, Seq2SeqOutput

__all__ = [
    "BartForConditionalGeneration",
    "CachedDecoder",
    "DecoderOutput",
    "EncoderOutput",
    "Seq2SeqOutput",
    "as_inputs",
    "build",
    "canonical_parameters",
    "generate",
    "load",
    "loss_and_gradients",
]
