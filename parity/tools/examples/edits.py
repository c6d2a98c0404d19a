"""Small edits of an example's statements: adding an argument, removing an argument, replacing the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from parity.tools.examples.blocks import last_line, parse
from parity.tools.examples.dependence import called
from parity.tools.examples.model import Block


def changed(block: Block, number: int, code: str) -> Block:
    """The block with the code of one statement replaced."""
    statements = list(block.statements)
    statements[number] = replace(statements[number], code=code)
    return replace(block, statements=tuple(statements))


def with_argument(code: str, call: str, argument: str) -> str:
    """A statement with an argument added to the call of a method; empty where it has no such call."""
    for node in _calls(code):
        if called(node) == call:
            content = code.encode()
            end = _end(content, node) - len(")")
            head = content[:end].decode()
            comma = "" if head.rstrip().endswith(("(", ",")) else ", "
            return f"{head}{comma}{argument}{content[end:].decode()}"
    return ""


def without_argument(code: str, name: str) -> tuple[str, str]:
    """A statement without a named argument of a call, and that argument's value; both empty where no call has it."""
    for node in _calls(code):
        given = next((each for each in node.keywords if each.arg == name), None)
        if given is not None:
            return _cut(code, node, given), ast.get_source_segment(code, given.value) or ""
    return "", ""


def _cut(code: str, call: ast.Call, argument: ast.keyword) -> str:
    """Removes an argument with the comma before it, or after it if it is the first."""
    content = code.encode()
    arguments = sorted([*call.args, *call.keywords], key=lambda each: (each.lineno, each.col_offset))
    at = arguments.index(argument)
    begin = _offset(content, argument.lineno, argument.col_offset)
    end = _end(content, argument)
    if at:
        begin = _end(content, arguments[at - 1])
    elif arguments[1:]:
        end = _offset(content, arguments[1].lineno, arguments[1].col_offset)
    return (content[:begin] + content[end:]).decode()


def _calls(code: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(parse(code)) if isinstance(node, ast.Call))


def _end(content: bytes, node: ast.expr | ast.keyword) -> int:
    """The end offset of a parsed node."""
    return _offset(content, last_line(node), node.col_offset if node.end_col_offset is None else node.end_col_offset)


def _offset(content: bytes, line: int, column: int) -> int:
    """The offset of a position of Python's parser, which counts lines from 1, and bytes within a line from 0."""
    return sum(len(each) for each in content.split(b"\n")[: line - 1]) + line - 1 + column
