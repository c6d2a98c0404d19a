"""The parts of a page that only some readers open: whole while the page is small, past that packed until opened.

A three-stack report over twenty checkpoints is 30 MB of HTML that says much the same over and over: packed it is a
tenth of that, and the browser lays out only what somebody looks at. ``page.js`` opens a part.
"""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import dataclass, field

from markupsafe import Markup, escape

ROOM = 2_000_000
"""Characters of a page up to which nothing is packed: it can be searched, printed, and read without scripts."""
_MARK = re.compile(r"<!--part (\d+)-->")
"""Nobody else can write one: what others wrote is escaped."""


@dataclass
class Parts:
    """What a template gave away, in the order of the page."""

    held: list[tuple[str, Markup, str]] = field(default_factory=list)

    def hold(self, prefix: str, heading: str, html: str) -> Markup:
        """Takes one part, and gives the place where ``put`` will write it.

        Args:
            prefix: what the ids of all elements inside begin with, so that a link to one finds the part.
            heading: shown whether or not the part is packed; escaped where it is plain text.
            html: as a template made it.
        """
        self.held.append((prefix, escape(heading), html))
        return Markup(f"<!--part {len(self.held) - 1}-->")

    def put(self, page: str) -> str:
        """The page with its parts in place."""
        whole = len(page) + sum(len(html) for _, _, html in self.held)
        written = [_packed(*part) if whole > ROOM else _plain(*part) for part in self.held]
        return _MARK.sub(lambda found: written[int(found[1])], page)


def _plain(prefix: str, heading: Markup, html: str) -> str:
    return f'<div class="part" id="{escape(prefix)}"><h3>{heading}</h3>\n{html}</div>'


def _packed(prefix: str, heading: Markup, html: str) -> str:
    content = base64.b64encode(zlib.compress(html.encode("utf-8", "backslashreplace"), 9)).decode()
    return (
        f'<details class="part" id="{escape(prefix)}"><summary><b>{heading}</b></summary>'
        f'<script type="application/zlib">{content}</script></details>'
    )
