"""THE tables of parameter names: what a model holds, and what each file calls it.

``table_of`` has every family's. BART's own names are known in the layouts of all three frameworks (``names.bart``), the
others in PyTorch's.
"""

from __future__ import annotations

from reference.names.bart import (
    HEAD,
    LOGITS_BIAS,
    POSITION_OFFSET,
    SHARED,
    canonical,
    expected_parameters,
    is_bare,
    tied_groups,
    trainable,
)
from reference.names.composed import table_of
from reference.names.table import Entry, EntryRole, Layout, Parameter, Row, Table

__all__ = [
    "HEAD",
    "LOGITS_BIAS",
    "POSITION_OFFSET",
    "SHARED",
    "Entry",
    "EntryRole",
    "Layout",
    "Parameter",
    "Row",
    "Table",
    "canonical",
    "expected_parameters",
    "is_bare",
    "table_of",
    "tied_groups",
    "trainable",
]
