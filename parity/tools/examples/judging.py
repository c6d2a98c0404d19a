"""Judges documented statements: holds, breaks, differs, not compared."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator, Sequence
from typing import Any

from parity.tools.examples.blocks import parse
from parity.tools.examples.dependence import Needs, ids_of, read_all
from parity.tools.examples.model import Block, Statement
from parity.tools.examples.process import Answer, Outcome
from parity.tools.examples.results import ExampleResult, Raised, StatementResult, Status

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d+(e[-+]?\d+)?(?![\w.])")
WORST_FIRST: tuple[Status, ...] = ("breaks", "differs", "not compared", "not reached", "not run", "holds")
NO_NETWORK = (
    "no network: ",
    "OfflineModeIsEnabled",
    "outgoing traffic has been disabled",
    "couldn't connect to",
    "Cannot find the requested files in the disk cache",
    "LocalEntryNotFoundError",
)


def not_run(name: str, source: str, block: Block, stack: str, reason: str) -> ExampleResult:
    """The result of an example that was not run."""
    statements = [
        StatementResult(line=each.line, code=each.code, expected=each.expected, status="not run", reason=reason)
        for each in block.statements
    ]
    return ExampleResult(
        name=name,
        source=source,
        stack=stack,
        line=block.line,
        status="not run",
        reason=reason,
        needs=list(ids_of(block)),
        statements=statements,
    )


def judge(
    name: str, source: str, block: Block, stack: str, outcome: Outcome, standing_in: frozenset[str]
) -> ExampleResult:
    """Judges one example.

    Args:
        standing_in: ids for which the example used a stand-in instead of the real checkpoint or data set.
    """
    if outcome.not_begun:
        return not_run(name, source, block, stack, outcome.not_begun)
    needs, ids = read_all([each.code for each in block.statements])
    statements = []
    for number, statement in enumerate(block.statements):
        own = needs[number] & standing_in
        if number < len(outcome.answers):
            raised = _with_document_line(outcome.answers[number].raised, block.line)
            statements.append(_judge_one(statement, outcome.answers[number], raised, own, block.kind == "session"))
        elif number == len(outcome.answers) and outcome.ended:
            statements.append(_result(statement, "breaks", reason=outcome.ended))
        else:
            statements.append(_result(statement, "not reached"))
    status = worst([each.status for each in statements if each.status != "not reached"])
    decisive = next((each for each in statements if each.status == status), None)
    return ExampleResult(
        name=name,
        source=source,
        stack=stack,
        line=block.line,
        status=status,
        reason=decisive.reason if decisive else "",
        needs=list(ids),
        statements=statements,
        wrote_outside=list(outcome.wrote_outside),
        seconds=round(outcome.seconds, 2),
    )


def worst(statuses: Sequence[Status]) -> Status:
    """The worst status, which is that of the example."""
    return min(statuses, key=WORST_FIRST.index) if statuses else "not run"


def _result(statement: Statement, status: Status, **more: Any) -> StatementResult:
    return StatementResult(line=statement.line, code=statement.code, expected=statement.expected, status=status, **more)


def _with_document_line(raised: dict[str, Any] | None, begin: int) -> Raised | None:
    """An exception with its line in the document, for a block that starts at ``begin``."""
    if raised is None:
        return None
    return Raised.model_validate(raised | ({"line": raised["line"] + begin - 1} if raised["line"] else {}))


def _judge_one(
    statement: Statement, answer: Answer, raised: Raised | None, needs: Needs, session: bool
) -> StatementResult:
    got = answer.output
    details = {"got": got, "raised": raised, "seconds": round(answer.seconds, 3)}
    if raised is not None:
        if _documents_this(statement.expected, raised):
            return _result(statement, "holds", reason="raises what is documented", **details)
        if raised.type == "AssertionError" and (needs.values or (needs.widths and _has_numbers(statement.code))):
            return _result(statement, "not compared", reason=_lacks(needs), **details)
        if any(mark in f"{raised.type}: {raised.message}" for mark in NO_NETWORK):
            return _result(statement, "not run", reason=f"needs the network: {raised.first_line}", **details)
        if raised.type == "AssertionError" and _asserts(statement.code):
            return _result(statement, "differs", reason=f"what is asserted is not so: {raised.first_line}", **details)
        return _result(statement, "breaks", reason=f"{raised.type}: {raised.first_line}", **details)
    if _is_value_assertion(statement.code, needs):
        return _result(statement, "not compared", reason=_lacks(needs), **details)
    if not session or not statement.expected:
        return _result(statement, "holds", **details)
    if needs.values:
        problem = "" if needs.shapes else structure_differs(statement.expected, got)
        status: Status = "differs" if problem else "not compared"
        return _result(statement, status, reason=problem or _lacks(needs), **details)
    if agrees(statement.expected, got):
        return _result(statement, "holds", **details)
    if needs.widths and (_is_no_truth(statement.expected) or _has_numbers(statement.code)):
        problem = structure_differs(statement.expected, got)
        return _result(statement, "differs" if problem else "not compared", reason=problem or _lacks(needs), **details)
    problem = f"shows {_short(got)}, documented is {_short(statement.expected)}"
    return _result(statement, "differs", reason=problem, **details)


def _lacks(needs: Needs) -> str:
    return f"needs {', '.join(sorted(needs.values or needs.widths))}"


def _is_no_truth(expected: str) -> bool:
    """Whether the documented value is not ``True`` or ``False``; it may then depend on a width."""
    return expected.strip() not in ("True", "False")


def _has_numbers(code: str) -> bool:
    """Whether the code contains numbers, which may be widths of the real checkpoint."""
    constants = (node.value for node in _nodes(code) if isinstance(node, ast.Constant))
    return any(isinstance(value, int | float) and not isinstance(value, bool) for value in constants)


def _nodes(code: str) -> Iterator[ast.AST]:
    """The nodes of a statement; empty if only the stack's Python can parse it."""
    try:
        yield from ast.walk(parse(code))
    except SyntaxError:
        return


def _is_value_assertion(code: str, needs: Needs) -> bool:
    """Whether it asserts something about weights that are not available, so that the result means nothing."""
    return bool(needs.values) and _asserts(code)


def _asserts(code: str) -> bool:
    return any(isinstance(node, ast.Assert) for node in _nodes(code))


def _documents_this(expected: str, raised: Raised) -> bool:
    """Whether the document shows the traceback of this exception."""
    shown = expected.strip().splitlines()
    return (
        bool(shown) and shown[0].startswith("Traceback") and shown[-1].strip() == raised.text.strip().splitlines()[-1]
    )


def agrees(expected: str, got: str) -> bool:
    """Whether the output equals the documented one, ignoring white space, with ``...`` matching anything, and numbers
    compared to the documented number of digits."""
    checker = doctest.OutputChecker()
    if checker.check_output(expected, got, FLAGS):
        return True
    numbers = [found[0] for found in NUMBER.finditer(expected)]
    others = [found[0] for found in NUMBER.finditer(got)]
    if not numbers or len(numbers) != len(others) or NUMBER.sub("#", expected).split() != NUMBER.sub("#", got).split():
        return False
    return all(_rounds_to(other, number) for number, other in zip(numbers, others, strict=True))


def _rounds_to(given: str, documented: str) -> bool:
    mantissa, _, exponent = documented.lower().partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(float(given) - float(documented)) <= unit / 2 * (1 + 1e-9)


def structure_differs(expected: str, got: str) -> str:
    """The difference in type or length between the documented and the shown value; empty if there is none, or if one of
    them is not a literal."""
    try:
        documented, shown = ast.literal_eval(expected.strip()), ast.literal_eval(got.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    return _structure(documented, shown, "the value")


def _structure(documented: Any, shown: Any, what: str) -> str:
    if type(documented) is not type(shown):
        return f"{what} is of type {type(shown).__name__}, documented is {type(documented).__name__}"
    if not isinstance(documented, list | tuple | dict):
        return ""
    if len(documented) != len(shown):
        return f"{what} has length {len(shown)}, documented is {len(documented)}"
    if isinstance(documented, dict):
        return ""
    pairs = enumerate(zip(documented, shown, strict=True))
    return next((found for n, (one, two) in pairs if (found := _structure(one, two, f"{what}[{n}]"))), "")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return (line if len(line) <= 80 else f"{line[:77]}...") or "nothing"
