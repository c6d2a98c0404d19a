"""Detects names that an example uses from an earlier one on its page: it fails, because each is run separately."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from parity.tools.examples.blocks import parse
from parity.tools.examples.diagnosis import Diagnosis
from parity.tools.examples.model import Block
from parity.tools.examples.results import ExampleResult


def goes_on_from(result: ExampleResult, earlier: Sequence[Block]) -> Diagnosis | None:
    """Reports where an undefined name is defined; None where there is no such name, or no earlier example defines
    it."""
    raised = next((each.raised for each in result.statements if each.status == "breaks"), None)
    found = re.match(r"name '(\w+)' is not defined", raised.message) if raised else None
    if raised is None or raised.type != "NameError" or found is None:
        return None
    for block in reversed(earlier):
        if any(found[1] in names_bound(each.code) for each in block.statements):
            return Diagnosis(f"{found[1]} is defined in the example at line {block.line}, and each is run alone")
    return None


def names_bound(code: str) -> set[str]:
    """Names that a statement assigns, at its top level or deeper."""
    try:
        return set(_bound(parse(code)))
    except SyntaxError:
        return set()


def _bound(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
