"""The library's own tests, run with a mutation: here the tests of a module of Python."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from parity.backends.mutants.library_source import mutations
from parity.capture.task import CaptureError
from parity.core.errors import InputError
from parity.tools.selftest.library_tests import OwnResult, SelectedTests, run_library_tests
from parity.tools.selftest.library_tests_worker import in_fork

MODULE = "textwrap"
FILE = """
import textwrap
import time
import unittest

class Indenting(unittest.TestCase):
    def test_lines_are_indented(self):
        self.assertEqual(textwrap.indent("a\\nb", "> "), "> a\\n> b")

    def test_something_that_fails_anyway(self):
        self.assertEqual(textwrap.indent("a", "> "), "other")

    @unittest.skip("never")
    def test_something_that_is_skipped(self):
        pass

def test_short_text_is_not_wrapped():
    assert textwrap.fill("short") == "short"
"""


def in_function(name: str) -> list[str]:
    return [each.name for each in mutations(MODULE) if each.function == name]


def test_only_passing_tests_that_execute_the_line_decide(tmp_path):
    (tmp_path / "test_it.py").write_text(FILE, encoding="utf-8")
    indent, dedent, fill = in_function("indent"), in_function("dedent"), in_function("TextWrapper.fill")
    tests, *results = run_library_tests(tmp_path, ["test_it.py"], [MODULE], [*indent, dedent[0], *fill])
    assert tests == SelectedTests(collected=4, passing=2, selected=2)
    found = {each.mutation: each for each in results if isinstance(each, OwnResult)}
    assert list(found) == [*indent, dedent[0], *fill]
    assert found[dedent[0]].outcome == "not executed"
    outcomes = {found[name].outcome for name in indent}
    assert "detected" in outcomes
    by = {found[name].test for name in indent if found[name].outcome == "detected"}
    assert by == {"test_it.py::Indenting::test_lines_are_indented"}
    assert {found[name].test for name in fill} <= {"", "test_it.py::test_short_text_is_not_wrapped"}


def test_a_process_that_does_not_end_is_stopped():
    def run() -> Iterator[dict[str, Any]]:
        yield {"outcome": "first"}
        while True:
            time.sleep(0.01)

    began = time.monotonic()
    assert in_fork(run, limit=0.5) == [{"outcome": "first"}]
    assert time.monotonic() - began < 10
    assert in_fork(lambda: [{"number": number} for number in range(3)]) == [{"number": n} for n in range(3)]


@pytest.mark.parametrize(
    ("text", "error", "cause"),
    [
        (None, InputError, r"has no test_it\.py; it is not a checkout of the library's repository"),
        ("import not_installed_anywhere\n", CaptureError, "cannot be run: .*not_installed_anywhere"),
    ],
)
def test_what_cannot_be_run_is_one_line(tmp_path, text, error, cause):
    if text is not None:
        (tmp_path / "test_it.py").write_text(text, encoding="utf-8")
    with pytest.raises(error, match=cause):
        list(run_library_tests(tmp_path, ["test_it.py"], [MODULE], in_function("indent")))
