"""Mutations of a module's source: each operator, what is left out, and that applying one can be undone."""

from __future__ import annotations

import importlib
import sys
from collections import Counter

import pytest

from parity.backends.mutants.library_source import apply, mutations

SOURCE = '''
"""A module."""
import functools
import logging

logger = logging.getLogger(__name__)
LIMIT = 3


def traced(function):
    @functools.wraps(function)
    def inside(*arguments):
        return function(*arguments)

    return inside


@traced
def clipped(value, limit=4):
    """Not more than the limit."""
    if value < limit:
        return value
    logger.warning("clipped %s", value + 1)
    return limit


class Base:
    def __init__(self, scale):
        self.scale = scale


class Layer(Base):
    bias = 2

    def __init__(self, scale):
        super().__init__(scale + 1)
        self.offset = 5

    @property
    def both(self):
        return self.scale * self.offset

    @staticmethod
    def joined(first, second, *, end=0):
        return pow(first, second) + end

    def call(self, value):
        if value is None:
            raise ValueError(f"no value {1 + 1}")
        return self.joined(value, 2, end=not value)
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "mutated_example.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield importlib.import_module("mutated_example")
    del sys.modules["mutated_example"]


def find(before: str, after: str, function: str = "") -> str:
    (found,) = {
        each.name
        for each in mutations("mutated_example")
        if (each.before, each.after) == (before, after) and function in each.function
    }
    return found


ANSWERS = {
    "clipped 4": lambda module: module.clipped(4),
    "clipped 9": lambda module: module.clipped(9),
    "both": lambda module: module.Layer(2).both,
    "call": lambda module: module.Layer(2).call(3),
}


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("value < limit", "value <= limit", {}),
        ("value < limit", "value >= limit", {"clipped 9": 9}),
        ("scale + 1", "scale - 1", {"both": 5}),
        ("5", "6", {"both": 18}),
        ("self.scale * self.offset", "self.scale / self.offset", {"both": 0.6}),
        ("self.scale", "self.offset", {"both": 25}),
        ("pow(first, second)", "pow(second, first)", {"call": 8}),
        ("pow(first, second)", "first", {"call": 3}),
        ("not value", "value", {"call": 12}),
        ("end=not value", "nothing", {}),
        ("value is None", "not value is None", {"call": ValueError}),
    ],
)
def test_a_mutation_changes_what_the_function_answers_until_it_is_undone(module, before, after, changed):
    def answers():
        found = {}
        for name, ask in ANSWERS.items():
            try:
                found[name] = ask(module)
            except ValueError as error:
                found[name] = type(error)
        return found

    plain = answers()
    assert plain == {"clipped 4": 4, "clipped 9": 4, "both": 15, "call": 9}
    restore = apply(find(before, after))
    assert answers() == plain | changed
    restore()
    assert answers() == plain


def test_messages_defaults_and_what_is_outside_functions_are_left_alone(module):
    found = mutations("mutated_example")
    texts = " ".join(f"{each.before} {each.after}" for each in found)
    assert "clipped" not in texts and "1 + 1" not in texts and "value + 1" not in texts
    assert not {"LIMIT", "3", "4"} & {each.before for each in found}
    # The call of super keeps the closure of its method.
    assert all("super" not in each.before or "super" in each.after for each in found)
    assert Counter(each.operator for each in found)["other attribute"] == 2
    assert [each.number for each in found] == list(range(len(found)))
    assert {each.name for each in mutations("mutated_example")} == {each.name for each in found}


def test_a_mutation_that_does_not_exist_is_named(module):
    with pytest.raises(LookupError, match="has no mutation 999"):
        apply("mutated_example-999")


def test_a_name_and_a_line_say_where_it_is(module):
    name = find("value < limit", "value <= limit")
    (mutation,) = [each for each in mutations("mutated_example") if each.name == name]
    line = SOURCE.splitlines().index("    if value < limit:") + 1
    assert mutation.text == f"mutated_example:{line} clipped: boundary: value < limit → value <= limit"
