"""Whether a third party's backend keeps the interface that ``parity.backends.protocol`` describes.

The cases of one small checkpoint are run on it, and on nothing that judges it: a conforming backend may still compute
something else, which is what an audit finds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from parity.backends.capabilities import WORDS
from parity.core.backends import ENTRY_POINTS, built_in
from parity.core.errors import InputError
from parity.core.nearest import unknown
from parity.core.records import Manifest, SubjectRecord, TraceRecord
from parity.core.resources import fixture
from parity.core.subject import TORCH
from parity.core.trace import Trace

FRAMEWORKS = ("torch", "tensorflow", "jax", "flax", "transformers", "onnxruntime", "ctranslate2")
IMPORTED = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""


@dataclass(frozen=True)
class Rule:
    """One requirement, and how the backend breaks it.

    Attributes:
        name: short, such as ``import`` or ``case forward``.
        problem: empty if it is kept.
    """

    name: str
    problem: str = ""


def conformance(name: str, checkpoint: Path | None = None, cache: Path | None = None) -> list[Rule]:
    """Tests a third party's backend.

    Args:
        name: of its entry point in the group ``encdec_parity.backends``.
        checkpoint: a directory; a BART of 0.2 MB by default.
        cache: where the references' traces are cached between runs.

    Raises:
        InputError: no entry point has this name, or the checkpoint cannot be used.
    """
    point = _entry_point(name)
    rules = [_imports_no_framework(point)]
    kind = _loaded(point)
    if isinstance(kind, str):
        return [*rules, Rule("class", kind)]
    rules += [Rule("class"), _has_methods(kind, ("setup", "load"), "class methods"), _declares_known(kind)]
    with tempfile.TemporaryDirectory(prefix="parity-conformance-") as folder:
        out = Path(folder)
        manifest = _captured(name, checkpoint or fixture("bart-tiny"), out, cache)
        index, subject = next((i, each) for i, each in enumerate(manifest.subjects) if each.backend == name)
        rules.append(_offers_something(subject))
        cases = {case["name"]: case for cases in manifest.cases.values() for case in cases}
        for record in manifest.traces:
            if record.subject == index:
                rules.append(_case(record, cases[record.case], out, subject))
    return rules


def _entry_point(name: str) -> EntryPoint:
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in found:
        if name in built_in():
            raise InputError(f"{name}: a backend of parity itself; only a third party's can be tested")
        raise InputError(unknown(f"no entry point of the group {ENTRY_POINTS} is named", name, sorted(found)))
    return found[name]


def _imports_no_framework(point: EntryPoint) -> Rule:
    """The module is imported wherever parity runs; a framework may be imported inside functions only."""
    command = [sys.executable, "-c", IMPORTED, point.module, *FRAMEWORKS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Rule("import", f"{point.module} cannot be imported: {last}")
    names = done.stdout.split()
    return Rule("import", f"{point.module} imports {', '.join(names)} at the top" if names else "")


def _loaded(point: EntryPoint) -> Any:
    """The class, or why there is none."""
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        return f"{point.value}: {error}"


def _has_methods(kind: Any, names: tuple[str, ...], rule: str) -> Rule:
    missing = [name for name in names if not callable(getattr(kind, name, None))]
    return Rule(rule, f"{kind.__name__} has no method {', '.join(missing)}" if missing else "")


def _declares_known(kind: Any) -> Rule:
    lacking = getattr(kind, "lacking", {})
    if not hasattr(lacking, "items"):
        return Rule("lacking", f"lacking is a {type(lacking).__name__}, and no mapping of capability to reason")
    unknown_words = sorted(set(lacking) - set(WORDS))
    if unknown_words:
        return Rule("lacking", unknown("no capability is named", unknown_words[0], WORDS))
    empty = [word for word, reason in lacking.items() if not (isinstance(reason, str) and reason.strip())]
    return Rule("lacking", f"no reason for {empty[0]}" if empty else "")


def _captured(name: str, checkpoint: Path, out: Path, cache: Path | None) -> Manifest:
    from parity.capture.pipeline import capture
    from parity.core.options import AuditOptions

    # One reference is enough: tolerances are not used.
    return capture([checkpoint], AuditOptions(backends=[name], out=out, cache=cache, references=[TORCH]))


def _offers_something(subject: SubjectRecord) -> Rule:
    if not subject.can_run:
        reason = subject.lacking.get(subject.dtype) or subject.lacking.get(subject.device) or "it has no capability"
        return Rule("capabilities", f"it cannot run in {subject.dtype} on {subject.device}: {reason}")
    return Rule("capabilities")


def _case(record: TraceRecord, case: dict[str, Any], out: Path, subject: SubjectRecord) -> Rule:
    """Whether a case that it declares to support gives a trace, with arrays where the case computes some."""
    name = f"case {record.case}"
    if record.outcome != "captured" or record.path is None:
        return Rule(name, f"{record.outcome}: {record.reason}")
    trace = Trace.read(out / record.path)
    if trace.raised is not None:
        frame = f" ({trace.raised.frame})" if getattr(trace.raised, "frame", "") else ""
        return Rule(name, f"raises {trace.raised.type}: {trace.raised.message}{frame}")
    changed = trace.provenance.get("left_changed")
    if changed:
        return Rule(name, f"changes global settings and does not restore them: {', '.join(changed)}")
    if case["operation"] == "forward" and not trace.arrays:
        return Rule(name, "returns no field with a documented name")
    return Rule(name)
