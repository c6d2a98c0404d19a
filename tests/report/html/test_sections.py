"""Head, matrix, failures, known divergences, skips: what a report says is on its page, once and in its place."""

from __future__ import annotations

import pytest

from parity.core.records import Divergence
from parity.judge import known_issues
from parity.report.failures import groups, lines
from parity.report.html import render
from parity.report.html.head import command_line, head_view, when
from tests.report.html.reading import Element, read
from tests.sample_reports import failure, measured, report, subject, verdict


def page(*verdicts, **fields) -> Element:
    return read(render(report(*verdicts, **fields)))


def known(severity: str = "low", entry: str = "ENTRY-1", **fields):
    evidence = {"known_issue": entry, "severity": severity}
    return verdict("known", reason=f"{entry}: it is so [what was found]", evidence=evidence, **fields)


@pytest.mark.parametrize(
    ("verdicts", "status", "answer"),
    [
        ([verdict(), verdict(backend="hf-tf")], "pass", "2 backends agree on bart-odd"),
        ([verdict()], "pass", "1 backend agrees with the oracle on bart-odd"),
        ([verdict(), verdict("skip", backend="hf-tf")], "pass", "1 backend agrees with the oracle on bart-odd"),
        (
            [verdict(), verdict(backend="hf-tf"), known(), known("critical", "ENTRY-2")],
            "known",
            "2 backends agree on bart-odd, except for 2 known issues (1 critical)",
        ),
        ([verdict(), verdict(checkpoint="b"), failure()], "fail", "1 of 2 backends fail on bart-odd and b: hf-flax"),
        ([verdict(), failure(backend="file")], "fail", "The weight file fails its claims: bart-odd"),
        ([verdict(), verdict("error")], "error", "Incomplete result on bart-odd: 1 check ended in an error"),
        ([failure(), verdict("error")], "fail", "1 of 2 backends fail on bart-odd: hf-flax"),
        ([verdict("skip")], "skip", "Nothing was checked on bart-odd: every cell was skipped"),
        ([verdict(checkpoint=name) for name in "abcd"], "pass", "1 backend agrees with the oracle on 4 checkpoints"),
    ],
)
def test_the_head_answers_the_question_in_one_line(verdicts, status, answer):
    head = head_view(report(*verdicts))
    assert (head.status, head.answer) == (status, answer)
    assert next(page(*verdicts).all("h1")).text == answer


def later(number: int):
    """A tensor that is wrong because what came to it was."""
    return Divergence(tensor=f"decoder.hidden.{number}", error=1.0, tolerance=0.1, inputs_within=7.0)


def test_the_head_names_where_failures_begin_those_with_right_inputs_first_and_counts_the_rest():
    """Six checks on two checkpoints that begin at one tensor are one line."""
    cells = [failure(first_divergence=later(number)) for number in range(2, 8)]
    cells += [failure(check=f"NUM{number:02}", checkpoint=name) for number in range(1, 7) for name in ("bart-odd", "b")]
    (listed,) = page(*cells).all("ul", "failing")
    items = [item.text for item in listed.all("li")]
    assert len(items) == 6
    where = "hf-flax · bart-odd, b · float32 · cpu · NUM01, NUM02, NUM03 and 3 more"
    assert items[0].startswith(f"decoder.hidden.1 ; inputs agree (0.9 × tolerance) {where} Likely cause: ")
    assert items[1].startswith("decoder.hidden.2 ; inputs already differ (7 × tolerance)")
    assert items[-1] == "and 2 other places"


def test_the_head_shows_the_curve_of_where_it_begins_and_leads_to_all_of_them():
    cells = [verdict(error=1e-7, tolerance=1e-6), failure(case="forward")]
    rows = [measured("decoder.hidden.1", 1e-2, subject=1), measured("logits", 1e-7)]
    made = page(*cells, subjects=[subject(), subject("hf-flax")], measured=rows)
    (curve,) = (part for part in made.all("div") if part.attributes.get("class") == "curve")
    assert "1 outside , the first decoder.hidden.1" in curve.text
    links = {link.attributes["href"] for link in [*curve.all("a"), *made.get("failures").all("a")]}
    assert links == {"#errors.bart-odd.float32.cpu.hf-flax"}
    assert "hf-flax" in made.get("errors.bart-odd.float32.cpu.hf-flax").text
    shown = [article.attributes["id"].rpartition(".")[2] for article in made.all("article", "subject")]
    assert shown == ["hf-flax", "hf-torch"], "who fails stands first"
    assert not [part for part in page(*cells).all("div") if part.attributes.get("class") == "curve"]


def test_totals_have_words_and_say_when_strict():
    made = page(verdict(), verdict(), failure(), strict=True)
    (totals,) = made.all("p", "totals")
    assert totals.text == "3 verdicts 1 fail 2 pass"
    assert "Strict" in next(made.all("header")).text


def test_the_command_is_shown_as_one_types_it():
    assert command_line(["/home/x/parity/__main__.py", "audit", "my model"]) == "parity audit 'my model'"
    assert command_line(["test"]) == "test"
    assert command_line([]) == "''"
    assert when("2026-11-21T04:24:24+00:00") == "2026-11-21 04:24 UTC"
    assert when("yesterday") == "yesterday"


def cells_of(row: Element) -> list[str]:
    return [cell.text for cell in row.all("td")]


def test_the_matrix_has_the_worst_of_each_cell_by_group_and_checkpoint_and_dtype():
    made = page(
        verdict(check="LOAD01"),
        verdict(),
        verdict("fail", case="loss", error=3e-6, tolerance=1e-6),
        verdict("skip", backend="hf-tf"),
        verdict(check="NUM02"),
        verdict(checkpoint="other", dtype="bfloat16"),
        verdict(check="NEW99"),
    )
    *first, second = made.all("table", "matrix")
    heads = [[cell.text for head in table.all("thead") for cell in head.all("th")] for table in first]
    assert heads == [["numbers", "hf-torch", "hf-tf"], ["loading", "hf-torch"], ["other", "hf-torch"]]
    rows = {next(row.all("th")).text: row for table in first for body in table.all("tbody") for row in body.all("tr")}
    claim = "every hidden state is the oracle's"
    assert list(rows) == [f"NUM01 {claim}", f"NUM02 {claim}", f"LOAD01 {claim}", f"NEW99 {claim}"]
    assert cells_of(rows[f"NUM01 {claim}"]) == ["fail 3 ×", "skip"]
    assert cells_of(rows[f"NUM02 {claim}"]) == ["pass", "·"]
    assert cells_of(second) == ["pass"]
    assert [title.text.partition(" 1 ")[0] for title in made.get("matrix").all("h3")][1] == "other · bfloat16 · cpu"


def test_groups_that_pass_are_folded_to_a_line_below_the_others():
    made = page(verdict(check="LOAD01"), verdict(check="LOAD02", backend="hf-tf"), failure(), verdict())
    (folded,) = made.get("matrix").all("details", "passes")
    assert next(folded.all("summary")).text == "loading 2 checks pass hf-torch, hf-tf"
    heads = [next(table.all("th", "group")).text for table in made.all("table", "matrix")]
    assert heads == ["numbers", "loading"]
    assert not list(page(verdict("skip")).all("details", "passes"))


def test_a_cell_s_card_lists_every_case_and_leads_to_its_block():
    made = page(verdict(error=2e-7, tolerance=1e-6), failure(backend="hf-torch", case="loss"))
    (button,) = made.all("button", "cell")
    assert button.attributes["title"] == "hf-torch: 2 cases, at most 8.4e+04 × tolerance (loss)"
    card = made.get(button.attributes["popovertarget"])
    rows = [[cell.text for cell in row.all("td")] for row in card.all("tr")]
    assert rows[0] == ["pass", "forward", "0.2 × tolerance", ""]
    assert rows[1][:3] == ["fail", "loss", "8.4e+04 × tolerance"]
    permanent, link = card.all("a")
    assert permanent.attributes["href"] == f"#{card.attributes['id']}"
    assert made.get(link.attributes["href"].removeprefix("#")).text.startswith("NUM01 fail")


def test_a_failure_says_all_that_the_terminal_says():
    cells = [failure(), failure(case="loss"), failure(check="NUM02", backend="hf-tf")]
    made = page(*cells)
    blocks = list(made.get("failures").all("article"))
    assert len(blocks) == len(groups(cells)) == 2
    for block, group in zip(blocks, groups(cells), strict=True):
        for name, line in lines(group):
            assert f"{name} {' '.join(line.split())}" in block.text


def test_failures_stand_first_and_those_that_follow_from_another_are_folded():
    """In the order of the page: failures, checks, the rest; a link to a folded failure still has its target."""
    made = page(failure(), failure(check="NUM02", first_divergence=later(2)))
    assert [section.attributes["id"] for section in made.all("section")] == ["failures", "matrix", "provenance"]
    failures = made.get("failures")
    (folded,) = failures.all("details", "followers")
    assert next(folded.all("summary")).text == "1 failure that follows from the one above"
    assert [block.attributes["id"] for block in folded.all("article")] == ["failure-2"]
    assert [block.attributes["id"] for block in failures.all("article")] == ["failure-1", "failure-2"]
    assert "Follows from NUM01 at decoder.hidden.1" in next(folded.all("article")).text


def test_a_failure_has_its_command_once():
    made = page(failure())
    (command,) = made.get("failures").all("dd", "command")
    assert command.text == "parity audit fixtures/checkpoints/bart-odd --backend hf-flax --check NUM01"
    assert made.get("failures").text.count(command.text) == 1


def test_known_divergences_say_what_the_known_issues_says_the_critical_ones_first():
    entry = known_issues.entries()[0]
    critical = known(entry.severity, entry.id, backend="hf-torch", variant="sdpa")
    made = page(known(), known(case="loss"), critical)
    blocks = [block.text for block in made.get("known").all("details")]
    assert blocks[0].startswith(f"{entry.id} critical {' '.join(entry.effect.split())}")
    assert "where hf-torch/sdpa · bart-odd · 1 cell" in blocks[0]
    assert f"upstream {' '.join(entry.upstream.split())}" in blocks[0]
    assert (
        blocks[1]
        == "ENTRY-1 low where hf-torch · bart-odd · 2 cells cause it is so checks NUM01 observed what was found"
    )


def test_what_was_not_asked_is_counted_by_capability():
    cells = [verdict("skip", reason="labels: none", case=case) for case in ("a", "b")]
    made = page(verdict("skip", reason="attentions: none", backend="hf-tf"), *cells)
    rows = [[cell.text for cell in row.all("td")] for row in made.get("skipped").all("tr")][1:]
    assert rows == [["2", "hf-torch", "labels: none"], ["1", "hf-tf", "attentions: none"]]


def test_sections_without_content_are_left_out():
    made = page(verdict())
    assert [link.text for link in next(made.all("nav")).all("a")] == ["Checks", "Provenance"]
    assert {e.attributes["id"] for e in made.all("section")} == {"matrix", "provenance"}
