"""A slice of the selftest: every mutant in it is caught, named where it was made, and the conforming variant passes."""

from __future__ import annotations

from parity.backends.mutants import MUTANTS
from parity.tools.selftest.thresholds import thresholds

SIGNALS_PER_CHECK = {
    "CACHE01": 8,
    "CACHE03": 12,
    "LOSS01": 10,
    "MASK03": 4,
    "MASK04": 3,
    "NUM01": 14,
    "NUM03": 10,
    "SHIFT01": 5,
    **{check: least for check, least in thresholds().checks.items() if check.startswith(("TOK", "CONF"))},
}
"""Of mutants in the slice, how many each of these catches at least."""


def test_the_unchanged_variant_passes_what_the_mutants_are_asked(found):
    assert found.sound == []


def test_the_floor_holds(found):
    assert found.below == [] and found.passed


def test_every_mutant_of_the_slice_is_caught_and_differs(found):
    asked = {mutant.name for mutant in MUTANTS.values() if mutant.group in thresholds().slice}
    assert {each.name for each in found.outcomes} == asked
    assert [each.name for each in found.outcomes if not each.caught_by] == []
    assert [each.name for each in found.outcomes if not each.changed] == []


def test_nine_in_ten_are_named_where_they_were_made(found):
    assert sum(each.localised for each in found.outcomes) >= thresholds().localised * len(found.outcomes)


def test_each_check_catches_as_many_as_before(found):
    short = {check: found.catches[check] for check, least in SIGNALS_PER_CHECK.items() if found.catches[check] < least}
    assert short == {}


def test_a_fixed_tolerance_misses_what_the_checks_catch(found):
    """A cache handed out one position short changes no output at all."""
    missed = {each.name for each in found.outcomes if "1e-5" in each.missed_by}
    assert "cache-cut-one-short" in missed and "label-smoothing-left-on" not in missed


def test_smoothing_of_a_thousandth_is_below_a_thousandth(found):
    little = next(each for each in found.outcomes if each.name == "label-smoothing-a-thousandth")
    assert little.missed_by == ["1e-3"] and "LOSS01" in little.caught_by and little.largest > 100
