"""Tables of parameter names: the parameters of each model, and their names in each file format.

``table_of`` returns the table of any class, with PyTorch names; ``layouts`` converts the names of other frameworks.
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
