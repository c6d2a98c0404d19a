"""Converts reStructuredText's code blocks to Markdown fences, which all other modules here read."""

from __future__ import annotations

import re
import textwrap

FENCE = "~" * 8
CODE = re.compile(r"(\s*)\.\. (?:code-block|code|sourcecode|testcode|doctest)::\s*(\S*)")
LITERAL = re.compile(r"(\s*)(?!\.\. )(?:\S.*)?::()$")
OPTION = re.compile(r"\s+:[\w-]+:")


def with_fences(text: str) -> str:
    """The text with a fence around each indented block below ``.. code-block:: LANGUAGE`` or ``::``.

    Line numbers are preserved up to a block that ends without the required blank line.
    """
    lines, at = [*text.split("\n"), ""], 0
    while at < len(lines):
        found = CODE.match(lines[at]) or LITERAL.match(lines[at])
        at += 1
        if found is None:
            continue
        begin, end = _content(lines, at, len(found[1]))
        if begin == end:
            continue
        lines[begin:end] = textwrap.dedent("\n".join(lines[begin:end])).split("\n")
        lines[begin - 1] = f"{FENCE}{found[2]}"
        lines[end : end + (not lines[end].strip())] = [FENCE]
        at = end + 1
    return "\n".join(lines)


def _content(lines: list[str], begin: int, indent: int) -> tuple[int, int]:
    """The lines of a directive's content, end exclusive: those indented more than the directive, without its
    options."""
    while begin < len(lines) and (not lines[begin].strip() or OPTION.match(lines[begin])):
        begin += 1
    end = begin
    for at in range(begin, len(lines)):
        if lines[at].strip():
            if len(lines[at]) - len(lines[at].lstrip()) <= indent:
                break
            end = at + 1
    return begin, end
