"""The table of dialects that was measured, held against the constants that say so."""

from __future__ import annotations

import tomllib
from dataclasses import fields

import pytest

from parity.tools.search_dialects import calls, measure
from reference.generation import Dialect
from reference.generation import dialect as constants

TABLE = tomllib.loads(measure.TABLE.read_text(encoding="utf-8"))


def test_the_table_is_of_the_cases_and_lines_that_there_are():
    assert TABLE["cases"] == len(calls.cases()), "run python -m parity.tools.search_dialects.measure again"
    assert set(TABLE["lines"]) == {line.name for line in measure.LINES}
    # Equal scores lie far below the line between equal and different, different ones far above.
    assert TABLE["largest_distance_of_equal_scores"] * 10 < measure.ROUNDING
    assert TABLE["smallest_distance_of_different_scores"] > measure.ROUNDING * 10


@pytest.mark.parametrize("line", measure.LINES, ids=lambda line: line.name)
def test_each_line_speaks_its_dialect_whole(line):
    row, dialect = TABLE["lines"][line.name], getattr(constants, line.dialect)
    assert row["dialect"] == line.dialect and row["equal"] == row["of"]
    assert row["of"] + row.get("raising", 0) == TABLE["cases"] and row["of"] > 100
    for field in fields(Dialect):
        cell = row[field.name]
        if cell["cases"]:
            assert cell["value"] == getattr(dialect, field.name).name
        else:
            assert cell["value"] == "moot" or cell["value"].removeprefix("raises ") in row["raises"]


def test_an_answer_that_differs_in_one_token_or_in_score_does_not_agree(tmp_path):
    case = calls.cases()[0]
    calls.write(case, tmp_path)
    result = calls.ours(case, tmp_path, constants.DOCUMENTED)
    rows, scores, distances = result.sequences.tolist(), result.scores.tolist(), measure.Distances()
    assert measure.agrees({"sequences": rows, "scores": scores}, result, 1, distances)
    wider = [[*row, 1, 1] for row in rows]
    assert measure.agrees({"sequences": wider, "scores": scores}, result, 1, distances)
    assert not measure.agrees({"sequences": [[*row, 1, 4] for row in rows], "scores": scores}, result, 1, distances)
    assert not measure.agrees({"sequences": rows, "scores": None}, result, 1, distances)
    other = [scores[0] * 1.01, *scores[1:]]
    assert not measure.agrees({"sequences": rows, "scores": other}, result, 1, distances)
    rows[2][1] += 1
    assert not measure.agrees({"sequences": rows, "scores": scores}, result, 1, distances)


def test_answers_of_another_dialect_are_not_proof(tmp_path):
    """Answers made up in the documented dialect are refused for a line held to speak another one."""

    def result(case, dialect):
        calls.write(case, tmp_path)
        held = measure.GenerationSettings.read(tmp_path / case.name, **dict(case.arguments))
        return calls.ours(case, tmp_path, dialect), held.fill(dialect)

    answers = []
    for case in calls.cases():
        made, _ = result(case, constants.DOCUMENTED)
        scores = None if made.scores is None else made.scores.tolist()
        answers.append({"sequences": made.sequences.tolist(), "scores": scores})
    line = measure.Line("docs-4.37", "torch", "TORCH_4_37")
    judge = measure.Judge(line, answers, result, measure.Distances())
    assert judge.cell("min_new_tokens")[0] == "COUNTS"
    with pytest.raises(measure.AmbiguousResult, match=r"docs-4\.37/torch: bound is held to be BEST_CANDIDATE"):
        judge.cell("bound")
