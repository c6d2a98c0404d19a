"""Unsupported capabilities of each adapter, with reasons: one module for each, with a function of a ``Question``.

They are separate from the adapters because reasons do not affect results: rewording one invalidates no cached trace
(``parity.capture.sources``). A row of ``parity.core.backends`` names its function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from parity.core.backends import Entry
from parity.core.subject import Variant


@dataclass(frozen=True)
class Question:
    """A backend that can run, with the documented class and the installed libraries.

    Attributes:
        versions: of the stack's installed distributions, by name.
        documented: the requested class, by its PyTorch name.
        model_types: of a composition, the model types of its encoder and its decoder.
    """

    backend: str
    entry: Entry
    variant: Variant
    versions: Mapping[str, str]
    documented: str
    model_types: tuple[str, ...]

    @property
    def library(self) -> str:
        """``transformers 4.57.6``."""
        return f"transformers {self.versions['transformers']}"

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor of the installed transformers."""
        major, minor = self.versions["transformers"].split(".")[:2]
        return int(major), int(minor)

    @property
    def is_old(self) -> bool:
        """Whether the installed transformers belongs to the documented release line, or an earlier one."""
        return self.version <= (4, 37)
