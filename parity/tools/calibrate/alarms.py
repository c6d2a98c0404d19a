"""Full audits of new random checkpoints, where nothing should fail: ``python -m parity.tools.calibrate.alarms``.

Every check is judged on conforming implementations, with the current factors. A failure or error is an alarm; each is
either a bug of theirs, for the list of known issues, or a bug of ours.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from parity.capture.engines import unaccepted_inputs
from parity.capture.pipeline import capture
from parity.cases.exhaustive import exhaustive_cases
from parity.cases.standard import standard_cases
from parity.core.backends import library_backends
from parity.core.case import Case
from parity.core.model_spec import ModelSpec
from parity.core.options import CASE_SETS
from parity.core.records import Report, Verdict
from parity.core.subject import REFERENCES
from parity.judge.followup.cases import DERIVED
from parity.judge.judge import judge
from parity.tools.calibrate.draw import rows
from parity.tools.calibrate.measure import wait_passively
from parity.tools.calibrate.plan import Chunk, chunks
from parity.tools.calibrate.provenance import provenance

PAIR = 2
"""Number of architectures audited together: with many checkpoints of each, small chunks cost little more and lose less
when interrupted."""
BACKENDS = (*REFERENCES, *library_backends(framework="torch"))
SEED = 20270103
"""Differs from the calibration's seed, and from seeds whose alarms were investigated: data that set the factors cannot
test them."""


def audit_all(todo: list[Chunk], into: Path, jobs: int) -> None:
    """Audits the chunks that have no file in ``into`` yet, ``jobs`` at a time."""
    wait_passively()
    into.mkdir(parents=True, exist_ok=True)
    todo = [chunk for chunk in todo if not _file(into, chunk).exists()]
    with ProcessPoolExecutor(jobs) as pool:
        running = {pool.submit(audit_chunk, chunk, into): chunk for chunk in todo}
        for number, done in enumerate(as_completed(running), start=1):
            print(f"{number}/{len(todo)} {running[done].name}: {done.result()}", flush=True)


def audit_chunk(chunk: Chunk, into: Path) -> str:
    """Audits one chunk and stores its totals and alarms; returns the totals as text."""
    scratch = Path(tempfile.mkdtemp(prefix="parity-alarms-"))
    try:
        checkpoints = chunk.write(scratch / "random")
        if not checkpoints:
            # Every draw of these architectures is excluded (``parity.tools.calibrate.plan``).
            return _keep(into, chunk, {"checkpoints": 0, "totals": {}, "known": {}, "nearest": 0.0, "alarms": []})
        options = chunk.options(scratch, partial(_cases, case_set=chunk.case_set))
        capture(checkpoints, options, derive=DERIVED, unaccepted=unaccepted_inputs(options))
        report = judge(scratch / "run")
    finally:
        shutil.rmtree(scratch)
    return _keep(into, chunk, {"checkpoints": len(checkpoints), **summary(report, chunk)})


def _keep(into: Path, chunk: Chunk, found: dict[str, Any]) -> str:
    part = _file(into, chunk).with_suffix(".part")
    part.write_text(json.dumps(found), encoding="utf-8")
    part.rename(_file(into, chunk))
    return " ".join(f"{name}={count}" for name, count in found["totals"].items()) or "nothing to audit"


def _cases(model_spec: ModelSpec, _: Any, generation: dict[str, Any], *, case_set: str) -> list[Case]:
    found = standard_cases(model_spec, rows(model_spec.raw), generation)
    return found if case_set == "standard" else [*found, *exhaustive_cases(model_spec, found)]


def summary(report: Report, chunk: Chunk) -> dict[str, Any]:
    """Totals, the number of matches of each known issue, the largest error that passed as a multiple of tolerance, and
    every alarm."""
    known = Counter(v.evidence["known_issue"] for v in report.verdicts if v.status == "known")
    alarms = [_alarm(verdict, chunk) for verdict in report.verdicts if verdict.status in ("fail", "error")]
    totals = Counter(verdict.status for verdict in report.verdicts)
    passed = [verdict for verdict in report.verdicts if verdict.status == "pass"]
    nearest = max((v.ratio for v in passed if v.ratio), default=0.0)
    return {"totals": totals, "known": known, "nearest": nearest, "alarms": alarms}


def _alarm(verdict: Verdict, chunk: Chunk) -> dict[str, Any]:
    found = {
        "seed": chunk.seed,
        "checkpoint": verdict.checkpoint,
        "dtype": verdict.dtype,
        "backend": verdict.backend,
        "variant": verdict.variant,
        "check": verdict.check,
        "case": verdict.case,
        "status": verdict.status,
        "reason": verdict.reason,
    }
    first = verdict.first_divergence
    return found if first is None else {**found, "first": first.model_dump(exclude_none=True)}


def _file(into: Path, chunk: Chunk) -> Path:
    return into / f"{chunk.name}.json"


def together(into: Path) -> dict[str, Any]:
    """The files of all chunks, merged."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(into.glob("*.json"))]
    return {
        "checkpoints": sum(part["checkpoints"] for part in found),
        "totals": dict(sum((Counter(part["totals"]) for part in found), Counter())),
        "known": dict(sum((Counter(part["known"]) for part in found), Counter())),
        "nearest": max(part["nearest"] for part in found),
        "alarms": [alarm for part in found for alarm in part["alarms"]],
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The printed lines."""
    totals = ", ".join(f"{count} {name}" for name, count in found["totals"].items())
    yield f"{found['checkpoints']} checkpoints: {totals}; what passed came up to {found['nearest']:.2f} × tolerance"
    for alarm in found["alarms"]:
        source = f"{alarm['seed']}/{alarm['checkpoint']} {alarm['dtype']}"
        yield f"{alarm['check']} {alarm['status']} {alarm['backend']}/{alarm['variant']} {source}: {alarm['reason']}"


def fixed(given: str) -> tuple[str, Any]:
    """A field and its value, which is JSON, or else a string: ``tie_word_embeddings=true``."""
    name, _, value = given.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m parity.tools.calibrate.alarms", description=__doc__)
    parser.add_argument("--architectures", type=int, default=42)
    parser.add_argument(
        "--draws", type=int, default=17, help="checkpoints of each architecture, which XLA compiles for once"
    )
    parser.add_argument("--dtype", action="append", help="taken in turn, a chunk each; float32 by default")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--backend", action="append", help="audited instead of the references and PyTorch's classes")
    parser.add_argument(
        "--equal-heads", action="store_true", help="give each decoder the encoder's number of heads (for ctranslate2)"
    )
    parser.add_argument(
        "--fix", action="append", default=[], metavar="FIELD=VALUE", help="a field of config.json that is not drawn"
    )
    parser.add_argument("--cases", choices=CASE_SETS, default=CASE_SETS[0], help="the cases that are audited")
    parser.add_argument("--parts", type=Path, required=True, help="where each chunk's result is kept, to go on from")
    parser.add_argument("--jobs", type=int, default=2, help="chunks at a time")
    parser.add_argument("--out", type=Path, default=Path("reports/alarms.json"))
    arguments = parser.parse_args()
    todo = chunks(
        arguments.seed,
        arguments.architectures,
        arguments.draws,
        arguments.dtype or ["float32"],
        arguments.backend or BACKENDS,
        size=PAIR,
        equal_heads=arguments.equal_heads,
        fixed=[fixed(each) for each in arguments.fix],
        case_set=arguments.cases,
    )
    audit_all(list(todo), arguments.parts, arguments.jobs)
    found = together(arguments.parts)
    print(*lines(found), sep="\n")
    text = json.dumps(
        {**provenance("python -m parity.tools.calibrate.alarms"), "seed": arguments.seed, **found}, indent=1
    )
    arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
