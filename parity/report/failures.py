"""The text of a failure: claim, first divergence, size of the error, likely cause, and a command to reproduce it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from parity.core.display import at_index
from parity.core.records import Verdict
from parity.report.console import STYLES

MANY = 4
LABEL = 17
"""Characters of the longest label of a block's line."""
INDENT = LABEL + 4
"""Characters before the text of a block's line."""
REPRODUCE = "Reproduce"
LIKELY_CAUSE = "Likely cause"
FIRST_DIVERGENCE = "First divergence"
FOUND = "Found"
GREATEST_ERROR = "Greatest error"


@dataclass(frozen=True)
class Group:
    """Verdicts of one checkpoint that fail in one way: several cases or subjects; for an exception, several checks."""

    verdicts: tuple[Verdict, ...]

    @property
    def example(self) -> Verdict:
        """The one farthest past its tolerance; the first where there are no numbers."""
        return max(self.verdicts, key=lambda verdict: float("-inf") if verdict.ratio is None else verdict.ratio)

    @property
    def checks(self) -> list[str]:
        return list(dict.fromkeys(verdict.check for verdict in self.verdicts))


@dataclass(frozen=True)
class Origin:
    """Failures that begin in one place, whatever checks, checkpoints and subjects they are of."""

    groups: tuple[Group, ...]

    @property
    def verdicts(self) -> list[Verdict]:
        return [verdict for group in self.groups for verdict in group.verdicts]

    @property
    def location(self) -> str:
        """The first tensor out of tolerance, or what was found."""
        verdict = self.groups[0].example
        first = verdict.first_divergence
        return first.tensor if first is not None else " ".join(verdict.reason.split())

    @property
    def inputs_within(self) -> float | None:
        """The largest error/tolerance among the first tensor's inputs, of the cells that the failures show; None where
        it has none."""
        return max(self._inputs_within, default=None)

    @property
    def _inputs_within(self) -> list[float]:
        """For each failure that of its example, the cell whose numbers its text has."""
        firsts = [group.example.first_divergence for group in self.groups]
        return [each.inputs_within for each in firsts if each is not None and each.inputs_within is not None]

    @property
    def inputs(self) -> str:
        """``; inputs agree (0.28 × tolerance)``; ``at most 0.28`` where the failures differ."""
        return _inputs(self.inputs_within, "at most " if len(set(self._inputs_within)) > 1 else "")

    @property
    def where(self) -> str:
        """Subjects, checkpoints, dtypes and devices."""
        words = (
            [v.subject_label for v in self.verdicts],
            [v.checkpoint for v in self.verdicts],
            [v.dtype for v in self.verdicts],
            [v.device for v in self.verdicts],
        )
        return " · ".join(map(_listed, words))

    @property
    def checks(self) -> str:
        return _listed([check for group in self.groups for check in group.checks])


def origins(found: Iterable[Group]) -> list[Origin]:
    """Where failures begin: first those whose inputs were still right, of these the one that most cells name.

    What follows from another failure (``followed``) begins nowhere, unless it names a tensor of its own.
    """
    by_location: dict[tuple[str, ...], list[Group]] = {}
    found = list(found)
    for group in (
        each for each, root in zip(found, followed(found), strict=True) if root is None or _has_location(each)
    ):
        verdict = group.example
        first = verdict.first_divergence
        location = _cause(verdict) if first is None else (first.tensor, str(_made_here(first.inputs_within)))
        by_location.setdefault((verdict.status, *location), []).append(group)
    made = [Origin(tuple(members)) for members in by_location.values()]
    return sorted(made, key=lambda origin: (not _made_here(origin.inputs_within), -len(origin.verdicts)))


def _has_location(group: Group) -> bool:
    return group.example.first_divergence is not None


def _made_here(inputs_within: float | None) -> bool:
    return inputs_within is not None and inputs_within <= 1


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


_OF_VALUES = ("FILE01", "LOAD01", "LOAD02", "LOAD03")
"""Checks that find other weights in memory, or in the file, than there should be: then all that is computed differs."""
_COMPUTED = ("attention", "cache", "generation", "invariance", "losses", "numbers", "sampling", "training")
"""Check groups on what a model computes."""


def followed(found: Sequence[Group]) -> list[Group | None]:
    """For each group the one that it follows from: of a checkpoint and a subject, what failed first; None for that one.

    What is computed follows from weights that differ, and from the first tensor that left its tolerance while its
    inputs were within theirs. What raises, or is no number (a class, a file, a tokenizer), has a cause of its own.
    """
    begun: dict[tuple[str, str], list[Group]] = {}
    for group in found:
        for key in _keys(group):
            begun.setdefault(key, []).append(group)
    firsts = {key: min(groups, key=_rank) for key, groups in begun.items() if _rank(min(groups, key=_rank)) < _NO_ROOT}
    return [_root(group, firsts) for group in found]


_NO_ROOT = 3


def _keys(group: Group) -> list[tuple[str, str]]:
    return list(dict.fromkeys((verdict.checkpoint, verdict.subject_label) for verdict in group.verdicts))


def _rank(group: Group) -> int:
    """How early a failure is: weights, the first divergence made where it shows, any other divergence, the rest."""
    if set(group.checks) & {*_OF_VALUES} and "exception" not in group.example.evidence:
        return 0
    first = group.example.first_divergence
    if first is None or first.tolerance is None or not _is_computed(group):
        return _NO_ROOT
    return 1 if _made_here(first.inputs_within) or first.inputs_within is None else 2


def _is_computed(group: Group) -> bool:
    from parity.judge.checks import CHECKS

    return all(check in CHECKS and CHECKS[check].group in _COMPUTED for check in group.checks)


def _root(group: Group, firsts: Mapping[tuple[str, str], Group]) -> Group | None:
    """The group that this one follows from, the same for all its subjects or the first of them."""
    roots = [firsts.get(key) or firsts.get((key[0], "file")) for key in _keys(group)]
    weights = [firsts[key[0], "file"] for key in _keys(group) if (key[0], "file") in firsts]
    roots = weights or roots
    if not all(roots) or group in roots or "exception" in group.example.evidence:
        return None
    return roots[0] if _is_computed(group) or set(group.checks) <= {*_OF_VALUES} else None


def usual_causes(found: Sequence[Group], likely_cause: Callable[[str], str]) -> list[tuple[str, str]]:
    """For each group the check's list of usual causes, and what it follows from; one of the two is empty.

    Args:
        likely_cause: by a check's id.
    """
    causes = []
    for group, root in zip(found, followed(found), strict=True):
        causes.append((likely_cause(group.example.check), "") if root is None else ("", _named(root)))
    return causes


def _named(group: Group) -> str:
    first = group.example.first_divergence
    return f"{_listed(group.checks)}" + (f" at {first.tensor}" if first is not None else "")


def block(group: Group, likely_cause: str = "", follows: str = "") -> Text:
    """The lines of one failure, the first its headline."""
    checks, status, where = headline(group)
    text = Text(f"{checks} ", "bold")
    text.append(status, STYLES[status])
    text.append(f" · {where}")
    for name, line in lines(group, likely_cause, follows):
        text.append(f"\n  {name:<{LABEL}}  ", "bright_black")
        text.append(line)
    return text


def headline(group: Group) -> tuple[str, str, str]:
    """Checks, status, and where: subjects, checkpoint, dtype and device."""
    verdict = group.example
    where = (_listed([v.subject_label for v in group.verdicts]), verdict.checkpoint, verdict.dtype, verdict.device)
    return _listed(group.checks), verdict.status, " · ".join(where)


def lines(group: Group, likely_cause: str = "", follows: str = "") -> Iterable[tuple[str, str]]:
    """Returns the pairs of label and text that are shown below a failure's headline.

    Args:
        likely_cause: the common causes that the check declares; from ``usual_causes``.
        follows: the earlier failure that explains this one, if there is one; from ``usual_causes``.
    """
    verdict, evidence = group.example, group.example.evidence
    first = verdict.first_divergence
    if len(group.checks) == 1:
        yield "Claim", verdict.claim
    yield "Cases", _listed([v.case for v in group.verdicts])
    if first is not None and first.error is not None:
        yield FIRST_DIVERGENCE, first.tensor + at_index(first.at) + _inputs(first.inputs_within)
    else:
        yield FOUND, " ".join(verdict.reason.split())
    yield from _magnitude(verdict)
    if (layer_ratio := evidence.get("layer_ratio")) is not None:
        made = "the error is made in this layer" if layer_ratio > 1 else "the error comes from the layer's input"
        yield "Layerwise", f"{layer_ratio:,.3g} × tolerance on the oracle's input: {made}"
    if evidence.get("oracle_suspected"):
        yield "Oracle", f"suspected: {', '.join(evidence['oracle_suspected'])} gives the same answer"
    known = evidence.get("known_issue") if verdict.status == "fail" else None
    if known:  # under --strict
        yield "Known issue", f"{known} ({evidence.get('source') or f'parity known-issues {known}'})"
    elif likely_cause and verdict.status == "fail" and "exception" not in evidence:
        yield LIKELY_CAUSE, likely_cause
    if follows:
        yield "Follows from", follows
    if evidence.get("excused"):
        yield "Known, excluded", ", ".join(evidence["excused"])
    if evidence.get("reproduce"):
        yield REPRODUCE, evidence["reproduce"]


def plain_lines(pairs: Iterable[tuple[str, str]]) -> str:
    """Lines of a block as text, a label and its text on each."""
    return "\n".join(f"{name:<{LABEL}}  {line}" for name, line in pairs)


def _magnitude(verdict: Verdict) -> Iterable[tuple[str, str]]:
    """How many slices differ, the greatest error as a multiple of tolerance, and both values where it is greatest."""
    worst = verdict.evidence.get("worst") or {}
    tensor = str(worst.get("tensor", ""))
    if over := verdict.evidence.get("slices_over"):
        slices = verdict.evidence.get("slices")
        share = f" / {slices} ({100 * over / slices:.3g} %)" if slices else ""
        yield "Mismatched slices", f"{over}{share}" + (f" in {tensor}" if tensor else "")
    if verdict.error is not None and verdict.tolerance is not None:
        where = (f" in {tensor}" if tensor else "") + at_index(worst.get("at") or {})
        times = ", tolerance" if verdict.ratio is None else f" = {verdict.ratio:,.3g} × tolerance"
        yield GREATEST_ERROR, f"{verdict.error:.1e}{where}{times} ({verdict.tolerance:.1e}, measured)"
    if "index" in worst:
        actual, expected = _value(worst.get("actual")), _value(worst.get("expected"))
        yield "Worst element", f"{tensor}{at_index(worst['index'])}: actual {actual}, expected {expected}"


def _inputs(within: float | None, most: str = "") -> str:
    if within is None:
        return ""
    if _made_here(within):
        return f"; inputs agree ({most}{within:.2g} × tolerance)"
    return f"; inputs already differ ({most}{within:,.3g} × tolerance)"


def _value(number: float | None) -> str:
    return "not finite" if number is None else f"{number:+.6g}"


def _listed(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    if len(names) <= MANY:
        return ", ".join(names)
    return f"{', '.join(names[: MANY - 1])} and {len(names) - MANY + 1} more"
