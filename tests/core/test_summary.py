"""A report in one line, as a table of a notebook and as a DataFrame."""

from __future__ import annotations

import math
import sys
from html.parser import HTMLParser

import pytest

from parity.core.summary import SHOWN_FAILURES
from tests.sample_reports import failure, report, verdict


def test_a_report_in_one_line():
    made = report(verdict(), verdict(case="loss"), failure(), verdict("known"))
    assert (
        repr(made)
        == str(made)
        == (
            "<Report bart-odd: 4 cells: 2 pass, 1 fail, 1 known; first failure NUM01 hf-flax: "
            "decoder.hidden.1 at [batch 0, tgt 1], 8.38e+04 × tolerance>"
        )
    )
    assert repr(report(verdict())) == "<Report bart-odd: 1 cell: 1 pass>"


def test_the_line_names_three_checkpoints():
    made = report(*(verdict(checkpoint=f"c{number}") for number in range(5)))
    assert repr(made) == "<Report c0, c1, c2 and 2 more: 5 cells: 5 pass>"


class Elements(HTMLParser):
    """The names of a page's elements, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        assert not attrs

    def handle_data(self, data):
        self.texts.append(data)


def test_the_table_has_a_row_for_each_of_the_first_failures():
    made = report(verdict(), *(failure(case=f"case-{number}") for number in range(SHOWN_FAILURES + 2)))
    found = Elements(made._repr_html_())
    assert found.names.count("tr") == 1 + SHOWN_FAILURES
    assert "FAILED" in found.texts and "case-0" in found.texts and "and 2 more failures" in found.texts
    assert "parity audit fixtures/checkpoints/bart-odd --backend hf-flax --check NUM01" in found.texts
    assert "table" not in Elements(report(verdict())._repr_html_()).names


def test_what_did_not_run_is_in_the_table():
    found = Elements(report(verdict(), not_run=["hf-flax: pip install flax"])._repr_html_())
    assert found.texts[0] == "INCOMPLETE" and "not run: hf-flax: pip install flax" in found.texts


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\u202e"


def test_everything_of_a_checkpoint_is_escaped():
    fields = dict.fromkeys(("checkpoint", "case", "backend", "variant", "stack", "reason", "check"), HOSTILE)
    made = report(verdict("fail", **fields, evidence={"reproduce": HOSTILE}), not_run=[HOSTILE])
    text = made._repr_html_()
    assert not {"script", "img"} & {*Elements(text).names}
    for character in ("\x1b", "\u202e"):
        assert character not in text and character not in repr(made)


def test_a_frame_has_a_row_for_each_cell():
    pandas = pytest.importorskip("pandas")
    frame = report(verdict(), failure(), verdict("skip", reason="labels: takes none")).to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == [
        *("checkpoint", "model_class", "check", "case", "backend", "variant", "stack", "device", "dtype", "status"),
        *("error", "tolerance", "ratio", "tensor", "index", "reason"),
    ]
    assert list(frame.status) == ["pass", "fail", "skip"] and list(frame.backend)[1] == "hf-flax"
    assert frame.ratio[1] == pytest.approx(84000) and math.isnan(frame.ratio[0]) and frame.ratio.dtype == "float64"
    assert frame["index"][1] == (0, 1) and frame.tensor[1] == "decoder.hidden.1" and frame.tensor[0] is None
    assert len(report().to_frame()) == 0


def test_a_frame_without_pandas_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        report(verdict()).to_frame()
