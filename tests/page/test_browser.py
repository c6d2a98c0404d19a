"""The page in a real browser: Chromium, without a window and without a network."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from parity.show.html import render
from tests.page.reading import read
from tests.page.test_page import full

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--virtual-time-budget=3000",
)  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)")


def seen(tmp_path, fragment=""):
    """The page's elements after its script has run."""
    path = tmp_path / "report.html"
    path.write_text(render(full()), encoding="utf-8")
    command = [
        CHROMIUM,
        *OPTIONS,
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
        f"{path.as_uri()}{fragment}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return read(done.stdout)


def test_a_packed_part_opens_where_a_link_leads_into_it(tmp_path, monkeypatch):
    monkeypatch.setattr("parity.show.html.parts.ROOM", 1000)
    closed, opened = seen(tmp_path), seen(tmp_path, "#cell.bart-odd.float32.cpu.NUM01.hf-torch")
    assert not list(closed.all("table", "matrix"))
    assert len(list(opened.all("table", "matrix"))) == 1
    assert "open" in next(part for part in opened.all("details", "part")).attributes
    assert not list(opened.all("svg", "plot")), "another part was opened too"


def test_a_small_page_needs_no_opening_and_has_its_filter(tmp_path):
    page = seen(tmp_path)
    assert list(page.all("table", "matrix")) and list(page.all("svg", "plot"))
    assert "hidden" not in page.get("filter").attributes
