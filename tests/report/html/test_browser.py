"""The page in a real browser: Chromium, without a window and without a network."""

from __future__ import annotations

import pytest

from parity.core.records import Divergence
from parity.report.html import render
from tests.report.html.browser import CHROMIUM, SETTLED, browser
from tests.report.html.test_page import full
from tests.sample_reports import failure, measured, verdict

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
    blocks = "[...document.querySelectorAll('.block')].filter(each => each.checkVisibility()).map(each => each.id)"
    assert tab.ask(blocks) == ["failure-1", "failure-2", "known-1"]
    tab.press("a[data-status=fail]")
    assert tab.ask(SHOWN) == ["NUM01 fail"]
    assert tab.ask(blocks) == ["failure-1"]
    tab.ask("document.querySelector('#filter select').value = ''")
    word = "document.querySelector('#filter input')"
    tab.ask(f"{word}.value = 'num04'; {word}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert tab.ask(SHOWN) == ["NUM04 error · ·"]
    assert tab.ask("document.querySelector('#filter output').textContent") == "1 of 3 rows"
    tab.ask(f"{word}.value = 'flax'; {word}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert tab.ask(SHOWN) == ["NUM01 fail"], "a backend's name finds its column"
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


def test_a_filter_unfolds_the_groups_that_pass_and_folds_them_again(tab, tmp_path):
    tab.open(address(tmp_path, full(verdicts=[failure(), verdict(check="LOAD01")], totals={"fail": 1, "pass": 1})))
    assert tab.ask(SHOWN) == ["NUM01 fail"]
    word = "document.querySelector('#filter input')"
    tab.ask(f"{word}.value = 'load'; {word}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert tab.ask(SHOWN) == ["LOAD01 pass"]
    tab.ask(f"{word}.value = ''; {word}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert tab.ask(SHOWN) == ["NUM01 fail"]


def test_a_link_opens_the_fold_that_its_target_is_in(tab, tmp_path):
    later = failure(check="NUM02", first_divergence=Divergence(tensor="logits", error=1.0, tolerance=0.1))
    tab.open(address(tmp_path, full(verdicts=[failure(), later], totals={"fail": 2})) + "#failure-2")
    tab.until("document.getElementById('failure-2').checkVisibility()")


@pytest.mark.parametrize("clipboard", ["granted", "refused", "missing"])
def test_a_button_copies_the_command_that_reproduces_a_failure(tab, tmp_path, clipboard):
    """From a file, without a network: by the clipboard's interface, and where that is not there by the selection."""
    tab.become(1400)
    tab.open(address(tmp_path))
    instead = {
        "granted": "{writeText: async text => { copied.push(text) }}",
        "refused": "{writeText: async () => { throw new DOMException('refused') }}",
        "missing": "undefined",
    }[clipboard]
    tab.ask(
        "globalThis.copied = [];"
        f"Object.defineProperty(navigator, 'clipboard', {{value: {instead}}});"
        "document.addEventListener('copy', () => copied.push(getSelection().toString()))"
    )
    tab.press("#failure-1 button.copy")
    tab.until("document.querySelector('#failure-1 button.copy').textContent !== 'copy'")
    assert tab.ask("document.querySelector('#failure-1 button.copy').textContent") == "copied"
    expected = "parity audit fixtures/checkpoints/bart-odd --backend hf-flax --check NUM01"
    assert tab.ask("copied") == [expected]


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_the_filter_is_at_the_top_and_stays_in_sight(tab, tmp_path, width):
    tab.become(width)
    tab.open(address(tmp_path))
    form = "document.getElementById('filter')"
    assert tab.ask(f"{form}.innerText").startswith("Filter")
    for place in ("0", "document.body.scrollHeight"):
        tab.ask(f"scrollTo(0, {place})")
        tab.ask(SETTLED)
        box = tab.ask(f"{form}.getBoundingClientRect().toJSON()")
        assert box["left"] >= 0 and box["right"] <= width
    assert box["top"] >= 0 and box["bottom"] <= 120, "below everything it is still at the top"


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_a_chart_is_whole_and_its_values_open_by_keyboard(tab, tmp_path, width):
    tab.become(width)
    many = [measured(f"decoder.hidden.{n}", 1e-7 * 1.2**n) for n in range(40)]
    tab.open(address(tmp_path, full(measured=many)))
    boxes = tab.ask(
        "[...document.querySelectorAll('svg.plot')].flatMap(plot => [plot, ...plot.querySelectorAll('g, path, .tick')])"
        ".map(each => each.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    assert len(boxes) > 80
    assert all(left >= 0 and right <= width for left, right in boxes)
    overflow = "[...document.querySelectorAll('svg.plot')].some(plot => plot.closest('.wide'))"
    assert not tab.ask(overflow), "a chart does not scroll"
    values = "document.querySelector('details.values')"
    tab.ask(f"{values}.querySelector('summary').focus()")
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    tab.until(f"{values}.open")
    rows = f"[...{values}.querySelectorAll('tbody tr')].filter(row => row.checkVisibility()).length"
    assert tab.ask(rows) == 40
    assert tab.ask("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_claims_use_the_width(tab, tmp_path, width):
    tab.become(width)
    claim = "hidden states of the encoder and the decoder are within tolerance of the float64 oracle, layer by layer"
    tab.open(address(tmp_path, full(verdicts=[verdict("fail", claim=claim)], totals={"fail": 1})))
    lines = "Math.round(document.querySelector('table.matrix th span').getClientRects().length)"
    assert tab.ask(lines) <= (1 if width > 800 else 2 if width > 400 else 1)
    assert tab.ask("document.querySelector('table.matrix').getBoundingClientRect().width") >= 0.9 * width
