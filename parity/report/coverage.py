"""Which documented classes an audit has checked: ``python -m parity.report.coverage REPORT`` writes ``COVERAGE.md``.

The documents name 23 classes (BART page, encoder-decoder page, speech-encoder-decoder page of transformers 4.37). Each
is a row, whether an audit asks it or not, so that none is left out unseen.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from parity.core.backends import BACKENDS
from parity.core.records import Report, Verdict, read_record

BART = (
    "BartModel",
    "BartForConditionalGeneration",
    "BartForSequenceClassification",
    "BartForQuestionAnswering",
    "BartForCausalLM",
)
DOCUMENTED = (
    "BartConfig",
    "BartTokenizer",
    "BartTokenizerFast",
    *BART,
    "TFBartModel",
    "TFBartForConditionalGeneration",
    "TFBartForSequenceClassification",
    *(f"Flax{name}" for name in BART),
    "EncoderDecoderConfig",
    "EncoderDecoderModel",
    "TFEncoderDecoderModel",
    "FlaxEncoderDecoderModel",
    "SpeechEncoderDecoderConfig",
    "SpeechEncoderDecoderModel",
    "FlaxSpeechEncoderDecoderModel",
)
"""In the order of the pages."""
HEAD = ("| class | checked | known to differ | skipped | reason |", "|---|---|---|---|---|")
INTRODUCTION = """# Which documented classes are checked

Cells of an audit of all fixtures (`nox -s parity -- --stack docs-4.37 --stack current`), by stack and class of the
library: check × fixture × case × attention. Of files that one stack saves and another loads, those of `main` and of
the stack itself are counted. `python -m parity.report.coverage REPORT` writes a table for each stack of the report;
tests hold them to the audits that they run.
"""
_SAVED = re.compile(r"saved(-[a-z]+)?\.[^@]+@(?P<stack>.+?)(\.[a-z0-9]+\.[a-z_]+)?$")
"""Cases of ``parity.judge.followup.saving``: saver, stack, and of a model form and route."""
NO_BACKEND = "the stack has no such backend"


def sections(report: Report) -> dict[str, str]:
    """By stack the table as Markdown: of each documented class how many cells were checked, known and skipped."""
    documented = {name for name, entry in BACKENDS.items() if entry.library}
    found: dict[str, dict[str, list[Verdict]]] = {}
    for verdict in report.verdicts:
        if verdict.backend in documented and _of_own_stacks(verdict):
            found.setdefault(verdict.stack, {}).setdefault(verdict.model_class, []).append(verdict)
    return {
        stack: "\n".join([*HEAD, *(_row(name, classes.get(name)) for name in DOCUMENTED)]) + "\n"
        for stack, classes in found.items()
    }


def _of_own_stacks(verdict: Verdict) -> bool:
    """Whether a cell is there whatever other stacks are audited: what a third one saved is loaded only beside it."""
    saver = _SAVED.match(verdict.case)
    return saver is None or saver["stack"] in ("main", verdict.stack)


def _row(name: str, verdicts: list[Verdict] | None) -> str:
    if verdicts is None:
        return f"| `{name}` | – | – | all | {NO_BACKEND} |"
    counts = Counter(verdict.status for verdict in verdicts)
    why = Counter(reason for verdict in verdicts if verdict.status == "skip" for reason in _reasons(verdict))
    reasons = "; ".join(f"{reason} ({count})" for reason, count in why.most_common())
    wrong = counts["fail"] + counts["error"]
    checked = f"{counts['pass']}" + (f", and {wrong} wrong" if wrong else "")
    return f"| `{name}` | {checked} | {counts['known']} | {counts['skip']} | {reasons or '–'} |"


def _reasons(verdict: Verdict) -> Iterator[str]:
    """Each missing capability once; where a whole class is missing, that and not every word for it."""
    whys = dict.fromkeys(part.partition(": ")[2] or part for part in verdict.reason.split("; "))
    yield from whys


def page(tables: Mapping[str, str]) -> str:
    """``COVERAGE.md``."""
    parts = [f"## `{stack}`\n\n{table}" for stack, table in tables.items()]
    return "\n".join([INTRODUCTION, *parts])


def read_sections(text: str) -> dict[str, str]:
    """The tables of a ``COVERAGE.md`` by stack."""
    _, *parts = text.split("\n## `")
    return {stack: table.strip() + "\n" for stack, _, table in (part.partition("`\n\n") for part in parts)}


def renew(file: Path, report: Report) -> None:
    """Writes a ``COVERAGE.md``, in which only the tables of the report's own stacks change."""
    known = read_sections(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(page(known | sections(report)), encoding="utf-8")


def main() -> None:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m parity.report.coverage", description=about)
    parser.add_argument("report", type=Path, help="report.json of an audit of all fixtures")
    parser.add_argument("--out", type=Path, default=Path("COVERAGE.md"))
    arguments = parser.parse_args()
    renew(arguments.out, read_record(Report, arguments.report))


if __name__ == "__main__":
    main()
