"""``COVERAGE.md``: every documented class has a row in each stack, and a report changes its own stacks' tables only."""

from __future__ import annotations

import pytest

from parity.core.records import write_record
from parity.report import coverage
from parity.report.coverage import DOCUMENTED, page, read_sections, sections
from tests.sample_reports import report, verdict


def of(stack: str, **status: int):
    return report(
        *(
            verdict(backend="hf-torch", stack=stack, model_class="BartModel", status=name, reason="lacks: a reason")
            for name, count in status.items()
            for _ in range(count)
        )
    )


def test_every_documented_class_has_a_row_that_says_what_became_of_it():
    table = sections(of("main", **{"pass": 3, "known": 2, "skip": 1, "fail": 1}))["main"]
    rows = {line.split("`")[1]: line for line in table.splitlines()[2:]}
    assert list(rows) == list(DOCUMENTED)
    assert rows["BartModel"] == "| `BartModel` | 3, and 1 wrong | 2 | 1 | a reason (1) |"
    assert all(coverage.NO_BACKEND in rows[name] for name in ("BartConfig", "TFBartModel"))


def test_what_is_not_the_library_s_is_not_counted():
    assert sections(report(verdict(backend="reference-torch", stack="main", status="pass"))) == {}


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        ("hf-config", "BartConfig"),
        ("hf-config", "EncoderDecoderConfig"),
        ("hf-config", "SpeechEncoderDecoderConfig"),
        ("hf-tokenizer", "BartTokenizer"),
        ("hf-tokenizer-fast", "BartTokenizerFast"),
    ],
)
def test_configs_and_tokenizers_have_rows_like_models(backend, name):
    told = report(*(verdict(status, backend=backend, model_class=name, reason="a: b") for status in ("pass", "known")))
    assert f"| `{name}` | 1 | 1 | 0 | – |" in sections(told)["main"]


def test_a_report_changes_its_own_stacks_only(tmp_path, monkeypatch):
    place, asked = tmp_path / "COVERAGE.md", tmp_path / "report.json"
    for stack, passed in (("main", 1), ("other", 2), ("main", 3)):
        write_record(of(stack, **{"pass": passed}), asked)
        monkeypatch.setattr("sys.argv", ["coverage", str(asked), "--out", str(place)])
        coverage.main()
    found = read_sections(place.read_text(encoding="utf-8"))
    assert list(found) == ["main", "other"] and page(found) == place.read_text(encoding="utf-8")
    assert ["| 3 |" in found["main"], "| 1 |" in found["main"], "| 2 |" in found["other"]] == [True, False, True]


def test_what_a_third_stack_saved_is_not_counted():
    """It would be there beside that stack only, and the table must not depend on who else was audited."""
    cases = {
        "saved.hf-tf@main.h5.from_tf": 1,
        "saved.hf-tf@docs-4.37.h5.from_tf": 1,
        "saved.hf-torch@current.bin.own": 0,
    }
    for case, counted in cases.items():
        made = report(verdict(case=case, stack="docs-4.37", model_class="BartModel", backend="hf-torch"))
        found = sections(made).get("docs-4.37", "")
        assert ("| `BartModel` | 1 |" in found) == bool(counted), case
