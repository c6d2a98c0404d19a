"""``parity compare``: tensors of two sides, one under the other in data-flow order."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from parity.core.display import shown
from parity.report.console import console, plural, print_wrapped
from parity.tools.compare.compare import Compared, Comparison
from parity.tools.compare.conversion import ConversionComparison
from parity.tools.compare.tensor_diff import TensorRow
from parity.tools.gate.render import show_changes

SHOWN_ROWS = 60
NOTHING_SHARED = (
    "nothing compared: the sides share no backend with a trace of the same case; "
    "name one backend of each to compare these, as in A::hf-torch B::hf-tf"
)


def show_comparison(found: Comparison, everything: bool = False) -> None:
    """Prints the versions that differ, then each case: one line where both sides agree, else its tensors.

    Args:
        everything: print the tensors of cases that agree, too.
    """
    out, found = console(), shown(found)
    for line in found.environments:
        out.print(Text(line, "bright_black"))
    for each in found.cases:
        print_wrapped(out, Text.assemble((_title(each), "bold"), f": {summary(each)}"), 2)
        if everything or each.first is not None:
            out.print(_table(each))
    if found.one_sided or not found.cases:
        for line in (*found.shared, *found.one_sided):
            print_wrapped(out, Text(line, "bright_black"), 2)
    show_changes(out, found.changes, SHOWN_ROWS)
    if not found.cases:
        print_wrapped(out, Text(NOTHING_SHARED), 2)
        return
    count = len(found.differing)
    differing = f"{count} {'differ' if count > 1 else 'differs'}" if count else "no difference beyond both tolerances"
    verdicts = f"; {plural(len(found.changes), 'verdict')} not the same" if found.changes else ""
    out.print(f"{plural(len(found.cases), 'case')} compared: {differing}{verdicts}")


def show_conversion(found: ConversionComparison) -> None:
    """Prints each parameter, setting and token that a conversion lost or changed."""
    out, found = console(), shown(found)
    for title, lines in (
        ("parameters", found.parameters),
        ("settings", found.settings),
        ("dictionary", found.dictionary),
    ):
        if lines:
            out.print(Text(title, "bold"))
        for line in list(lines)[:SHOWN_ROWS]:
            print_wrapped(out, Text(f"  {line}"), 4)
        if len(lines) > SHOWN_ROWS:
            out.print(f"  and {len(lines) - SHOWN_ROWS} more")
    differ = plural(len(found.parameters), "parameter") + " not the same" if found.parameters else "none differs"
    more = [plural(len(found.settings), "setting")] if found.settings else []
    more += [plural(len(found.dictionary), "token")] if found.dictionary else []
    out.print("; ".join([f"{plural(found.equal, 'parameter')} equal in every bit, {differ}", *more]))


def summary(each: Compared) -> str:
    """``14 tensors, 3 equal in every bit, the largest difference 0.31 of both tolerances at logits``."""
    if not each.rows:
        return "both raise the same" if each.case else ""
    equal = sum(row.error == 0 for row in each.rows)
    text = f"{plural(len(each.rows), 'tensor')}, {equal} equal in every bit"
    measured = [(row.share, row.name) for row in each.rows if row.share is not None]
    if measured and equal < len(each.rows):
        share, name = max(measured, key=lambda found: found[0])
        text += f", the largest difference {share:.3g} of both tolerances at {name}"
    if unjudged := sum(row.unjudged for row in each.rows):
        text += f", {unjudged} other numbers without a tolerance"
    return f"{text}; first to differ: {each.first.name}" if each.first else text


def _title(each: Compared) -> str:
    one, other = each.subjects
    return f"{each.checkpoint} · {each.case} · {one} ↔ {other}"


def _table(each: Compared) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    columns: tuple[tuple[str, JustifyMethod], ...]
    columns = (("tensor", "left"), ("error", "right"), ("of both tolerances", "right"), ("", "left"))
    for heading, where in columns:
        table.add_column(heading, justify=where)
    rows = [row for row in each.rows if row.error != 0] if len(each.rows) > SHOWN_ROWS else each.rows
    for row in rows[:SHOWN_ROWS]:
        table.add_row(*_cells(row, row is each.first))
    if len(rows) > SHOWN_ROWS:
        table.add_row(f"and {len(rows) - SHOWN_ROWS} more")
    return table


def _cells(row: TensorRow, first: bool) -> Iterator[Text]:
    style = "bold red" if row.differs else ""
    yield Text(row.name, style)
    yield Text("" if row.error is None else "equal" if row.error == 0 else f"{row.error:.2e}")
    yield Text("" if row.share is None or row.error == 0 else f"{row.share:.3g}", style)
    at = f"at {list(row.at)}" if row.at and row.error != 0 else ""
    yield Text(" ".join(word for word in (row.note, at, "← first" if first else "") if word))
