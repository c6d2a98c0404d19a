"""A page read back as a browser would: its elements, and that they are closed in the order they were opened."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

NEVER_CLOSED = {"meta", "wbr", "br", "input"}


@dataclass
class Element:
    """One element with all the text inside it."""

    tag: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    def all(self, tag: str, css_class: str = "") -> Iterator[Element]:
        """Elements inside it, in document order, of this tag and with this among their classes."""
        for child in self.children:
            if isinstance(child, Element):
                if child.tag == tag and (not css_class or css_class in (child.attributes.get("class") or "").split()):
                    yield child
                yield from child.all(tag, css_class)

    def get(self, name: str) -> Element:
        """The element with an id."""
        return next(found for found in self.everything() if found.attributes.get("id") == name)

    def everything(self) -> Iterator[Element]:
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child.everything()

    @property
    def text(self) -> str:
        """Its text, white space folded."""
        return " ".join("".join(c if isinstance(c, str) else f" {c.text} " for c in self.children).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in NEVER_CLOSED:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(html: str) -> Element:
    """The page's root.

    Raises:
        AssertionError: an element is not closed, or closed by another's end.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert len(reader.open) == 1, f"never closed: {[element.tag for element in reader.open[1:]]}"
    return reader.open[0]


def unpack(html: str) -> str:
    """The page after a reader has opened all its packed parts."""
    packed = re.compile('<script type="application/zlib">(.*?)</script>')
    return packed.sub(lambda found: zlib.decompress(base64.b64decode(found[1])).decode(), html)
