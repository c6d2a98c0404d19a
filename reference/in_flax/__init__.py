# Twin: reference/in_torch/__init__.py
"""BART in Flax (nnx). Read: masks, attention, normalisation, embeddings, layers, cache, bart; labels, loading,
generation."""

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
