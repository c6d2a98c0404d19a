# Twin: reference/in_flax/__init__.py
"""BART in PyTorch. Read: masks, attention, normalisation, embeddings, layers, cache, bart; labels, loading,
generation."""

from __future__ import annotations

from reference.in_torch.bart import BartForConditionalGeneration
from reference.in_torch.generation import CachedDecoder, generate
from reference.in_torch.loading import as_inputs, build, canonical_parameters, load, loss_and_gradients
from reference.in_torch.outputs import DecoderOutput, EncoderOutput, Seq2SeqOutput

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
