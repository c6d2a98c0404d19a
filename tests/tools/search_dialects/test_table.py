"""The page about dialects says what was measured."""

from __future__ import annotations

from dataclasses import fields

from parity.tools.search_dialects import table
from reference.generation.dialect import Dialect


def test_the_page_is_fresh():
    text = table.OUT.read_text(encoding="utf-8")
    assert text == table.as_markdown(), "run: python -m parity.tools.search_dialects.table"


def test_every_choice_has_its_question_and_its_row():
    names = [choice.name for choice in fields(Dialect)]
    assert list(table.DESCRIPTIONS) == names
    rows = [line for line in table.as_markdown().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == names


def test_a_departure_is_shown_and_agreement_is_not_spelled_out():
    page = table.as_markdown()
    end_rank = next(line for line in page.splitlines() if line.startswith("| `end_rank`"))
    assert end_rank.split(" | ")[1] == "AMONG_BEAMS"
    assert end_rank.count("AMONG_CANDIDATES (") == 2, "both lines of Flax, and no other"
    assert end_rank.count("= (") == 6
