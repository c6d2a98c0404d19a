"""A failure tells what, where, how much, against what, why, and how to see it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.text import Text

from parity.records import Divergence, Verdict
from parity.show.console import STYLES
from parity.show.matrix import subject_label

MANY = 4


@dataclass(frozen=True)
class Group:
    """Verdicts of one checkpoint that fail in one way: several cases or subjects; for an exception, several checks."""

    verdicts: tuple[Verdict, ...]

    @property
    def example(self) -> Verdict:
        """The one farthest past its budget; the first where there are no numbers."""
        return max(self.verdicts, key=_budgets)

    @property
    def checks(self) -> list[str]:
        return list(dict.fromkeys(verdict.check for verdict in self.verdicts))


def groups(verdicts: Iterable[Verdict]) -> list[Group]:
    """Failures and errors that are alike, together, in the order of their first."""
    found: dict[tuple[str, ...], list[Verdict]] = {}
    for verdict in verdicts:
        key = (verdict.status, verdict.checkpoint, verdict.device, verdict.dtype, *_cause(verdict))
        found.setdefault(key, []).append(verdict)
    return [Group(tuple(members)) for members in found.values()]


def _cause(verdict: Verdict) -> tuple[str, ...]:
    evidence = verdict.evidence
    if "exception" in evidence:
        # What a backend raises while it loads fails every claim about it: that is one cause, not twenty.
        return ("raised", evidence["exception"], str(evidence.get("frame")), str(evidence.get("phase")))
    if verdict.first_divergence is not None and verdict.first_divergence.error is not None:
        return (verdict.check, verdict.first_divergence.tensor)
    return (verdict.check, verdict.reason)


def block(group: Group, usually: str = "") -> Text:
    """The lines of one failure, the first its headline."""
    checks, status, where = headline(group)
    text = Text(f"{checks} ", "bold")
    text.append(status, STYLES[status])
    text.append(f" · {where}")
    for name, line in lines(group, usually):
        text.append(f"\n  {name:<8} ", "bright_black")
        text.append(line)
    return text


def headline(group: Group) -> tuple[str, str, str]:
    """Checks, status, and where: subjects, checkpoint, dtype and device."""
    verdict = group.example
    where = (_listed([subject_label(v) for v in group.verdicts]), verdict.checkpoint, verdict.dtype, verdict.device)
    return _listed(group.checks), verdict.status, " · ".join(where)


def lines(group: Group, usually: str = "") -> Iterable[tuple[str, str]]:
    """What the block says below its headline, each line with its name.

    Args:
        usually: the check's own list of usual causes.
    """
    verdict, evidence = group.example, group.example.evidence
    first = verdict.first_divergence
    if len(group.checks) == 1:
        yield "claim", verdict.claim
    yield "cases", _listed([v.case for v in group.verdicts])
    if first is not None and first.error is not None:
        yield "first", first.tensor + _at(first.at) + _inputs(first)
    else:
        yield "found", " ".join(verdict.reason.split())
    if verdict.error is not None and verdict.budget is not None:
        times = f", {_budgets(verdict):,.3g} budgets" if verdict.budget else ""
        yield "error", f"{verdict.error:.1e} relative to the tensor's scale{times} (budget {verdict.budget:.1e})"
    worst = evidence.get("worst") or {}
    if "index" in worst:
        at = _at(worst["index"]).removeprefix(" at ")
        actual, expected = _value(worst.get("actual")), _value(worst.get("expected"))
        yield "worst", f"{worst['tensor']}{at}  actual {actual}  expected {expected}"
    if evidence.get("alone") is not None:
        made = "made in this layer" if evidence["alone"] > 1 else "what came to this layer was already off"
        yield "alone", f"{evidence['alone']:,.3g} budgets when given the oracle's own states: {made}"
    if evidence.get("oracle_suspected"):
        yield "oracle", f"suspected: {', '.join(evidence['oracle_suspected'])} gives the same answer"
    if usually and verdict.status == "fail" and "exception" not in evidence:
        yield "likely", usually
    if evidence.get("again"):
        yield "again", evidence["again"]


def _budgets(verdict: Verdict) -> float:
    if verdict.error is None or not verdict.budget:
        return float("-inf")
    return verdict.error / verdict.budget


def _inputs(first: Divergence) -> str:
    if first.inputs_within is None:
        return ""
    if first.inputs_within <= 1:
        return f"; its inputs agree to {first.inputs_within:.2g} budgets"
    return f"; its inputs were already off by {first.inputs_within:,.3g} budgets"


def _at(index: dict[str, int]) -> str:
    return f" at [{', '.join(f'{axis} {place}' for axis, place in index.items())}]" if index else ""


def _value(number: float | None) -> str:
    return "not finite" if number is None else f"{number:+.6g}"


def _listed(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    if len(names) <= MANY:
        return ", ".join(names)
    return f"{', '.join(names[: MANY - 1])} and {len(names) - MANY + 1} more"
