"""``report.html``: one file that opens without a network and shows all that ``report.json`` holds.

Each module makes the view of one section, plain values that a template writes out. The templates contain no logic but
loops and conditions. Every value is escaped, because names and messages come from others. The page's only script is
``page.js``; without it everything is readable but the packed parts of a large page.
"""

from parity.report.html.page import render, write_page

__all__ = ["render", "write_page"]
