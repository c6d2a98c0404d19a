"""The options of the command line are the fields of ``AuditOptions``."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest
import typer

from parity.cli import completion
from parity.cli.main import audit, capture
from parity.cli.options import AUDIT_OPTIONS, audit_options, split_commas
from parity.core.options import DEFAULTS, AuditOptions

VARIANTS = [f"hf-torch-{name}" for name in ("compile", "aot", "export", "static-cache", "checkpointing", "flash")]


def test_every_field_has_an_option_but_what_only_a_program_can_give():
    assert {*AUDIT_OPTIONS, "cases", "original"} == {each.name for each in fields(AuditOptions)}
    every = {"checkpoints", "context", *AUDIT_OPTIONS}
    assert set(inspect.signature(audit).parameters) == every | {"verbose", "quiet"}
    left_out = {"checks", "keywords", "exit_first", "strict", "known_issues"}
    assert set(inspect.signature(capture).parameters) == every - left_out


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


def test_a_value_may_be_a_list_with_commas():
    assert split_commas(None) is None
    assert split_commas(["hf-torch,hf-tf", "hf-flax"]) == ["hf-torch", "hf-tf", "hf-flax"]
    assert split_commas(["a,,b,", " c"]) == ["a", "b", "c"]
    for empty in ("", " ", ","):
        with pytest.raises(typer.BadParameter, match="the value is empty"):
            split_commas(["a", empty])


def test_what_names_a_file_is_no_list(tmp_path):
    python = tmp_path / "a,b"
    python.touch()
    assert split_commas([str(python), f"mine={python}", "x,y"]) == [str(python), f"mine={python}", "x", "y"]
    assert split_commas(["a,\0", "~nobody-here,b"]) == ["a", "\0", "~nobody-here", "b"]


@pytest.mark.parametrize(
    ("complete", "incomplete", "offered"),
    [
        (completion.checks, "num", ["numbers", "NUM01", "NUM02", "NUM03", "NUM04"]),
        (completion.checks, "NUM01,losses", ["NUM01,losses"]),
        (completion.backends, "hf-to", ["hf-torch", "hf-tokenizer", "hf-tokenizer-fast", *VARIANTS]),
        (completion.backends, "hf-tf,hf-torch/", ["hf-tf,hf-torch/eager", "hf-tf,hf-torch/sdpa"]),
        (completion.stacks, "docs", ["docs-4.37"]),
        (completion.classes, "BartM", ["BartModel"]),
        (completion.dtypes, "float32,b", ["float32,bfloat16"]),
    ],
)
def test_a_shell_completes_names_and_the_last_of_a_list(complete, incomplete, offered):
    assert complete(incomplete) == offered
