"""Extracts blocks from documents: Markdown, reStructuredText, text without code markup, and scripts; in any language,
including translations with stray Markdown escapes."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from markdown_it import MarkdownIt

from parity.core.errors import InputError
from parity.tools.examples.blocks import classify, fenced_block, unfenced_blocks
from parity.tools.examples.model import Block, Source
from parity.tools.examples.restructured import with_fences
from reference.errors import CheckpointError
from reference.files import read_bytes

LARGEST = 16
"""Maximum size of a page in megabytes; the libraries' longest documents have one."""
ADDRESS = re.compile(r"https?:/")
PROMPT = re.compile(r"^\s*>>>", re.MULTILINE)
NON_ASCII = re.compile(r"[^\x00-\x7f]+")
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class PageError(InputError):
    """A page cannot be read; the message names the file and the cause."""


def read_page(path: Path, name: str | None = None) -> Source:
    """Reads a documentation page, by default under its file's name.

    Raises:
        PageError: there is no such file, or it is not a text page.
    """
    if why := _no_page(path):
        raise PageError(f"{path}: {why}")
    try:
        content = read_bytes(path, LARGEST)
    except CheckpointError as error:
        raise PageError(f"{path}: cannot be read: {error.cause.removeprefix('cannot be read: ')}") from error
    text, notes = mend_encoding(_decode(content, path))
    return Source(name or path.name, "page", tuple(_blocks_of_page(text, path.suffix.lower())), tuple(notes))


def _no_page(path: Path) -> str:
    """A specific reason why a path is not a page, where one is more useful than that it cannot be read."""
    if ADDRESS.match(str(path)):
        return "an address; save the page, and name its file"
    if path.is_dir():
        return "a folder; name the pages in it"
    if path.suffix.lower() == ".ipynb":
        return "a notebook, each cell of which needs those before it; make it one script: jupyter nbconvert --to script"
    return ""


def _blocks_of_page(text: str, suffix: str) -> list[Block]:
    if suffix == ".py" and not PROMPT.search(text):
        return [classify(text, "python", 1)]
    return blocks_of(with_fences(text) if suffix == ".rst" else text, scarred=True)


def _decode(content: bytes, path: Path) -> str:
    encoding = next((name for mark, name in BOMS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise PageError(
            f"{path}: not text: byte 0x{content[error.start]:02x} at {error.start} is no {encoding}"
        ) from error
    if "\0" in text:
        raise PageError(f"{path}: not text: a zero byte at {text.index(chr(0))}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def mend_encoding(text: str) -> tuple[str, list[str]]:
    """Repairs UTF-8 that was decoded as Windows-1252 and encoded again.

    A run of characters outside ASCII is encoded back to the bytes it was decoded from; if those are valid UTF-8, they
    replace the run. Anything else is unchanged: ``café`` gives the single byte E9, which is not valid.

    Returns:
        The text, and a note for each repair.
    """
    mended = 0

    def mend(found: re.Match[str]) -> str:
        nonlocal mended
        try:
            meant = _bytes_before(found[0]).decode("utf-8")
        except UnicodeError:
            return found[0]
        mended += 1
        return meant

    repaired = NON_ASCII.sub(mend, text)
    return repaired, [f"{mended} runs of UTF-8 read as Windows-1252 put right"] if mended else []


def _bytes_before(run: str) -> bytes:
    """The bytes of a run; Windows-1252 leaves five bytes undefined, which decoders may map to control characters."""
    return b"".join(
        bytes([ord(letter)]) if 0x80 <= ord(letter) <= 0x9F else letter.encode("windows-1252") for letter in run
    )


def blocks_of(text: str, *, scarred: bool = False) -> list[Block]:
    """Every block of code of a page or a docstring, in order.

    Args:
        scarred: whether to remove backslashes that a translation left in the code.
    """
    lines = text.split("\n")
    blocks = []
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence" and token.map is not None:
            begin, end = token.map
            blocks.append(fenced_block(token.content, token.info, begin + 2, scarred=scarred))
            lines[begin:end] = [""] * (end - begin)
    blocks += unfenced_blocks(lines, scarred=scarred)
    return sorted(blocks, key=lambda block: block.line)
