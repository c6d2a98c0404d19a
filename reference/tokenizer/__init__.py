"""BART's tokenizer, implemented with the standard library only."""

from __future__ import annotations

from reference.tokenizer.dialect import DOCUMENTED, FAST, Dialect
from reference.tokenizer.tokenizer import ByteLevelTokenizer, Encoding

__all__ = ["DOCUMENTED", "FAST", "ByteLevelTokenizer", "Dialect", "Encoding"]
