"""Selection by an expression of words."""

from __future__ import annotations

import pytest

from parity.core.backends import audited
from parity.judge.checks import CHECKS
from parity.judge.judge import select_checks
from parity.judge.keywords import KeywordError, Keywords

NAMES = ("NUM01", "numbers", "hidden states are within tolerance", "forward.single-row", "hf-torch/sdpa@docs-4.37")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("num01", True),
        ("HIDDEN", True),
        ("numbers and hf-torch", True),
        ("numbers and hf-tf", False),
        ("not numbers", False),
        ("not not numbers", True),
        ("hf-tf or sdpa", True),
        ("gen or num and hf-tf", False),
        ("(gen or num) and not (hf-tf or single-row)", False),
        ("num and not gradients", True),
        ("docs-4.37", True),
    ],
)
def test_words_are_parts_of_names_joined_by_and_or_not(text, holds):
    assert Keywords(text).holds(NAMES) is holds


@pytest.mark.parametrize("text", ["", "and", "a and", "not", "(a", "a)", "a b", "or a", "((((" * 50])
def test_what_is_no_expression_is_one_line_that_names_it(text):
    with pytest.raises(KeywordError, match=r"^-k .*an expression is words with and, or, not and parentheses$"):
        Keywords(text)


def test_checks_and_backends_are_narrowed_to_those_that_may_match():
    everything = select_checks(None)
    checks, backends = Keywords("numbers and hf-torch").narrow(everything, audited(), ["main"])
    assert {each.id for each in everything if each.group == "numbers"} <= set(checks)
    assert all("numbers" in (each.group, *each.claim.split()) for each in everything if each.id in checks)
    assert backends == ["hf-torch"]
    checks, backends = Keywords("sdpa and not NUM01").narrow(everything, audited(), ["main"])
    assert "hf-torch" in backends and "hf-tf" not in backends
    assert checks == [each for each in CHECKS if each != "NUM01"]
    with pytest.raises(KeywordError, match=r"^-k nonsense: no check, case or backend matches"):
        Keywords("nonsense").narrow(everything, audited(), ["main"])
