"""Readers of weight files that use only numpy, shared by both references and the trace of the file."""

from __future__ import annotations

from reference.weights.cast import BFLOAT16, cast
from reference.weights.files import FORMATS, Format, files_of, find_weights, open_weights, weight_files
from reference.weights.weights import Weights, read_weights

__all__ = [
    "BFLOAT16",
    "FORMATS",
    "Format",
    "Weights",
    "cast",
    "files_of",
    "find_weights",
    "open_weights",
    "read_weights",
    "weight_files",
]
