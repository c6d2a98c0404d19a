"""The docstrings of the documented classes, as the stacks hold them: how many statements they have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from parity.core.stacks import find, resolve_stack
from parity.tools.examples.docstrings import documented_members
from parity.tools.examples.sources import docstring, look_into

pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[3]
DOCTEST = {"main": 344, "docs-4.37": 351, "current": 137}
"""What doctest finds in the docstrings of the 23 classes and of the methods that their pages document."""
BESIDES = {"EncoderDecoderModel.from_pretrained": 2}
"""Statements of methods that no page documents, in 4.x; they are run as well."""
ABSENT = {"main": 0, "docs-4.37": 0, "current": 11}


@pytest.mark.parametrize("name", DOCTEST)
def test_every_statement_that_doctest_finds_is_found(name):
    if name != "main" and find(name) is None:
        pytest.skip(f"stack {name} is not installed here")
    found = look_into(resolve_stack(name), docstrings=True)
    assert [source.notes for source in found.sources if source.notes] == []
    assert [block.reason for source in found.sources for block in source.blocks if block.kind == "unreadable"] == []
    counts = {source.name: sum(len(block.statements) for block in source.blocks) for source in found.sources}
    besides = {method: counts.pop(method) for method in BESIDES if method in counts}
    assert besides == ({} if name == "current" else BESIDES)
    assert sum(counts.values()) == DOCTEST[name]
    assert len(found.absent) == ABSENT[name]


def test_the_kept_report_has_all_of_them():
    text = (ROOT / "reports" / "documented.md").read_text(encoding="utf-8")
    for name, count in DOCTEST.items():
        section = text.partition(f"### `{name}`: transformers")[2]
        total = re.search(r"^\| all \| \d+ \| (\d+) \| (\d+) \|", section, re.MULTILINE)
        assert total is not None, name
        assert int(total[1]) == count + (0 if name == "current" else sum(BESIDES.values()))


def test_members_are_the_models_own():
    class Own:
        """Of the class."""

        def forward(self):
            """Of the method."""

        def _private(self):
            """No."""

        @classmethod
        def from_parts(cls):
            """Of a class method."""

        config_class = int

    class Other:
        def save(self):
            """What every model inherits."""

    Own.__module__ = "transformers.models.bart.modeling_bart"
    Other.__module__ = "transformers.modeling_utils"

    class Derived(Own, Other):
        """Of the derived one."""

    Derived.__module__ = Own.__module__
    assert documented_members(Derived) == [
        ("", "Of the derived one."),
        ("forward", "Of the method."),
        ("from_parts", "Of a class method."),
    ]


def test_statements_that_do_not_add_up_are_noted():
    assert docstring("f", ">>> 1\n1\n").notes == ()
    assert docstring("f", "```json\n>>> 1\n```\n").notes == ()
    assert docstring("f", "```\n>>> 1\n```\n\nand x >>> y\n").notes == ()
    assert docstring("f", ">>>1\n").notes[0].startswith("doctest cannot read it: line 1")


def test_whatever_is_wrong_in_the_kept_report_is_explained_and_what_mends_it_was_run():
    section = (ROOT / "reports" / "documented.md").read_text(encoding="utf-8").partition("## Wrong\n")[2]
    entries = section.partition("\n## ")[0].split("\n- **")[1:]
    assert len(entries) > 20
    for entry in entries:
        title, line, raised, *explained = entry.split("\n  - ")
        assert line.startswith("line "), title
        assert explained and not explained[0].startswith("correct:"), f"{title}: {raised}"
        assert all("(run with it: " in each for each in explained[1:]), title
