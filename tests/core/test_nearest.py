"""A mistyped name, and what is said about it."""

from __future__ import annotations

import pytest

from parity.core.backends import find_entry
from parity.core.nearest import nearest, unknown
from parity.core.stacks import StackError, resolve_stack
from parity.judge.judge import NothingToJudge, select_checks


def test_the_nearest_name_is_found_whatever_its_case():
    assert nearest("num1", ["NUM01", "LOSS01"]) == "NUM01"
    assert nearest("zzz", ["NUM01"]) == nearest("", ["NUM01"]) == nearest("x" * 100_000, ["NUM01"]) == ""


def test_a_message_has_the_nearest_name_or_all_there_are():
    assert unknown("no check is called", "NUM1", ["NUM01", "x"]) == "no check is called NUM1; did you mean NUM01?"
    assert unknown("no check is called", "\x1b[0m", ["a", "a", "b"]) == r"no check is called \x1b[0m; there are a, b"


def test_mistyped_checks_groups_backends_and_stacks():
    with pytest.raises(NothingToJudge, match=r"^no check or group is called NUM1; did you mean NUM01\?$"):
        select_checks(["NUM1"])
    with pytest.raises(NothingToJudge, match=r"called number; did you mean numbers\?$"):
        select_checks(["number"])
    with pytest.raises(KeyError, match=r"no backend is named hf-troch; did you mean hf-torch\?"):
        find_entry("hf-troch")
    with pytest.raises(StackError, match=r"^docs-4\.73: no such stack; did you mean docs-4\.37\?"):
        resolve_stack("docs-4.73")
