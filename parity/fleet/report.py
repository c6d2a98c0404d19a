"""The page of a fleet: which checkpoints diverge, grouped by cause, with links to the report of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment

from parity.core.display import printable, sentence
from parity.core.resources import data
from parity.core.version import __version__
from parity.fleet.causes import Causes
from parity.fleet.folder import Folder
from parity.fleet.outcome import Outcome
from parity.report.console import plural
from parity.report.html.head import ORDER
from parity.report.html.page import environment_of

PAGE = "index.html"
SHOWN_LINKS = 40
"""Checkpoints of a cause that the page names; the table has all."""
SHOWN_LIBRARIES = ("python", "torch", "transformers", "tensorflow", "tensorflow-cpu", "jax", "flax")
REASON = 400
"""Characters of a reason that are shown."""


@dataclass(frozen=True)
class Link:
    """A checkpoint on the page."""

    label: str
    href: str
    """Of its own report; empty for one that was not audited."""


def write_report(folder: Folder) -> str:
    """Writes ``index.html`` into the directory of a fleet, atomically.

    Returns:
        Where the page is.

    Raises:
        InputError: ``RecordError`` (there is no fleet, or a file of it is damaged), ``OutputError`` (the page cannot be
            written), or pyarrow is not installed.
    """
    return folder.put(PAGE, render(folder).encode("utf-8", "backslashreplace").decode())


def render(folder: Folder) -> str:
    """The page's HTML."""
    outcomes, causes = folder.outcomes(), Causes()
    for outcome, rows in folder.tables():
        causes.add(outcome.name, rows)
    totals = Counter[str]()
    for each in outcomes:
        totals.update(each.totals.model_dump(by_alias=True))
    states = Counter(each.state for each in outcomes)
    diverging = sum(1 for each in outcomes if each.totals.fail or each.totals.error)
    return (
        _templates()
        .get_template("page.html.jinja")
        .render(
            answer=_answer(states, diverging),
            status="fail" if diverging else "error" if len(states) > 1 or not states["audited"] else "pass",
            totals=[(status, totals[status]) for status in ORDER if totals[status]],
            cells=sum(totals.values()),
            asked=folder.asked(),
            groups=causes.groups,
            upgrades=causes.upgrades,
            by_stack=sorted(causes.by_stack.items()),
            versions=_versions(outcomes),
            outcomes=sorted(outcomes, key=_worst_first),
            links={each.name: _link(each) for each in outcomes},
            shown_links=SHOWN_LINKS,
            order=ORDER,
            parity_version=__version__,
        )
    )


def _answer(states: Counter[str], diverging: int) -> str:
    audited = states["audited"]
    if diverging:
        answer = f"{diverging} of {plural(audited, 'audited checkpoint')} diverge{'s' if diverging == 1 else ''}"
    else:
        answer = f"No failure in {plural(audited, 'audited checkpoint')}"
    others = [f"{states[state]} {state}" for state in ("unreadable", "set aside") if states[state]]
    return ", ".join([answer, *others])


def _worst_first(outcome: Outcome) -> tuple[bool, int, str, str]:
    failed = outcome.totals.fail + outcome.totals.error
    return (outcome.state == "audited", -failed, outcome.checkpoint, outcome.device)


def _link(outcome: Outcome) -> Link:
    href = f"reports/{outcome.name}/report.html" if outcome.state == "audited" else ""
    return Link(outcome.label, href)


def _versions(outcomes: list[Outcome]) -> Mapping[str, list[str]]:
    """By stack, the versions of its libraries; several where machines differ."""
    found: dict[str, dict[str, None]] = {}
    for each in (each for each in outcomes if each.state == "audited"):
        for stack, versions in each.versions.items():
            named = [f"{name} {versions[name]}" for name in SHOWN_LIBRARIES if name in versions]
            found.setdefault(stack, {})[", ".join(named)] = None
    return {stack: list(texts) for stack, texts in found.items()}


@cache
def _templates() -> Environment:
    environment = environment_of(data("fleet"), data("report/html"))
    environment.filters["printable"] = printable
    environment.filters["sentence"] = lambda text: sentence(text, REASON)
    return environment
