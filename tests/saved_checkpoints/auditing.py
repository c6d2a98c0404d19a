"""Audits the checkpoints that were made, some at a time, and keeps what is not ``pass``."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from unittest import mock

from parity import audit
from parity.capture import pipeline as capturing
from parity.core.case import Case
from parity.core.errors import InputError
from parity.core.options import SAVE_LIMIT
from parity.judge.checks import CHECKS


def audit_all(
    folder: Path,
    out: Path,
    only: str,
    stacks: Sequence[str],
    backends: Sequence[str] | None,
    cache: Path | None,
    chunk: int,
    checks: Sequence[str] | None = None,
    cases: Sequence[str] = ("*",),
) -> None:
    """Audits every checkpoint of ``folder`` that ``out`` says nothing of, and adds what is found to it.

    Args:
        checks: ids or families, as ``audit`` takes them; only what they read is asked. None is every check.
        cases: of these cases, only those whose names match one of these patterns.
    """
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    names = [path.name for path in sorted(folder.iterdir()) if (path / "config.json").is_file()]
    left = [name for name in names if fnmatchcase(name, only) and name not in found]
    # In an order that an interrupted run has seen something of every kind.
    left.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
    for start in range(0, len(left), chunk):
        part = left[start : start + chunk]
        begun = time.monotonic()
        with _narrowed(checks, cases):
            found |= _audited(folder, part, ["main", *stacks], backends, cache, checks)
        scratch = out.with_suffix(".part")
        scratch.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        scratch.replace(out)
        done, seconds = len(found), time.monotonic() - begun
        bad = sum(1 for name in part if found[name].get("fail") or found[name].get("error") or "refused" in found[name])
        print(f"{done} of {len(names)}: {seconds:.0f} s for {len(part)}, {bad} with failures", flush=True)


def _narrowed(checks: Sequence[str] | None, patterns: Sequence[str]) -> Any:
    """Within it, an audit asks of its cases those alone that these checks read and that one of the patterns matches.

    An audit of some checks captures what all of them read, so that its tolerances are those of every other audit.
    """
    wanted = [each for each in CHECKS.values() if checks is None or each.id in checks or each.group in checks]
    read = [pattern for each in wanted for pattern in (*each.cases, *each.depends_on)]
    asked = capturing._make_cases

    def some(*arguments: Any) -> list[Case]:
        named = [(case, case.name) for case in asked(*arguments)]
        return [case for case, name in named if _matches(name, read) and _matches(name, patterns)]

    return mock.patch.object(capturing, "_make_cases", some)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _audited(
    folder: Path,
    names: Sequence[str],
    stacks: Sequence[str],
    backends: Sequence[str] | None,
    cache: Path | None,
    checks: Sequence[str] | None,
) -> dict[str, Any]:
    """What an audit says of each; where it cannot read one, of each alone."""
    saves = checks is None or any(
        each.group == "saving" and {each.id, each.group} & {*checks} for each in CHECKS.values()
    )
    try:
        with tempfile.TemporaryDirectory(prefix="parity-saved-") as run:
            report = audit(
                [folder / name for name in names],
                out=Path(run),
                stacks=stacks,
                backends=backends,
                cache=cache,
                checks=checks,
                save_limit=SAVE_LIMIT if saves else 0,
            )
    except InputError as error:
        if len(names) == 1:
            return {names[0]: {"refused": str(error)}}
        return {
            key: value
            for name in names
            for key, value in _audited(folder, [name], stacks, backends, cache, checks).items()
        }
    found: dict[str, Any] = {name: {"cells": []} for name in names}
    for verdict in report.verdicts:
        place = found[verdict.checkpoint]
        place[verdict.status] = place.get(verdict.status, 0) + 1
        if verdict.status in ("fail", "error", "known"):
            place["cells"].append(
                {
                    "status": verdict.status,
                    "check": verdict.check,
                    "case": verdict.case,
                    "stack": verdict.stack,
                    "backend": f"{verdict.backend}/{verdict.variant}",
                    "dtype": verdict.dtype,
                    "reason": verdict.reason[:500],
                    "known": verdict.evidence.get("known_issue", ""),
                }
            )
    return found


def table(out: Path) -> str:
    """How many checkpoints and verdicts there are, and every failure and error by what it says."""
    found = json.loads(out.read_text(encoding="utf-8"))
    totals = Counter()
    for each in found.values():
        totals.update({status: each.get(status, 0) for status in ("pass", "known", "skip", "fail", "error")})
    lines = [f"{len(found)} checkpoints: " + ", ".join(f"{number} {status}" for status, number in totals.items())]
    lines += [f"refused  {name}: {each['refused']}" for name, each in found.items() if "refused" in each]
    alarms: dict[tuple[str, ...], list[str]] = {}
    for name, each in found.items():
        for cell in each.get("cells", ()):
            if cell["status"] in ("fail", "error"):
                key = (cell["status"], cell["check"], f"{cell['backend']}@{cell['stack']}", cell["reason"][:160])
                alarms.setdefault(key, []).append(f"{name} {cell['case']}")
    for key, places in sorted(alarms.items()):
        lines.append(f"{key[0]:5} {key[1]} {key[2]}: {key[3]}\n      {len(places)}: {'; '.join(places[:4])}")
    return "\n".join(lines)
