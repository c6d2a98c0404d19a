"""Mutants are put in and taken out again, are told apart by name, and cover what a fault can be about."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path

import pytest

from parity.backends.mutants import GROUPS, MUTANTS, UNCHANGED, Patches, applied
from parity.core.resources import fixture
from parity.core.subject import Variant
from parity.judge.checks import CHECKS
from parity.judge.judge import NothingToJudge
from parity.tools.selftest.outcome import Outcome
from parity.tools.selftest.render import score
from parity.tools.selftest.selftest import Selftest, below, select
from parity.tools.selftest.thresholds import thresholds

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[3]
LEAST = 60


def test_there_are_enough_of_them_in_every_family():
    count = Counter(mutant.group for mutant in MUTANTS.values() if mutant.group != "signals")
    assert sum(count.values()) >= LEAST and min(count.values()) >= 3


def test_every_family_is_listed():
    assert {mutant.group for mutant in MUTANTS.values()} == set(GROUPS)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda mutant: mutant.name)
def test_a_mutant_says_what_it_is_and_where(mutant):
    assert mutant.what and mutant.shows and mutant.name == mutant.name.lower()
    assert all(fixture(name).is_dir() for name in mutant.fixtures)


def taken(place: str):
    module, _, path = place.partition(":")
    owner = importlib.import_module(module)
    for name in path.split("."):
        owner = vars(owner)[name] if isinstance(owner, type) else getattr(owner, name)
    return owner


class Recorded(Patches):
    """Patches that remember where they were put."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __call__(self, place, make):
        self.places.append(place)
        super().__call__(place, make)


@pytest.mark.parametrize("mutant", [m for m in MUTANTS.values() if m.group != "in_flax"], ids=lambda m: m.name)
def test_a_mutant_leaves_nothing_behind(mutant):
    first, second = Recorded(), Recorded()
    mutant.change(first)
    places = [
        place if ":" in place and "." in place.partition(":")[0] else f"reference.in_torch.{place}"
        for place in first.places
        if "[" not in place
    ]
    changed = [taken(place) for place in places]
    first.undo()
    original = [taken(place) for place in places]
    assert first.places
    assert all(one is not other for one, other in zip(changed, original, strict=True))
    mutant.change(second)
    second.undo()
    assert all(one is other for one, other in zip(original, map(taken, places), strict=True))


def test_a_block_that_raises_takes_its_mutant_out():
    from reference.in_torch.embeddings import TokenEmbedding

    before = TokenEmbedding.forward
    with pytest.raises(ZeroDivisionError), applied("embedding-scale-lost"):
        assert TokenEmbedding.forward is not before
        raise ZeroDivisionError
    assert TokenEmbedding.forward is before


def test_a_mutant_that_is_none_is_named():
    with pytest.raises(KeyError, match="no-such-mutant"), applied("no-such-mutant"):
        pass


def test_a_variant_carries_its_mutant():
    variant = Variant.parse("eager+mutant-mask-polarity")
    assert (variant.attention, variant.mutant, str(variant)) == ("eager", "mask-polarity", "eager+mutant-mask-polarity")
    assert str(Variant.parse("sdpa+permuted+mutant-none")) == "sdpa+permuted+mutant-none"


def test_families_and_names_are_selected_in_their_order():
    assert [mutant.name for mutant in select(["one-bit", "mask-polarity"])] == ["mask-polarity", "one-bit"]
    assert {mutant.group for mutant in select(["cache"])} == {"cache"}
    assert len(select(None)) == len(MUTANTS) and select(None)[0].group == GROUPS[0]


def test_an_unknown_name_is_refused_in_one_line():
    with pytest.raises(NothingToJudge, match="no mutant or family is called xyzzy; families are embeddings"):
        select(["xyzzy"])


def outcome(name: str, **changes) -> Outcome:
    mutant = MUTANTS[name]
    given = {
        "name": name,
        "family": mutant.group,
        "what": mutant.what,
        "history": "",
        "fixtures": list(mutant.fixtures),
        "backend": "mutant",
        "component": "model",
        "changed": True,
        "caught_by": ["NUM01"],
        "cells": 1,
        "errors": [],
        "localised": True,
        "wanted": list(mutant.shows),
        "named": mutant.shows[0],
        "largest": 9.0,
        "smallest": 9.0,
        "missed_by": [],
    }
    return Outcome(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        (
            {"caught_by": [], "localised": False},
            ["one-bit: not caught (the lowest bit of one element of one weight is flipped)"],
        ),
        ({"changed": False}, ["one-bit: no effect on at least one of bart-odd"]),
        ({"errors": ["GEN02 bart-odd"]}, ["one-bit: GEN02 bart-odd"]),
        (
            {"localised": False, "named": "logits"},
            ["one-bit: first divergence at logits, expected at model.decoder.layers.1.fc1.weight"],
        ),
    ],
)
def test_what_falls_short_is_said(changes, said):
    assert list(below([outcome("one-bit", **changes)], Counter(), ())) == said


def test_a_family_below_its_floor_is_named():
    family = [name for name, mutant in MUTANTS.items() if mutant.group == "masks"]
    outcomes = [outcome(name) for name in family[1:]] + [outcome(family[0], caught_by=[])]
    said = list(below(outcomes, Counter(), ()))
    assert f"masks: {len(family) - 1} mutants caught, the threshold is {len(family)}" in said


def test_all_of_them_are_held_to_the_floor_of_every_check():
    said = list(below([outcome(name) for name in MUTANTS], Counter(), ()))
    assert [line.partition(":")[0] for line in said] == list(thresholds().checks)


def test_a_check_that_judges_mutants_and_has_no_floor_is_named():
    caught = Counter(thresholds().checks)
    assert list(below([outcome(name) for name in MUTANTS], caught, [*caught, "DOC01"])) == [
        "DOC01: it is run on mutants, but has no threshold"
    ]


def test_every_check_has_a_floor_or_a_reason_why_no_mutant_is_put_to_it():
    held = thresholds()
    without_mutants = {
        check: [why for start, why in held.without_mutants.items() if check.startswith(start)] for check in CHECKS
    }
    assert {check for check, why in without_mutants.items() if not why} == set(held.checks)
    assert all(len(why) <= 1 for why in without_mutants.values()) and min(held.checks.values()) > 0
    assert all((ROOT / why.rpartition(": ")[2]).is_file() for why in held.without_mutants.values())


def test_the_table_that_is_kept_is_of_all_mutants_and_above_every_floor():
    """Where it is not, `parity selftest --out reports/selftest.md` renews it."""
    text = (ROOT / "reports" / "selftest.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert (
        f"- {len(MUTANTS)} of {len(MUTANTS)} mutants caught, {len(MUTANTS)} with the expected first divergence" in text
    )
    assert {row[0] for row in rows if len(row) == 7} == {*MUTANTS, "mutant"}
    described = [f"| {each.name} | {each.group} | {each.what} | {each.history} |" for each in MUTANTS.values()]
    assert {*described} <= {*text.splitlines()}
    assert {check: int(count) for check, count in (row for row in rows if len(row) == 2) if check in CHECKS} == (
        thresholds().checks
    )


def test_what_no_mutant_is_put_to_is_named_with_the_reason():
    found = Selftest(
        command="parity selftest",
        seconds=1.0,
        sound=[],
        original={},
        outcomes=[outcome(name) for name in MUTANTS],
        catches={},
        covers={},
        unneeded=[],
        without_mutants=["SAVE01", "DOC01", "DOC02"],
        below=[],
    )
    said = [line for line in score(found) if line.startswith("checks without mutants")]
    assert [line.split(": ")[1] for line in said] == ["DOC01, DOC02", "SAVE01"]
    part = found.model_copy(update={"outcomes": found.outcomes[:2]})
    assert "checks that were not run on these mutants: 3" in list(score(part))


def test_the_floor_speaks_of_what_there_is():
    held, families = thresholds(), Counter(mutant.group for mutant in MUTANTS.values())
    assert dict(families) == held.families
    assert {*held.not_caught, *held.not_localised} <= set(MUTANTS) and set(held.slice) <= set(families)
    assert UNCHANGED not in MUTANTS
