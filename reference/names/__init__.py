"""THE tables of parameter names: what a model holds, and what each file calls it.

``table_of`` has every class's, in PyTorch's spelling; ``layouts`` knows the other frameworks' spellings.
"""

from __future__ import annotations

from reference.names.bart import (
    HEAD,
    LOGITS_BIAS,
    POSITION_OFFSET,
    SHARED,
    expected_parameters,
    tied_groups,
    trainable,
)
from reference.names.composed import table_of
from reference.names.layouts import entry_in
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
    "entry_in",
    "expected_parameters",
    "table_of",
    "tied_groups",
    "trainable",
]
