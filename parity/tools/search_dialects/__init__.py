"""``python -m parity.tools.search_dialects.measure``: which dialect of search each library speaks, asked of the
library."""
