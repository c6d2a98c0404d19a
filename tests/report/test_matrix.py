"""The matrix of a report: every check and subject once, the worst of each cell, in tables that fit the terminal."""

from __future__ import annotations

import io

from rich.console import Console

from parity.core.records import SubjectRecord
from parity.report.matrix import SEPARATE_CHECKPOINTS, matrices
from parity.report.terminal import skip_lines
from tests.sample_reports import failure, report, verdict

WIDE = 200


def text(tables, width: int = WIDE) -> str:
    console = Console(width=width, file=io.StringIO())
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def rows(tables, check: str) -> list[list[str]]:
    """The statuses in the rows of one check, table by table."""
    found = []
    for table in tables:
        checks, *others = [[str(cell) for cell in column.cells] for column in table.columns]
        if check in checks:
            found.append([cells[checks.index(check)] for cells in others])
    return found


def test_a_cell_is_the_worst_of_its_cases_and_a_subject_that_is_not_asked_a_dot():
    told = report(verdict(), verdict("fail", case="loss"), verdict("skip", backend="hf-tf", check="NUM02"))
    (table,) = matrices(told, WIDE)
    assert rows([table], "NUM01")[0][:2] == ["FAIL", "·"]
    assert rows([table], "NUM02")[0][:2] == ["·", "skip"]


def test_a_few_checkpoints_have_a_table_each_and_many_share_one():
    few = [verdict(checkpoint=f"c{i}") for i in range(SEPARATE_CHECKPOINTS)]
    assert [table.title for table in matrices(report(*few), WIDE)] == [f"c{i} · float32 · cpu" for i in range(len(few))]
    many = [*few, failure(checkpoint="last")]
    (table,) = matrices(report(*many), WIDE)
    assert table.title.startswith("5 checkpoints, the worst of each cell")
    assert rows([table], "NUM01")[0][:2] == ["pass", "FAIL"]


def test_each_device_and_dtype_has_a_table():
    found = matrices(report(verdict(), verdict(dtype="bfloat16"), verdict(device="cuda")), WIDE)
    assert [table.title for table in found] == [
        "bart-odd · float32 · cpu",
        "bart-odd · bfloat16 · cpu",
        "bart-odd · float32 · cuda",
    ]


def test_subjects_that_do_not_fit_have_tables_of_their_own_and_none_is_left_out():
    stacks = [f"stack-{i}" for i in range(9)]
    verdicts = [verdict(stack=stack) for stack in stacks]
    tables = matrices(report(*verdicts), 60)
    assert len(tables) > 1
    assert sum(len(row) for row in rows(tables, "NUM01")) >= len(stacks)
    assert all(len(line) <= 60 for line in text(tables, 60).splitlines())
    assert all(stack in text(tables, 60) for stack in stacks)


def test_a_subject_is_named_by_backend_variant_and_stack():
    assert verdict(backend="hf-torch", variant="sdpa", stack="docs-4.37").subject_label == "hf-torch/sdpa@docs-4.37"


def subject(backend: str, **fields) -> SubjectRecord:
    usual = {
        "backend": backend,
        "variant": "eager",
        "stack": "main",
        "device": "cpu",
        "dtype": "float32",
        "role": "candidate",
        "label": backend,
        "model_class": "BartForConditionalGeneration",
        "documented_class": "BartForConditionalGeneration",
        "capabilities": ["cpu", "float32", "load"],
        "environment": "main",
    }
    return SubjectRecord(**{**usual, **fields})


def test_a_backend_that_cannot_run_has_a_line_and_no_column():
    missing = [
        verdict("skip", backend="hf-flax", check=check, reason="jax is not installed") for check in ("NUM01", "NUM04")
    ]
    partly = [verdict("skip", backend="hf-tf", reason="labels: none"), verdict(backend="hf-tf", check="NUM04")]
    subjects = [subject("hf-torch"), subject("hf-tf"), subject("hf-flax", capabilities=[])]
    made = report(verdict(), *missing, *partly, subjects=subjects)
    (table,) = matrices(made, 120)
    headers = [str(column.header) for column in table.columns]
    assert not any("flax" in header for header in headers) and sum("hf" in header for header in headers) == 2
    assert skip_lines(made)[0] == "2 cells · hf-flax · jax is not installed"
    # Where nothing but skips is left, they are the matrix.
    (table,) = matrices(report(*missing, subjects=subjects), 120)
    assert any("flax" in str(column.header) for column in table.columns)


def test_a_column_is_left_out_only_of_the_class_device_and_dtype_that_cannot_run():
    other = subject("hf-flax", capabilities=[], model_class="SpeechEncoderDecoderModel")
    (table,) = matrices(report(verdict(), verdict("skip", backend="hf-flax"), subjects=[other]), 120)
    assert any("flax" in str(column.header) for column in table.columns)
