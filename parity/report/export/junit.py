"""JUnit XML: a suite for each checkpoint and subject, a test for each cell.

The elements and attributes are those that Jenkins, GitLab and pytest agree on. A known divergence is skipped, as
pytest writes an expected failure, and says which entry of the list of known issues expects it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from parity.core.display import sentence, shown
from parity.core.records import Report, Verdict
from parity.report.failures import Group, lines, plain_lines
from parity.report.terminal import likely_cause


def junit(report: Report) -> str:
    """The whole document. What is no character of XML 1.0 (section 2.2) is shown as an escape, as in every output."""
    report = shown(report)
    suites: dict[tuple[str, ...], list[Verdict]] = {}
    for verdict in report.verdicts:
        key = (verdict.checkpoint, verdict.subject_label, verdict.device, verdict.dtype, verdict.model_class)
        suites.setdefault(key, []).append(verdict)
    root = ET.Element("testsuites", {"name": "parity", **_counts(report.verdicts, len(report.unreadable))})
    if report.cost is not None:
        root.set("time", f"{report.cost.wall_seconds:.3f}")
    for key, verdicts in suites.items():
        root.append(_suite(report, key, verdicts))
    if report.unreadable:
        root.append(_unreadable(report))
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(report: Report, key: tuple[str, ...], verdicts: list[Verdict]) -> ET.Element:
    suite = ET.Element("testsuite", {"name": " · ".join(key), "timestamp": report.started, **_counts(verdicts)})
    environment = report.environments.get(verdicts[0].stack, {})
    properties = ET.SubElement(suite, "properties")
    for name, version in (environment.get("versions") or {}).items():
        if version:
            ET.SubElement(properties, "property", {"name": name, "value": str(version)})
    for verdict in verdicts:
        suite.append(_test(key, verdict))
    return suite


def _test(key: tuple[str, ...], verdict: Verdict) -> ET.Element:
    test = ET.Element("testcase", {"classname": ".".join(key), "name": f"{verdict.check}[{verdict.case}]"})
    if verdict.status in ("fail", "error"):
        pairs = lines(Group((verdict,)), likely_cause(verdict.check))
        tag = "failure" if verdict.status == "fail" else "error"
        element = ET.SubElement(test, tag, {"type": verdict.status, "message": sentence(verdict.reason)})
        element.text = plain_lines(pairs)
    elif verdict.status in ("known", "skip"):
        ET.SubElement(test, "skipped", {"type": verdict.status, "message": sentence(verdict.reason)})
    return test


def _unreadable(report: Report) -> ET.Element:
    """A suite of checkpoints that could not be read: each is an error."""
    suite = ET.Element(
        "testsuite",
        {"name": "unreadable checkpoints", "timestamp": report.started, **_counts([], len(report.unreadable))},
    )
    for each in report.unreadable:
        test = ET.SubElement(suite, "testcase", {"classname": "unreadable", "name": sentence(each.name)})
        ET.SubElement(test, "error", {"type": "unreadable", "message": sentence(each.cause)})
    return suite


def _counts(verdicts: Iterable[Verdict], unreadable: int = 0) -> dict[str, str]:
    counts = Counter(verdict.status for verdict in verdicts)
    counts["error"] += unreadable
    skipped = counts["skip"] + counts["known"]
    found = {"tests": counts.total(), "failures": counts["fail"], "errors": counts["error"], "skipped": skipped}
    return {name: str(count) for name, count in found.items()}
