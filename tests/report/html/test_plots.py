"""Plots: every measured tensor is a point at its multiple of tolerance, and a line of the table below."""

from __future__ import annotations

from itertools import pairwise

import pytest

from parity.core.records import Divergence
from parity.report.html import errors, render
from parity.report.html.errors import error_view
from parity.report.html.plots import decades_of, is_outside, plot
from tests.report.html.reading import read
from tests.sample_reports import failure, measured, report, subject, verdict

TENSORS = ["encoder.hidden.0", "encoder.attention.0", "decoder.hidden.0", "decoder.hidden.1", "logits"]


def rows(*numbers: float | None, **fields) -> list:
    return [measured(tensor, error, **fields) for tensor, error in zip(TENSORS, numbers, strict=False)]


def test_a_decade_is_the_same_height_everywhere():
    made = plot(rows(1e-8, 1e-7, 1e-6, 1e-5), (-3, 2))
    heights = [point.y for point in made.points]
    steps = [above - below for above, below in zip(heights[1:], heights, strict=False)]
    assert steps == pytest.approx([-34.0] * 3)
    named = {line.text: line.x for line in made.decades}
    assert named["0.01"] == pytest.approx(heights[0])
    assert all(made.top <= height <= made.bottom for height in heights)


def test_a_point_is_outside_past_its_tolerance_and_not_before():
    made = plot(rows(1e-6, 1.01e-6, None, 0.0), (-1, 1))
    assert [point.kind for point in made.points] == ["inside", "outside", "none", "equal"]
    assert made.points[3].y == made.zero > made.bottom
    assert made.points[2].y == made.nothing < made.top
    assert plot(rows(1e-6), (-1, 1)).nothing is None


def test_an_element_outside_counts_where_its_slice_is_inside():
    (row,) = rows(5e-7, ratio=1.4)
    assert is_outside(row)
    made = plot([row], (-1, 1))
    (point,) = made.points
    assert point.kind == "outside"
    assert "1.4 × tolerance (greatest element; the slices are inside)" in point.hover
    assert point.y < made.one, "it is drawn where it is judged"


def test_hovering_tells_tensor_place_error_tolerance_and_ratio():
    made = plot(
        [measured("logits", 5e-7), measured("loss", None, note="has shape [2] where the oracle has []")], (-1, 1)
    )
    assert (
        made.points[0].hover
        == "logits at [1, 2]\n0.5 × tolerance · error 5.00e-07\ntolerance 1.00e-06 · noise floor 1.30e-07"
    )
    assert "has shape [2]" in made.points[1].hover


def test_without_a_tolerance_a_point_has_a_place_of_its_own_and_the_noise_floor_a_gap():
    found = rows(1e-7, 1e-7, 0.0)
    free = {"tolerance": None, "noise_floor": None, "ratio": None}
    made = plot([found[0], *(row.model_copy(update=free) for row in found[1:]), found[0]], (-2, 1))
    assert [point.kind for point in made.points] == ["inside", "free", "equal", "inside"]
    assert made.points[1].y == made.nothing < made.top
    assert made.noise_floor.count("M") == 2
    assert plot(rows(1e-7, 1e-7, 1e-7), (-2, 1)).noise_floor.count("M") == 1
    assert "no tolerance" in made.points[1].hover


def test_the_tolerance_is_one_wherever_it_is():
    """Tensors of unequal tolerance that are equally far past it stand at one height, below it those inside."""
    made = plot([measured("a", 2e-6), measured("b", 2e-3, tolerance=1e-3, ratio=2.0), measured("c", 1e-6)], (-1, 1))
    assert made.points[0].y == made.points[1].y < made.one == made.points[2].y
    assert made.one == pytest.approx(made.bottom - 170 / 2)
    assert [line.text for line in made.decades] == ["0.1", "1", "10"]


def test_the_axis_holds_every_number_and_is_never_flat():
    assert decades_of(rows(1e-9, 3e-2)) == (-3, 5)
    assert decades_of([measured(error=0.0, tolerance=None, noise_floor=None)]) == (-1, 1)
    assert decades_of(rows(1e-7, ratio=float("inf"))) == (-1, 30)
    assert decades_of(rows(1e-7, noise_floor=1e-11)) == (-5, 1)
    assert [line.text for line in plot(rows(1e-7), (-9, 20)).decades] == [
        "1e-8",
        "1e-4",
        "1",
        "1e4",
        "1e8",
        "1e12",
        "1e16",
        "1e20",
    ]


def test_the_table_has_the_numbers_of_every_point():
    page = read(render(made_report(*rows(1e-7, 3e-6, 0.0), measured("loss", None, note="is not finite"))))
    (table,) = (table for part in page.all("details", "values") for table in part.all("table"))
    lines = [[cell.text for cell in line.all("td")] for body in table.all("tbody") for line in body.all("tr")]
    assert lines == [
        ["0.1", "1e-07", "1e-06", "1.3e-07", "[1, 2]", ""],
        ["3 ✗", "3e-06", "1e-06", "1.3e-07", "[1, 2]", ""],
        ["0", "0", "1e-06", "1.3e-07", "[1, 2]", ""],
        ["– ✗", "–", "1e-06", "1.3e-07", "[1, 2]", "is not finite"],
    ]
    assert [line.text for body in table.all("tbody") for line in body.all("th")] == [*TENSORS[:3], "loss"]


def test_tensors_are_labelled_below_the_part_they_belong_to():
    made = plot(rows(*[1e-7] * 5), (-1, 1))
    assert [label.text for label in made.labels] == ["hidden.0", "attention.0", "hidden.0", "hidden.1", "logits"]
    assert [(band.text, band.width) for band in made.bands] == [("encoder", 68), ("decoder", 68)]
    gradient = measured("gradient.model.decoder.layers.0.fc1.weight", 1e-7, kind="gradient")
    assert [label.text for label in plot([gradient], (-1, 1)).labels] == ["fc1.weight"]


def test_a_crowd_is_as_wide_and_labels_what_is_outside_first():
    crowd = [measured(f"t{number}", 1e-5 if number in (37, 38, 90) else 1e-7) for number in range(200)]
    made = plot(crowd, (-1, 1))
    assert made.width <= 640
    named = [label.text for label in made.labels]
    assert "t37" in named and "t90" in named and "t38" not in named, "two names would overlap"
    places = [label.x for label in made.labels]
    assert min(right - left for left, right in pairwise(places)) >= 11


def made_report(*found, **fields):
    subjects = [subject(), subject("hf-tf")]
    return report(*fields.pop("verdicts", [verdict()]), subjects=subjects, measured=list(found), **fields)


def test_the_first_case_is_in_sight_and_the_others_are_folded():
    page = read(render(made_report(measured(), measured(case="loss"), measured("a", 1e-3, case="loss"))))
    (article,) = page.all("article", "subject")
    folded = next(part for part in article.all("details") if list(part.all("figure")))
    assert [figure.text.partition(" ")[0] for figure in article.all("figure")] == ["forward", "loss"]
    assert [figure.text.partition(" ")[0] for figure in folded.all("figure")] == ["loss"]
    assert "1 outside" in next(folded.all("summary")).text


def test_every_row_is_one_point_of_the_page():
    found = [measured(tensor, case=case, subject=who) for who in (0, 1) for case in ("a", "b") for tensor in TENSORS]
    page = read(render(made_report(*found)))
    titles = [title.text for svg in page.all("svg", "plot") for title in svg.all("title")]
    assert len(titles) == len(found) == 20
    assert [svg.attributes["aria-label"].partition(":")[0] for svg in page.all("svg", "plot")] == [
        "hf-torch · float32 · cpu, a",
        "hf-torch · float32 · cpu, b",
        "hf-tf · float32 · cpu, a",
        "hf-tf · float32 · cpu, b",
    ]


def test_a_known_divergence_is_told_from_a_new_one():
    divergence = Divergence(tensor="logits")
    known = verdict("known", first_divergence=divergence)
    (panel,) = error_view(made_report(measured(error=None), verdicts=[verdict(), known]))[0].subjects[0].panels
    assert (panel.status, panel.outside, panel.numberless) == ("known", 1, ["logits"])
    failed = failure(backend="hf-torch")
    (panel,) = error_view(made_report(measured(error=1.0), verdicts=[known, failed]))[0].subjects[0].panels
    assert panel.status == "fail"


def test_plots_of_one_case_share_their_axis():
    first, second = error_view(made_report(measured(error=1e-9), measured(error=1e-1, subject=1)))[0].subjects
    assert first.panels[0].plot.decades == second.panels[0].plot.decades


def test_past_the_room_there_is_plots_without_faults_are_named_and_not_drawn(monkeypatch):
    monkeypatch.setattr(errors, "MOST_POINTS", 3)
    found = [measured(), measured(case="good"), measured(case="good too"), *rows(1e-7, 1e-7, case="large")]
    made = made_report(*found, measured("a", 1.0, case="bad"))
    (shown,) = error_view(made)[0].subjects
    assert [panel.case for panel in shown.panels] == ["forward", "good", "good too", "bad"]
    assert shown.left_out == ["large"]
    assert "Not drawn, to keep this page small; all tensors are inside: large." in read(render(made)).text
