"""Weight files read with numpy alone, the same for both references and for the file's own trace."""

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
