"""Formats the results of documented examples as a Markdown page: ``documented.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from parity.core.display import markdown, markdown_code, shown
from parity.report.coverage import DOCUMENTED
from parity.tools.examples.results import DocsReport, ExampleResult, StackRecord, StatementResult, Status

SHOWN: tuple[Status, ...] = ("holds", "not compared", "differs", "breaks", "not reached", "not run")
WRONG: tuple[Status, ...] = ("breaks", "differs")
HEAD = """# Documented examples, executed

Made by `parity doctest`; each example was run unmodified, in a process of its own, with {checkpoints}.
An example is one block of code, a statement one `>>>` or one top-level statement of a script.

- `holds`: it ran, and what it shows is what is documented, or nothing is documented
- `not compared`: it ran; what is documented depends on weights that were not there
- `differs`: it shows something else, whatever the weights
- `breaks`: it raises, or its process ends; the statements behind it are `not reached`
- `not run`: a checkpoint or data set is neither there nor has a stand-in
"""
WITH = {"stand-in": "tiny stand-ins for the checkpoints and data sets it names", "real": "the checkpoints it names"}


def page(report: DocsReport) -> str:
    """The whole page; texts from pages and libraries are escaped as text or code, never rendered as markup."""
    report = shown(report)
    parts = [
        HEAD.format(checkpoints=WITH[report.mode]).splitlines(),
        _section("By stack", _by_stack(report)),
        _section("By documented class", _by_class(report)),
        _section("By page", _by_page(report)),
        _section("Wrong", _wrong(report)),
        _section("Not the same in every stack", _across(report)),
        _section("Not compared, by checkpoint", _not_compared(report)),
        _section("Not run", _not_run(report)),
        _section("Read, and not executed", _not_executed(report)),
        _section("Written outside the scratch folder", _written(report)),
    ]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return ["", f"## {title}", "", *found] if found else []


def _counts(results: Iterable[ExampleResult | StatementResult]) -> str:
    counts = Counter(each.status for each in results)
    executed = counts.total() - counts["not reached"] - counts["not run"]
    return " | ".join([str(counts.total()), str(executed), *(str(counts[status] or "–") for status in SHOWN)])


def _statements(examples: Iterable[ExampleResult]) -> list[StatementResult]:
    return [statement for example in examples for statement in example.statements]


def _by_stack(report: DocsReport) -> Iterator[str]:
    yield f"| stack | versions | | found | executed | {' | '.join(SHOWN)} |"
    yield "|---|---|---|" + "---|" * (len(SHOWN) + 2)
    for stack in report.stacks:
        own = [each for each in report.examples if each.stack == stack.name]
        versions = markdown(", ".join(f"{name} {version}" for name, version in stack.versions.items()))
        yield f"| {_row_code(stack.name)} | {versions} | examples | {_counts(own)} |"
        yield f"| | | statements | {_counts(_statements(own))} |"


def _by_class(report: DocsReport) -> Iterator[str]:
    stacks = [stack for stack in report.stacks if any(each.stack == stack.name for each in report.sources)]
    for stack in stacks:
        version = markdown(stack.versions.get("transformers", "?"))
        yield f"### {markdown_code(stack.name)}: transformers {version}"
        yield ""
        yield f"| class | examples | statements | executed | {' | '.join(SHOWN)} |"
        yield "|---|---|" + "---|" * (len(SHOWN) + 2)
        own = [each for each in report.examples if each.stack == stack.name]
        for name in DOCUMENTED:
            yield _class_row(name, stack, [each for each in own if each.source.partition(".")[0] == name])
        in_docstrings = [each for each in own if each.source.partition(".")[0] in DOCUMENTED]
        yield f"| all | {len(in_docstrings)} | {_counts(_statements(in_docstrings))} |"
        yield ""


def _class_row(name: str, stack: StackRecord, examples: list[ExampleResult]) -> str:
    if name in stack.absent:
        return f"| `{name}` | absent | " + " | ".join(["–"] * (len(SHOWN) + 2)) + " |"
    return f"| `{name}` | {len(examples)} | {_counts(_statements(examples))} |"


def _by_page(report: DocsReport) -> Iterator[str]:
    pages = [source for source in report.sources if source.kind == "page"]
    if not pages:
        return
    yield "| page | blocks | what they are | notes |"
    yield "|---|---|---|---|"
    for source in pages:
        kinds = Counter(block.kind for block in source.blocks)
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or source.error
        yield f"| {_cell(source.name)} | {len(source.blocks)} | {_cell(counted)} | {_cell('; '.join(source.notes))} |"
    yield ""
    yield f"| page | stack | examples | statements | executed | {' | '.join(SHOWN)} |"
    yield "|---|---|---|" + "---|" * (len(SHOWN) + 2)
    for source in pages:
        for stack in report.stacks:
            own = [each for each in report.examples if (each.source, each.stack) == (source.name, stack.name)]
            if own:
                counts = _counts(_statements(own))
                yield f"| {_cell(source.name)} | {_row_code(stack.name)} | {len(own)} | {counts} |"


@dataclass(frozen=True)
class Wrong:
    """One code that is wrong in one way, at every location where it occurs."""

    first: ExampleResult
    statement: StatementResult
    """The statement that determined the status."""
    names: tuple[str, ...]
    stacks: tuple[str, ...]
    """With the version of transformers: ``main (transformers 4.57.6)``."""


def wrong_ones(report: DocsReport) -> list[Wrong]:
    """Each code that breaks or differs, once, with all its locations and stacks."""
    versions = {each.name: each.versions.get("transformers", "?") for each in report.stacks}
    groups: dict[tuple[str, ...], list[ExampleResult]] = {}
    for example in report.examples:
        if example.status in WRONG:
            code = "".join(each.code for each in example.statements)
            details = (
                example.reason,
                example.diagnosis,
                example.corrected,
                example.mended or "",
                example.mended_reason,
            )
            groups.setdefault((code, example.status, *details), []).append(example)
    return [
        Wrong(
            group[0],
            next(each for each in group[0].statements if each.status == group[0].status),
            tuple(dict.fromkeys(each.name for each in group)),
            tuple(dict.fromkeys(f"{each.stack} (transformers {versions[each.stack]})" for each in group)),
        )
        for group in groups.values()
    ]


def with_it(example: ExampleResult) -> str:
    """The result of an example with its correction: `` (run with it: holds)``."""
    why = f": {example.mended_reason}" if example.mended in WRONG else ""
    return f" (run with it: {example.mended}{why})" if example.mended else ""


def _wrong(report: DocsReport) -> Iterator[str]:
    for wrong in wrong_ones(report):
        first, statement = wrong.first, wrong.statement
        yield f"- **{first.status}** in {markdown(', '.join(wrong.stacks))}: {_codes(wrong.names)}"
        yield f"  - line {statement.line}: {markdown_code(_line(first_line(statement.code)))}"
        frame = statement.raised.where if statement.raised else ""
        yield f"  - {_cell(statement.reason)}" + (f" ({markdown(frame)})" if frame else "")
        if first.diagnosis:
            yield f"  - {markdown(first.diagnosis)}"
        if first.corrected:
            yield f"  - correct: {_codes(first.corrected.splitlines())} {markdown(with_it(first))}".rstrip()


def _across(report: DocsReport) -> Iterator[str]:
    names = [stack.name for stack in report.stacks]
    by_name: dict[str, dict[str, ExampleResult]] = {}
    for example in report.examples:
        by_name.setdefault(example.name, {})[example.stack] = example
    rows = [(name, found) for name, found in by_name.items() if len({each.status for each in found.values()}) > 1]
    if not rows:
        return
    yield f"| example | {' | '.join(map(_row_code, names))} |"
    yield "|---" * (len(names) + 1) + "|"
    for name, found in rows:
        words = [_word(found[stack]) if stack in found else "–" for stack in names]
        yield f"| {_row_code(name)} | {' | '.join(words)} |"


def _word(example: ExampleResult) -> str:
    return f"**{example.status}**: {_cell(example.reason)}" if example.status in WRONG else example.status


def _not_compared(report: DocsReport) -> Iterator[str]:
    counts = Counter(
        (each.reason, example.stack)
        for example in report.examples
        for each in example.statements
        if each.status == "not compared"
    )
    for (reason, stack), count in sorted(counts.items()):
        yield f"- {markdown(reason)}: {count} in {markdown_code(stack)}"


def _not_run(report: DocsReport) -> Iterator[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for example in report.examples:
        if example.status == "not run":
            reasons.setdefault((example.reason, example.stack), []).append(example.name)
    for (reason, stack), names in reasons.items():
        yield f"- {_cell(reason)}, in {markdown_code(stack)}: {_codes(names)}"


def _not_executed(report: DocsReport) -> Iterator[str]:
    for source in report.sources:
        for block in source.blocks:
            if block.kind in ("unreadable", "shell"):
                why = f": {_cell(block.reason)}" if block.reason else ""
                yield f"- {markdown(source.name)}:{block.line}: {block.kind}{why}"


def _written(report: DocsReport) -> Iterator[str]:
    for example in report.examples:
        if example.wrote_outside:
            written = markdown(", ".join(example.wrote_outside))
            yield f"- {markdown_code(example.name)} in {markdown_code(example.stack)}: {written}"
    for path in report.changed:
        yield f"- {markdown(path)} changed while the examples ran"


def first_line(text: str) -> str:
    """The first line of a statement."""
    return (text.strip().splitlines() or [""])[0]


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(map(markdown_code, texts))


def _row_code(name: str) -> str:
    return markdown_code(name, in_table=True)


def _cell(text: str) -> str:
    """Text for a table cell, on one line and without markup; a long one is truncated."""
    return markdown(_line(text))


def _line(text: str) -> str:
    """One line; a long one is truncated."""
    line = " ".join(text.split())
    return line if len(line) <= 240 else f"{line[:237]}..."
