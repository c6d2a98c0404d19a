"""The heat map: a shade for each layer and position, the tolerance between two of them."""

from __future__ import annotations

from parity.report.html import render
from parity.report.html.heat import STEPS, heat_map
from tests.report.html.reading import read
from tests.sample_reports import measured, report, subject, verdict


def test_every_position_has_the_shade_of_its_error_in_tolerances():
    found = heat_map([measured("a", places=[0.05, 0.2, 1.0]), measured("b", places=[1.01, 11.0, 5000.0])])
    assert [[spot.shade for spot in row.spots] for row in found.rows] == [[0, 1, 2], [3, 4, 5]]
    assert found.outside and found.width == 3 and len(STEPS) == 5
    assert found.rows[1].spots[1].hover == "b at position 1: 11 × tolerance"


def test_what_has_no_positions_has_no_map():
    assert heat_map([measured("loss")]) is None
    assert not heat_map([measured("a", places=[0.9, 1.0])]).outside


def test_the_page_opens_the_map_where_something_is_outside():
    for places, is_open in (([0.5, 0.6], False), ([0.5, 7.0], True)):
        rows = [measured("decoder.hidden.0", places=places)]
        page = read(render(report(verdict(), subjects=[subject()], measured=rows)))
        (table,) = page.all("table", "heat")
        assert [cell.attributes["class"] for cell in table.all("td")][1] == ("h3" if is_open else "h2")
        folded = next(part for part in page.get("errors").all("details") if list(part.all("table", "heat")))
        assert ("open" in folded.attributes) == is_open
