"""Which documented classes an audit has checked: ``python -m parity.coverage REPORT`` writes ``COVERAGE.md``.

The documents name 23 classes (BART page, encoder-decoder page, speech-encoder-decoder page of transformers 4.37). Each
is a row, whether an audit asks it or not, so that none is left out unseen.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from parity.records import Report, Verdict, read_record

BART = ("BartModel", "BartForConditionalGeneration", "BartForSequenceClassification", "BartForQuestionAnswering",
        "BartForCausalLM")  # fmt: skip
DOCUMENTED = (
    "BartConfig", "BartTokenizer", "BartTokenizerFast", *BART,
    "TFBartModel", "TFBartForConditionalGeneration", "TFBartForSequenceClassification",
    *(f"Flax{name}" for name in BART),
    "EncoderDecoderConfig", "EncoderDecoderModel", "TFEncoderDecoderModel", "FlaxEncoderDecoderModel",
    "SpeechEncoderDecoderConfig", "SpeechEncoderDecoderModel", "FlaxSpeechEncoderDecoderModel",
)  # fmt: skip
"""In the order of the pages."""
LIBRARIES = ("hf-torch", "hf-tf", "hf-flax")
NOT_ASKED = "an audit does not ask configs and tokenizers yet"


def coverage(report: Report) -> str:
    """The table as Markdown: of each documented class and stack how many cells were checked, known and skipped."""
    found: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in report.verdicts:
        if verdict.backend in LIBRARIES:
            found.setdefault((verdict.model_class, verdict.stack), []).append(verdict)
    stacks = sorted({stack for _, stack in found})
    rows = [row for name in DOCUMENTED for row in _rows(name, stacks, found)]
    head = ["| class | stack | checked | known to differ | not asked | why not |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def _rows(name: str, stacks: list[str], found: dict[tuple[str, str], list[Verdict]]) -> Iterator[str]:
    for stack in stacks:
        verdicts = found.get((name, stack))
        if verdicts is None:
            yield f"| `{name}` | {stack} | – | – | all | {NOT_ASKED} |"
            continue
        counts = Counter(verdict.status for verdict in verdicts)
        why = Counter(reason for verdict in verdicts if verdict.status == "skip" for reason in _reasons(verdict))
        told = "; ".join(f"{reason} ({count})" for reason, count in why.most_common())
        wrong = counts["fail"] + counts["error"]
        checked = f"{counts['pass']}" + (f", and {wrong} wrong" if wrong else "")
        yield f"| `{name}` | {stack} | {checked} | {counts['known']} | {counts['skip']} | {told or '–'} |"


def _reasons(verdict: Verdict) -> Iterator[str]:
    """Each missing capability once; where a whole class is missing, that and not every word for it."""
    whys = dict.fromkeys(part.partition(": ")[2] or part for part in verdict.reason.split("; "))
    yield from whys


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m parity.coverage", description=__doc__.partition("\n")[0])
    parser.add_argument("report", type=Path, help="report.json of an audit of all fixtures")
    parser.add_argument("--out", type=Path, default=Path("COVERAGE.md"))
    asked = parser.parse_args()
    asked.out.write_text(page(read_record(Report, asked.report)), encoding="utf-8")


def page(report: Report) -> str:
    """``COVERAGE.md``."""
    return f"""# Which documented classes are checked

Cells of an audit of all fixtures (`nox -s parity`), by class of the library: check × fixture × case × attention.
Written by `python -m parity.coverage REPORT`; a test holds it to the audit that it runs.

{coverage(report)}"""


if __name__ == "__main__":
    main()
