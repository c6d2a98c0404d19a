"""The page as a whole: one file, nothing from elsewhere, others' words are never HTML, every link leads on."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

from parity.core.records import CaseRecord, CheckpointRecord, Report
from parity.core.resources import data
from parity.report.html import render, write_page
from parity.report.html.page import short
from tests.report.html.reading import read, unpack
from tests.sample_reports import failure, generated, measured, report, subject, verdict

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;{{ 7 * 7 }}"


def full(**fields: Any) -> Report:
    """A report that fills every section."""
    known = {"known_issue": "hf-tf-untied-head-ignored", "severity": "critical"}
    cells = [
        verdict(error=1e-7, tolerance=1e-6),
        failure(),
        verdict("error", check="NUM04", reason="time-out"),
        verdict("known", backend="hf-tf", reason="hf-tf-untied-head-ignored: because [found]", evidence=known),
        verdict("skip", backend="hf-tf", check="ATTN01", reason="attentions: none"),
    ]
    usual = {
        "subjects": [subject(), subject("reference-torch", role="oracle", dtype="float64")],
        "cases": {"bart-odd": [CaseRecord(name="x", operation="forward", digest="ab", shapes={"input_ids": [3, 11]})]},
        "measured": [measured(), measured("loss", 1e-3), measured("logits", None, case="loss", note="is not finite")],
        "generated": [generated(1, [2, 5, 1], words=["</s>", " a", "<pad>"]), generated(0, [2, 6], "wrong")],
    }
    return report(*cells, **{**usual, **fields})


def test_every_element_is_closed_every_name_is_unique_and_every_link_leads_somewhere():
    page = read(render(full()))
    ids = [element.attributes["id"] for element in page.everything() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    links = [link.attributes["href"] for link in page.all("a")]
    cards = [button.attributes["popovertarget"] for button in page.all("button")]
    assert {link.removeprefix("#") for link in links if link.startswith("#")} | set(cards) <= set(ids)
    assert {link for link in links if not link.startswith("#")} == {"report.json"}
    assert len(cards) == 5


def test_the_page_asks_for_nothing_and_runs_nothing_but_its_own_script():
    text = render(full())
    page = read(text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    assert {"img", "link", "iframe", "object", "base"}.isdisjoint(e.tag for e in page.everything())
    assert not [name for element in page.everything() for name in element.attributes if name.startswith("on")]
    policy = next(e for e in page.all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy")
    script = re.search("<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    wanted = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert policy.attributes["content"] == wanted and len(list(page.all("script"))) == 1
    assert not re.search(r"fetch|XMLHttp|import\(|eval|localStorage|cookie", script)


def made_hostile(value: Any, key: str = "") -> Any:
    """Every string that is free to be anything, replaced; what has a fixed meaning stays."""
    fixed = {"status", "role", "verdict", "kind", "schema_version", "severity"}
    if isinstance(value, str):
        return value if key in fixed else f"{value}{HOSTILE}"
    if isinstance(value, list):
        return [made_hostile(member, key) for member in value]
    if isinstance(value, dict):
        changed = {name: made_hostile(member, name) for name, member in value.items()}
        # What names a thing names it the same everywhere, or it would not be shown.
        return {
            f"{n}{HOSTILE}" if key in ("environments", "cases", "versions", "sources") else n: m
            for n, m in changed.items()
        }
    return value


def test_what_others_wrote_is_text_and_never_html():
    harmless, hostile = full(), Report.model_validate(made_hostile(full().model_dump(by_alias=True)))
    page = read(render(hostile))
    # A label may be broken before a slash: of these the hostile one has more.
    tags = [{e.tag for e in each.everything()} - {"wbr"} for each in (page, read(render(harmless)))]
    assert tags[0] == tags[1]
    assert not [name for element in page.everything() for name in element.attributes if name.startswith("on")]
    body = next(page.all("body")).text
    assert body.count("{{ 7 * 7 }}") > 50
    assert "<script>alert(1)</script>" in body


def test_a_large_page_is_packed_and_says_the_same(monkeypatch):
    """Past ``ROOM`` the parts of each checkpoint are packed, and who and what was asked of all of them; unpacked they
    are what a small page shows."""
    whole = read(render(full()))
    monkeypatch.setattr("parity.report.html.parts.ROOM", 1000)
    packed = render(full())
    folded, opened = read(packed), read(unpack(packed))
    parts = [
        [part.attributes["id"] for part in each] for each in (folded.all("details", "part"), whole.all("div", "part"))
    ]
    assert (
        parts[0] == parts[1] == ["cell.bart-odd.float32.cpu", "errors.bart-odd", "texts.bart-odd", "provenance.details"]
    )
    assert not list(folded.all("table", "matrix")) and not list(folded.all("svg", "plot"))
    for tag, css in (("table", "matrix"), ("svg", "plot"), ("table", "tokens"), ("button", "cell")):
        assert [e.text for e in opened.all(tag, css)] == [e.text for e in whole.all(tag, css)] != []
    ids = {e.attributes["id"] for e in opened.everything() if "id" in e.attributes}
    assert ids == {e.attributes["id"] for e in whole.everything() if "id" in e.attributes}
    inside = {
        e.attributes["id"] for part in opened.all("details", "part") for e in part.everything() if "id" in e.attributes
    }
    assert inside and all(
        any(i.startswith(p.attributes["id"] + ".") for p in opened.all("details", "part")) for i in inside
    )


def test_a_link_to_a_cell_holds_in_the_next_report():
    """It names what the cell is about, not where it stood."""
    first, second = (read(render(full(verdicts=order(full().verdicts)))) for order in (list, lambda v: v[::-1]))
    cells = [{card.attributes["id"] for card in page.all("div", "card")} for page in (first, second)]
    assert cells[0] == cells[1] and any("NUM01.hf-torch" in cell for cell in cells[0])


def test_a_report_with_nothing_in_it_is_a_page():
    page = read(render(report()))
    assert "Nothing was checked" in next(page.all("h1")).text
    assert not list(page.all("svg"))


def test_a_page_replaces_the_old_one_whole(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_page(full(), path)
    assert read(path.read_text(encoding="utf-8")).get("matrix")
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_a_lone_surrogate_in_a_message_does_not_stop_the_page(tmp_path):
    write_page(report(failure(reason="bad \udc80 byte", first_divergence=None)), tmp_path / "report.html")
    assert "\\udc80" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_provenance_names_versions_subjects_digests_and_cost():
    named = {"name": "bart-odd", "path": "/models/x", "digest": "f00d" * 16, "documented_class": "Bart"}
    made = full(checkpoints=[CheckpointRecord(**named, config={})])
    text = read(render(made)).get("provenance").text
    for expected in ("torch 2.13.0", "reference-torch", "f00d" * 16, "input_ids [3, 11]", "2 min 05 s", "parity audit"):
        assert expected in text, expected
    assert "reference-torch float64 generate 9 1 min 10 s 0.5 s" in " ".join(text.split())
    assert "hf-torch load 1" not in " ".join(text.split()), "less than a hundredth of all"


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2, definition of that name)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_word_stands_out_from_its_paper(scheme):
    """At least 4.5 to 1 (WCAG 2.2, success criterion 1.4.3)."""
    css = data("report/html/page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", css.split("}")[scheme]))
    pairs = [(ink, paper) for ink in ("ink", "quiet", "link", "outside") for paper in ("paper", "shade")]
    pairs += [(status, f"{status}-paper") for status in ("pass", "known", "fail", "error", "skip")]
    for ink, paper in pairs:
        light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)


def test_numbers_are_short():
    assert [short(number) for number in (None, 0.0, 0.3149, 154.2, 84_000.0, 3.1e-7)] == [
        "–",
        "0",
        "0.31",
        "154",
        "8.4e+04",
        "3.1e-07",
    ]
