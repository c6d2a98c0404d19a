"""``report.html``: one file that opens without a network and shows all that ``report.json`` holds.

Each module makes the view of one section, plain values that a template of the same name writes out. The templates
hold no logic but loops, the page no script, and every value is escaped: names and messages come from others.
"""

from parity.report.html.page import render, write_page

__all__ = ["render", "write_page"]
