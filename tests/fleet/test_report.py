"""The page of a fleet: causes, stacks, links, and that nothing a stranger named is markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from parity.core.records import RecordError
from parity.fleet.causes import Causes
from parity.fleet.folder import Folder
from parity.fleet.report import SHOWN_LINKS, render, write_report
from parity.fleet.targets import Job, Target
from tests.fleet.sample_fleets import refused, row, written

pytest.importorskip("pyarrow", reason="the table of a fleet needs pyarrow")


def failed(tensor: str = "encoder.hidden.1", **fields) -> dict:
    usual = {"first_divergence": tensor, "ratio": 84.0, "reason": f"{tensor} is 84 × tolerance away"}
    return row("fail", **{**usual, **fields})


def known(issue: str = "old-gelu", **fields) -> dict:
    return row("known", known_issue=issue, ratio=3.0, first_divergence="logits", **fields)


def collected(**checkpoints: list[dict]) -> Causes:
    causes = Causes()
    for name, rows in checkpoints.items():
        causes.add(name, rows)
    return causes


def test_cells_with_one_first_divergence_check_and_subject_have_one_cause():
    causes = collected(
        a=[failed(), failed(case="loss"), failed("logits")], b=[failed(), row()], c=[failed(check="NUM02")]
    )
    found = {(each.cause, each.check): (each.checkpoints, each.worst) for each in causes.groups}
    assert found == {
        ("encoder.hidden.1", "NUM01"): ({"a": 2, "b": 1}, 84.0),
        ("logits", "NUM01"): ({"a": 1}, 84.0),
        ("encoder.hidden.1", "NUM02"): ({"c": 1}, 84.0),
    }
    assert causes.groups[0].cause == "encoder.hidden.1"


def test_a_known_issue_is_one_cause_whatever_shows_it():
    causes = collected(a=[known(), known(check="NUM02"), known(backend="hf-tf")], b=[known()])
    (group,) = causes.groups
    assert (group.verdict, group.cause, group.checkpoints, group.worst) == ("known", "old-gelu", {"a": 3, "b": 1}, 3.0)


def test_errors_that_differ_in_numbers_only_have_one_cause():
    rows = [row("error", ratio=None, reason=f"the worker ended at 0x{number:x} after {number} s") for number in (7, 99)]
    assert len(collected(a=rows[:1], b=rows[1:]).groups) == 1


def test_a_model_that_cannot_be_loaded_is_one_cause_whatever_check_says_so():
    reason = "loading raised RuntimeError: size mismatch for weight (torch/nn/modules/module.py:2638)"
    rows = [row("fail", check=check, ratio=None, reason=reason) for check in ("LOAD01", "NUM01", "GEN02")]
    (group,) = collected(a=rows).groups
    assert (group.check, group.cells) == ("", 3)


def test_what_is_good_in_one_stack_and_fails_in_another_is_an_upgrade():
    causes = collected(
        a=[row(), failed(stack="current")],
        b=[known(), failed(stack="current")],
        c=[failed(), failed(stack="current")],
        d=[row(), row(stack="current")],
    )
    (upgrade,) = causes.upgrades
    assert (upgrade.before, upgrade.after) == ("main", "current")
    assert upgrade.group.checkpoints == {"a": 1, "b": 1}
    assert causes.by_stack["current"] == {"fail": 3, "pass": 1}


def test_the_page_links_each_checkpoint_s_report(tmp_path):
    folder = written(
        tmp_path,
        {"owner/good": [row()], "owner/bad": [failed(), known()]},
        refused(Job(Target("owner/gone")), "unreadable", "the hub knows no such id"),
    )
    path = write_report(folder)
    page = Path(path).read_text(encoding="utf-8")
    assert "<h1>1 of 2 audited checkpoints diverges, 1 unreadable</h1>" in page
    links = re.findall(r'href="(reports/[^"]+)"', page)
    assert len(set(links)) == 2
    for link in links:
        assert (tmp_path / link).is_file()
    assert "the hub knows no such id" in page
    assert page.index("owner/gone") < page.index("owner/good"), "what is wrong comes first"


def test_a_stranger_s_text_is_no_markup(tmp_path):
    evil = '"><script>alert(1)</script>\x1b[31m\u202e'
    name = Target(evil, "<img src=x>")
    cells = [failed(f"{evil}.1", reason=evil, stack=evil), row("known", known_issue=evil)]
    folder = written(tmp_path, {evil: cells}, refused(Job(name), "unreadable", "<b>bold</b>"))
    page = render(folder)
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>bold" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_a_cause_with_many_checkpoints_names_the_first(tmp_path):
    folder = written(tmp_path, {f"owner/m{number:03}": [failed()] for number in range(SHOWN_LINKS + 5)})
    page = render(folder)
    assert '<li class="quiet">and 5 more</li>' in page
    assert "<h1>45 of 45 audited checkpoints diverge</h1>" in page


def test_a_directory_without_a_fleet_is_one_line(tmp_path):
    with pytest.raises(RecordError, match="parity fleet LIST --out DIR makes it"):
        write_report(Folder(tmp_path))
    (tmp_path / "fleet.json").write_text("[]")
    with pytest.raises(RecordError, match="not a fleet's"):
        write_report(Folder(tmp_path))


def test_a_table_that_lacks_rows_is_refused(tmp_path):
    folder = written(tmp_path, {"a": [row(), row(case="loss")], "b": [row()]})
    first, second = (tmp_path / "cells" / f"{Job(Target(source)).name}.parquet" for source in "ab")
    first.write_bytes(second.read_bytes())
    with pytest.raises(RecordError, match="has 1 rows, and the audit had 2 cells"):
        render(folder)
