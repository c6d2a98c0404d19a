"""The notebooks of the documentation run from the first cell to the last, and show what their text promises."""

from __future__ import annotations

import ast
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


@dataclass
class Output:
    """What one cell printed, and the value of its last expression."""

    printed: str
    value: Any = None


def code_cells(path: Path) -> list[str]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def execute(source: str, name: str, namespace: dict[str, Any]) -> Any:
    """Runs one cell as a notebook does: all statements, and the value of a last expression."""
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), namespace)
    return None if last is None else eval(compile(ast.Expression(last.value), name, "eval"), namespace)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_is_python(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        assert cell["cell_type"] in ("markdown", "code") and cell["id"] and isinstance(cell["source"], list)
        assert not cell.get("outputs") and cell.get("execution_count") is None
    for number, source in enumerate(code_cells(path)):
        ast.parse(source, f"{path.name}, cell {number}")


@pytest.mark.full
def test_the_audit_notebook_shows_what_it_says(capsys, monkeypatch, tmp_path):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    outputs = []
    try:
        for number, source in enumerate(code_cells(ROOT / "docs/notebooks/audit.ipynb")):
            value = execute(source, f"audit.ipynb, cell {number}", namespace)
            outputs.append(Output(capsys.readouterr().out, value))
    finally:
        if "folder" in namespace:
            shutil.rmtree(namespace["folder"], ignore_errors=True)
    _, audited, files, listed, one, arrays, cells, counts, different, compared, error = outputs
    assert audited.value._repr_html_().startswith("<div><p><strong>FAILED</strong> bart-untied: ")
    assert "<table>" in audited.value._repr_html_() and repr(audited.value).startswith("<Report bart-untied: ")
    assert {"manifest.json", "report.html", "report.json", "traces"} <= {*files.value}
    assert listed.printed.startswith("<Failure ") and " × tolerance" in listed.printed
    assert "× tolerance" in one.printed and "parity audit" in one.printed
    assert "largest difference" in arrays.printed
    assert len(cells.value) == 8 and "<table" in cells.value._repr_html_()
    assert counts.value.sum() == len(audited.value.verdicts)
    assert different.printed.splitlines()[0].startswith("both: no backend on bart-untied")
    assert different.printed.count("only ") == 2
    assert len(compared.value.cases) == 1 and compared.printed.startswith("forward ")
    # The values are drawn anew for each load, so that the two are not always different.
    assert ("first difference: " in compared.printed) is bool(compared.value.differing)
    assert error.printed.startswith("NothingToJudge: ") and "NUM99" in error.printed
    assert not [*tmp_path.iterdir()], "nothing is left in the working directory"
