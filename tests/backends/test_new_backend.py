"""A new backend is one file and one row: everything else finds it there."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import parity
from parity import audit
from parity.capture.plan import subjects
from parity.cases.standard import standard_cases
from parity.core.backends import BACKENDS, Entry, SourceRoot
from parity.core.resources import fixture
from parity.core.stacks import table
from parity.core.subject import Subject
from parity.tools.doctor import examine
from parity.tools.gate.baseline import read_baseline
from parity.tools.gate.gate import changes, gate, update
from parity.tools.gate.report_digest import read_digest
from parity.tools.selftest.outcome import Outcome
from parity.tools.selftest.selftest import coverage

FILE = '''"""The torch reference under another name."""

from __future__ import annotations

from parity.backends.reference.torch_backend import ReferenceTorch


class Again(ReferenceTorch):
    """As any adapter: ``setup`` and ``load``."""
'''
ROW = """Entry(
    "parity_again",
    "Again",
    distributions=("torch", "numpy"),
    sources=(SourceRoot("parity_again"),),
    framework="torch",
    needs=(("torch",),),
    install="torch",
    limits="parity.backends.limits.reference:lacking",
)
"""
NAME = "again"


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """The new file where an interpreter finds it, and the new row in the table."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "parity_again.py").write_text(FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.syspath_prepend(str(folder))
        patch.setitem(BACKENDS, NAME, eval(ROW, {"Entry": Entry, "SourceRoot": SourceRoot}))
        yield folder


def few_cases(model_spec, rows, generation):
    return [
        case
        for case in standard_cases(model_spec, rows, generation)
        if case.name in ("load", "forward", "forward.tuple")
    ]


@pytest.fixture(scope="module")
def run(patched, tmp_path_factory):
    """A small audit of the new backend: three cases."""
    out = tmp_path_factory.mktemp("runs") / "run"
    audit([fixture("bart-odd")], out=out, cache=out.parent / "cache", backends=[NAME], cases=few_cases, jobs=1)
    return out


def is_its(cell):
    return cell.subject.split()[0] == NAME


def test_it_takes_forty_lines():
    assert len((FILE + ROW).splitlines()) <= 40


def test_doctor_says_whether_it_can_run(patched):
    main = next(each for each in examine().stacks if each.row.name == "main")
    assert main.backends[NAME] == "" and NAME in main.row.backends


def test_an_audit_that_names_nobody_asks_it(patched):
    selected = subjects({"main": table()["main"].backends}, None, "cpu", ["float32"])
    assert Subject(NAME) in selected and not any(each.backend == NAME for each in selected if each.role != "candidate")


def test_an_audit_asks_and_judges_it(run):
    found = [v for v in read_digest(run).verdicts if is_its(v.cell)]
    passed = {v.cell.check for v in found if v.status == "pass"}
    assert passed >= {"LOAD01", "NUM01"}
    assert [v for v in found if v.status in ("fail", "error")] == []
    assert {v.cell.case for v in found if v.status == "skip"} >= {"forward.tuple"}


def test_the_report_shows_it(run):
    report = json.loads((run / "report.json").read_text())
    subject = next(each for each in report["subjects"] if each["backend"] == NAME)
    assert subject["role"] == "candidate" and "no tuple form" in subject["lacking"]["tuple"]
    assert f">{NAME}" in (run / "report.html").read_text()


def test_the_gate_holds_its_cells(run, tmp_path):
    baseline = tmp_path / "baseline.json"
    update([run], baseline)
    rows = dict(read_baseline(baseline).rows())
    own = set(filter(is_its, rows))
    assert own and gate(run, baseline).passed
    without = {cell: row for cell, row in rows.items() if cell not in own}
    assert {change.cell for change in changes(without, read_digest(run).verdicts)} == own


def test_the_selftest_says_how_many_checks_were_proven_on_what_it_is_about(patched):
    usual = {"family": "", "what": "", "history": "", "fixtures": [], "backend": "mutant", "changed": True}
    numbers = {"cells": 1, "errors": [], "wanted": [], "named": "", "localised": True, "largest": None}
    fields = {**usual, **numbers, "smallest": None, "missed_by": []}
    of_a_model = Outcome(name="one", component="model", caught_by=["NUM01", "OUT02"], **fields)
    of_a_config = Outcome(name="other", component="config", caught_by=["CONF01"], **fields)
    found = coverage([of_a_model, of_a_config])
    assert (found[NAME], found["hf-config"], found["hf-tokenizer"]) == (2, 1, 0)


TABLES = ("core/backends.py", "core/subject.py")
"""Where a backend is named: the rows, and the oracle and its peer."""


def test_no_other_source_names_a_backend():
    root = Path(parity.__file__).parent
    names = set(BACKENDS) - {"file", NAME}
    found = []
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).as_posix() not in TABLES:
            texts = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Constant)]
            found += [f"{path}:{node.lineno}" for node in texts if str(node.value).partition("/")[0] in names]
    assert found == []
