"""The page in a real browser: Chromium, without a window and without a network."""

from __future__ import annotations

import pytest

from parity.report.html import render
from tests.report.html.browser import CHROMIUM, browser
from tests.report.html.test_page import full
from tests.sample_reports import failure, verdict

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)")
TABLES = "[...document.querySelectorAll('table.matrix')].filter(table => table.checkVisibility()).length"
SHOWN = """[...document.querySelectorAll("table.matrix tbody tr")].filter(row => row.checkVisibility()).map(row =>
    [...row.cells].filter(cell => cell.checkVisibility()).map(cell => cell.firstChild.textContent).join(" "))"""
"""The rows of the matrices that are in sight, each as its words."""


@pytest.fixture(scope="module")
def tab():
    with browser() as opened:
        yield opened


@pytest.fixture
def packed(monkeypatch):
    """Every page counts as large."""
    monkeypatch.setattr("parity.report.html.parts.ROOM", 1000)


def address(tmp_path, report=None) -> str:
    path = tmp_path / "report.html"
    path.write_text(render(report or full()), encoding="utf-8")
    return path.as_uri()


def test_a_packed_page_begins_with_the_matrix_that_its_answer_is_about(tab, tmp_path, packed):
    other = [verdict(checkpoint="fine"), failure(checkpoint="broken")]
    tab.open(address(tmp_path, full(verdicts=other, totals={"pass": 1, "fail": 1})))
    tab.until(f"{TABLES} === 1")
    assert tab.ask("document.querySelector('details.part[open]').id") == "cell.broken.float32.cpu"
    assert tab.ask("document.querySelectorAll('.grid svg.plot').length") == 0, "another part was opened too"


def test_a_packed_part_opens_where_a_link_leads_into_it(tab, tmp_path, packed):
    """By its card, or by the plots of a subject; a card that held the link gives way."""
    place = address(tmp_path)
    tab.open(f"{place}#cell.bart-odd.float32.cpu.NUM01.hf-torch")
    tab.until("document.querySelector(':popover-open')")
    assert tab.ask("document.querySelector(':popover-open').id") == "cell.bart-odd.float32.cpu.NUM01.hf-torch"
    assert tab.ask("document.querySelectorAll('.grid svg.plot').length") == 0, "another part was opened too"
    tab.ask("location.hash = '#errors.bart-odd.float32.cpu.hf-torch'")
    tab.until("document.querySelectorAll('.grid svg.plot').length")
    assert tab.ask("document.querySelector(':popover-open')") is None
    top = "document.getElementById('errors.bart-odd.float32.cpu.hf-torch').getBoundingClientRect().top"
    tab.until(f"{top} < innerHeight && {top} > -1")


def test_a_small_page_needs_no_opening_and_has_its_filter(tab, tmp_path):
    tab.open(address(tmp_path))
    assert tab.ask(TABLES) == 2
    assert tab.ask("document.querySelectorAll('svg.plot').length") >= 2
    assert tab.ask("document.getElementById('filter').checkVisibility()")


def test_a_total_shows_only_its_own_rows_and_columns_and_a_word_only_its_checks(tab, tmp_path):
    tab.open(address(tmp_path))
    everything = tab.ask(SHOWN)
    assert everything == ["NUM01 pass fail known", "NUM04 error · ·", "ATTN01 skip"]
    tab.press("a[data-status=fail]")
    assert tab.ask(SHOWN) == ["NUM01 fail"]
    tab.ask("document.querySelector('#filter select').value = ''")
    word = "document.querySelector('#filter input')"
    tab.ask(f"{word}.value = 'num04'; {word}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert tab.ask(SHOWN) == ["NUM04 error · ·"]
    tab.ask(f"{word}.value = ''; {word}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert tab.ask(SHOWN) == everything


def test_a_card_opens_wherever_its_cell_is_pressed_and_has_a_way_out(tab, tmp_path):
    tab.open(address(tmp_path))
    tab.press("td.fail")
    assert tab.ask("document.querySelector(':popover-open').id") == "cell.bart-odd.float32.cpu.NUM01.hf-flax"
    tab.press(":popover-open .close")
    assert tab.ask("document.querySelector(':popover-open')") is None


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 800, 1400])
def test_nothing_sticks_out_of_the_screen(tab, tmp_path, width, dark):
    """On a phone as well: what is wide scrolls within itself, and a card's reason is not squeezed to nothing."""
    tab.become(width, dark=dark)
    long = failure(first_divergence=None, reason="gradient." + "model.decoder.layers.2." * 6 + "bias is off")
    tab.open(
        address(
            tmp_path,
            full(
                verdicts=[long, verdict("known", reason="E: because [" + "w" * 80 + "]")],
                totals={"fail": 1, "known": 1},
            ),
        )
        + "#cell.bart-odd.float32.cpu.NUM01.hf-flax"
    )
    tab.until("document.querySelector(':popover-open')")
    assert tab.ask("document.documentElement.scrollWidth") <= width
    card = "document.querySelector(':popover-open')"
    assert tab.ask(f"{card}.scrollWidth <= {card}.clientWidth")
    assert tab.ask(f"{card}.querySelector('td:last-child').clientWidth") >= 200
    paper = tab.ask("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)")
