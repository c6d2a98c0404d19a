"""What the reader of the terminal and of documented.md is told."""

from __future__ import annotations

import json

import jsonschema
import pytest
from pydantic import ValidationError

from parity.cli.schema import documented_schema_text
from parity.core.resources import data
from parity.tools.examples.markdown import page
from parity.tools.examples.render import show_docs
from parity.tools.examples.results import (
    BlockRecord,
    DocsReport,
    ExampleResult,
    Raised,
    SourceRecord,
    StackRecord,
    StatementResult,
    totals_of,
)


def statement(status: str, **more) -> StatementResult:
    return StatementResult(**({"line": 3, "code": "f(a | b)\n", "expected": "", "status": status} | more))


def example(name: str, stack: str, *statements: StatementResult, **more) -> ExampleResult:
    status = min((each.status for each in statements), key=["breaks", "differs", "not compared", "holds"].index)
    decisive = next(each for each in statements if each.status == status)
    return ExampleResult(
        name=name,
        source=name.partition("#")[0].partition(":")[0],
        stack=stack,
        line=2,
        status=status,
        reason=decisive.reason,
        statements=list(statements),
        **more,
    )


@pytest.fixture
def report() -> DocsReport:
    raised = Raised(type="NameError", message="x", where="f.py:3 in g")
    broken = statement("breaks", reason="NameError: name 'tf' is not defined", raised=raised)
    mended = {"diagnosis": "never imported", "corrected": "import tf", "mended": "holds"}
    examples = [
        example("BartModel.forward#1", "old", statement("holds")),
        example("BartModel.forward#1", "new", broken, **mended),
        example("BartModel.call#1", "new", broken, **mended),
        example("p.md:2", "old", statement("not compared", reason="needs a/b"), wrote_outside=["/etc/x"]),
        example("p.md:2", "new", statement("differs", reason="shows 1, documented is 2")),
    ]
    sources = [
        SourceRecord(name="BartModel.forward", kind="docstring", stack="old"),
        SourceRecord(name="BartModel.forward", kind="docstring", stack="new"),
        SourceRecord(
            name="p.md",
            kind="page",
            blocks=[
                BlockRecord(line=2, kind="session", example="p.md:2", statements=1),
                BlockRecord(line=9, kind="unreadable", reason="json, not Python"),
                BlockRecord(line=12, kind="signature"),
            ],
        ),
        SourceRecord(name="bad.md", kind="page", error="not text: byte 0x89 at 0 is no utf-8"),
    ]
    stacks = [
        StackRecord(name="old", python="3.11", versions={"transformers": "4.37.2"}),
        StackRecord(name="new", python="3.11", versions={"transformers": "5.23.0"}, absent={"TFBartModel": "gone"}),
    ]
    return DocsReport(
        parity_version="0",
        command=[],
        started="",
        mode="stand-in",
        stacks=stacks,
        sources=sources,
        examples=examples,
        totals=totals_of(examples),
        changed=["/home/me/.new"],
    )


@pytest.mark.parametrize(
    "told",
    [
        "| `new` | transformers 5.23.0 | examples | 3 | 3 | – | – | 1 | 2 | – | – |",
        "| `BartModel` | 2 | 2 | 2 | – | – | – | 2 | – | – |",
        "| `TFBartModel` | absent | – |",
        "| p.md | 3 | 1 session, 1 unreadable, 1 signature |",
        "| bad.md | 0 | not text: byte 0x89 at 0 is no utf-8 |",
        "- **breaks** in new (transformers 5.23.0): `BartModel.forward#1`, `BartModel.call#1`\n",
        "  - line 3: `f(a | b)`\n",
        "NameError: name 'tf' is not defined (f.py:3 in g)",
        "correct: `import tf` (run with it: holds)",
        "| `BartModel.forward#1` | holds | **breaks**: NameError: name 'tf' is not defined |",
        "- needs a/b: 1 in `old`",
        "- p.md:9: unreadable: json, not Python",
        "`p.md:2` in `old`: /etc/x",
        "/home/me/.new changed while the examples ran",
    ],
)
def test_the_page_tells(report, told):
    assert told in page(report)


def test_the_terminal_shows_one_block_for_code_that_is_wrong_in_one_way(report, capsys):
    show_docs(report)
    text = capsys.readouterr().out
    assert text.count("raised") == 1
    assert "BartModel.forward#1 breaks · new (transformers 5.23.0) and 1 more with the same code" in text
    assert "again    parity doctest --installed --stack new --example BartModel.forward#1" in text
    assert "again    parity doctest p.md --stack new --example p.md:2" in text
    assert "p.md:2 wrote outside its folder: /etc/x" in text
    assert "bad.md: not text" in text


def test_the_command_that_asks_again_finds_the_page_and_the_checkpoints(report, capsys):
    show_docs(report.model_copy(update={"command": ["parity", "doctest", "my pages/p.md"], "mode": "real"}))
    again = "again    parity doctest 'my pages/p.md' --stack new --checkpoints real --example p.md:2"
    assert again in capsys.readouterr().out


def test_two_stacks_in_which_the_same_code_is_mended_otherwise_are_shown_apart(report):
    one, other = report.examples[1], report.examples[1].model_copy(update={"stack": "old", "corrected": "import old"})
    examples = [one, other]
    text = page(report.model_copy(update={"examples": examples, "totals": totals_of(examples)}))
    assert "correct: `import tf`" in text
    assert "correct: `import old`" in text


def test_totals_that_do_not_add_up_cannot_be_written(report):
    with pytest.raises(ValidationError, match="do not add up"):
        DocsReport(**(report.model_dump() | {"examples": report.model_dump()["examples"][1:]}))


def test_the_published_schema_is_the_one_that_documented_json_follows():
    assert data("tools/examples/documented.schema.json").read_text(encoding="utf-8") == documented_schema_text(), (
        "run: python -m parity.cli.schema"
    )


def test_a_report_fits_the_schema_and_a_wrong_status_or_a_field_more_does_not(report):
    schema = json.loads(documented_schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    written = json.loads(report.model_dump_json(by_alias=True))
    jsonschema.validate(written, schema)
    for altered in ({"status": "passed"}, {"verdict": "holds"}):
        examples = [written["examples"][0] | altered, *written["examples"][1:]]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(written | {"examples": examples}, schema)
