"""The options of the command line are the fields of ``AuditOptions``."""

from __future__ import annotations

import inspect
from dataclasses import fields

from parity.cli.main import audit, capture
from parity.cli.options import AUDIT_OPTIONS, audit_options
from parity.core.options import DEFAULTS, AuditOptions


def test_every_field_has_an_option_but_what_only_a_program_can_give():
    assert {*AUDIT_OPTIONS, "cases"} == {each.name for each in fields(AuditOptions)}
    assert set(inspect.signature(audit).parameters) == {"checkpoints", "context", *AUDIT_OPTIONS}
    left_out = {"checks", "strict", "known_issues"}
    assert set(inspect.signature(capture).parameters) == {"checkpoints", "context", *AUDIT_OPTIONS} - left_out


def test_a_command_is_handed_what_was_given_and_the_defaults_of_the_rest():
    seen = []

    @audit_options(without=("strict",))
    def command(name: str, options: AuditOptions) -> None:
        seen.append((name, options))

    nothing = {
        each.name: each.default for each in inspect.signature(command).parameters.values() if each.name != "name"
    }
    command(name="a", **nothing)
    command(name="b", **{**nothing, "stacks": ["current", "main"], "dtypes": ["float64"], "jobs": 1})
    assert seen == [("a", DEFAULTS), ("b", AuditOptions(stacks=("main", "current"), dtypes=("float64",), jobs=1))]
