"""``parity explain``: what a check claims, where the claim comes from, and what usually breaks it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from rich.text import Text

from parity.judge import known_issues
from parity.judge.checks import CHECKS, Check
from parity.judge.judge import select_checks
from parity.report.console import console, print_wrapped

INDENT = 16
"""Characters before the text of a line."""


def show_checks(names: list[str]) -> None:
    """Prints checks in full; without a name, or for a group, a line each.

    Raises:
        NothingToJudge: there is no such check or group; the message says which there are.
    """
    chosen = select_checks([name.upper() if name.upper() in CHECKS else name for name in names])
    out = console()
    if names and all(name.upper() in CHECKS for name in names):
        for check in chosen:
            for line in _whole(check).split("\n"):
                print_wrapped(out, line, INDENT)
        return
    for group in dict.fromkeys(check.group for check in chosen):
        out.print(Text(group, "bold"))
        for check in (each for each in chosen if each.group == group):
            print_wrapped(out, Text(f"  {check.id:<8} {check.claim}"), 11)


def _whole(check: Check) -> Text:
    text = Text.assemble((check.id, "bold"), f"  {check.group}\n")
    for name, content in _lines(check):
        text.append(f"  {name:<{INDENT - 3}} ", "bright_black")
        text.append(f"{content}\n")
    return text


def _lines(check: Check) -> Iterator[tuple[str, str]]:
    yield "Claim", check.claim
    yield "Source", check.source
    yield "Likely cause", check.likely_cause
    if check.function.__doc__:
        yield "Method", " ".join(inspect.cleandoc(check.function.__doc__).split())
    yield "Cases", ", ".join((*check.cases, *(f"{name} (read too)" for name in check.depends_on)))
    if check.requires:
        yield "Requires", ", ".join(check.requires)
    if check.role == "file":
        yield "Applies to", "the files themselves, whatever reads them"
    if any(check.id in entry.checks for entry in known_issues.entries()):
        yield "Known issues", f"parity known-issues --check {check.id}"
    yield "Run", f"parity audit CHECKPOINT --check {check.id}"
