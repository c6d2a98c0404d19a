"""The matrix of savers and loaders as Markdown: ``python -m parity.tools.save_load_matrix CHECKPOINT … [--stack
NAME=PATH]``.

Saves and loads each checkpoint, judges the check group ``saving``, and writes ``runs/saving.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from parity.core.backends import library_backends
from parity.core.case import Case
from parity.core.records import Report, Verdict

LOADS = ("SAVE03", "SAVE04", "SAVE05")
HEAD = """# Saved files and loaders

Written by `python -m parity.tools.save_load_matrix` with transformers {versions}. A row is one set of saved files
(saver, stack, format) and the route of loading; a column is a loader in its stack.

| entry | meaning |
|---|---|
| `same` | the saved weights, bit for bit |
| `error` | a clear error, where the documentation promises nothing |
| **`known`** | a known issue |
| **`fail`** | another failure |
| `–` | skipped; the report has the reason |
"""


def base_cases(model_spec: Any, rows: Any, generation: Any) -> list[Case]:
    """The load case of the weight file only, which gives the size of the weights."""
    return [Case("load", "load", requires=("load",), notes={"roles": ["file"]})]


def matrix(report: Report) -> Iterator[str]:
    """The lines of a Markdown table for each checkpoint."""
    for checkpoint in report.checkpoints:
        own = [v for v in report.verdicts if v.checkpoint == checkpoint.name and v.check in LOADS]
        loaders = list(dict.fromkeys((v.backend, v.stack) for v in own))
        yield from ("", f"## {checkpoint.name}", "")
        yield "| saved files and route | " + " | ".join(f"{name} {stack}" for name, stack in loaders) + " |"
        yield "|---" * (len(loaders) + 1) + "|"
        for case in dict.fromkeys(v.case for v in own):
            cells = {(v.backend, v.stack): v for v in own if v.case == case}
            words = [_word(cells[loader]) if loader in cells else "" for loader in loaders]
            yield f"| `{case.removeprefix('saved.')}` | " + " | ".join(words) + " |"
        yield from _wrong(report, checkpoint.name)


def _wrong(report: Report, name: str) -> Iterator[str]:
    """The causes of the cells that did not pass, each once."""
    causes: dict[str, int] = {}
    for v in report.verdicts:
        if v.checkpoint == name and v.status in ("fail", "known", "error"):
            message = (
                v.reason.partition(" [")[0] if v.status == "known" else f"{v.check}, {v.backend} {v.stack}: {v.reason}"
            )
            message = " ".join(message.split())[:240]
            causes[message] = causes.get(message, 0) + 1
    yield from ("", *(f"- {cause} ({count})" for cause, count in causes.items()))


def _word(verdict: Verdict) -> str:
    if verdict.status == "pass":
        return "error" if verdict.evidence.get("raises") else "same"
    return {"skip": "–"}.get(verdict.status, f"**{verdict.status}**")


def main(arguments: Sequence[str] | None = None) -> None:
    """Captures, judges and writes."""
    from parity.capture.pipeline import capture
    from parity.core.options import AuditOptions
    from parity.core.records import write_record
    from parity.judge.followup.cases import SAVING
    from parity.judge.judge import judge

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--stack", action="append", default=[])
    parser.add_argument("--backend", action="append")
    parser.add_argument("--out", type=Path, default=Path("runs/saving"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--report", type=Path, default=Path("runs/saving.md"))
    given = parser.parse_args(arguments)
    manifest = capture(
        given.checkpoints,
        AuditOptions(
            out=given.out,
            cache=given.cache,
            backends=given.backend or [f"{name}/eager" for name in library_backends()],
            stacks=("main", *given.stack),
            cases=base_cases,
            jobs=given.jobs,
        ),
        derive=SAVING,
    )
    report = judge(given.out, checks=["saving"])
    write_record(report, given.out / "report.json")
    used = {name: facts["versions"].get("transformers") for name, facts in manifest.environments.items()}
    versions = ", ".join(f"{version} ({name})" for name, version in used.items())
    given.report.write_text("\n".join([HEAD.format(versions=versions), *matrix(report)]) + "\n", encoding="utf-8")
    print(f"{given.report}: {report.totals}, {sum(manifest.seconds.values()):.0f} s")


if __name__ == "__main__":
    main()
