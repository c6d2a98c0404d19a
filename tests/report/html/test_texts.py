"""Generated text: the differences from the oracle's, and one line a subject with one column a token."""

from __future__ import annotations

from parity.core.records import CheckpointRecord, TokenDiff
from parity.report.html import render
from parity.report.html.text_diff import Run, text_diff
from parity.report.html.texts import text_views
from tests.report.html.reading import read
from tests.sample_reports import generated, report, subject, verdict

SUBJECTS = [subject(), subject("hf-tf"), subject("reference-torch", role="oracle", dtype="float64")]
WORDS = ["</s>", " the", " cat", "\n", "</s>"]
TIE = TokenDiff(position=1, kind="tie-flip", margin=2.1e-7, tolerance=1e-6, oracle_token=10)
WRONG = TokenDiff(position=2, kind="wrong", margin=0.83, tolerance=1e-6, oracle_token=11)


def made(*rows, pad: int = 1):
    config = {"pad_token_id": pad}
    checkpoint = CheckpointRecord(name="bart-odd", path="/x", digest="0", config=config, documented_class="Bart")
    return report(verdict(), subjects=SUBJECTS, checkpoints=[checkpoint], generated=list(rows))


def only(found):
    """The tables of the one checkpoint there is."""
    (checkpoint,) = text_views(found)
    return checkpoint.tables


def example():
    return made(
        generated(
            0, [2, 20, 11, 12, 2], "tie-flip", words=["</s>", " a", " cat", "\n", "</s>"], marks=[TIE], score=-0.5
        ),
        generated(1, [2, 10, 21, 2, 1], "wrong", marks=[WRONG], text="the dog"),
        generated(2, [2, 10, 11, 12, 2], words=WORDS, text="the cat", source="the <mask>", oracle_score=-0.25),
    )


def test_the_oracle_is_first_whatever_the_order_and_then_those_that_wrote_otherwise():
    (table,) = only(example())
    assert [(line.label, line.verdict) for line in table.lines] == [
        ("reference-torch · float64", "oracle"),
        ("hf-tf · float32", "wrong"),
        ("hf-torch · float32", "tie-flip"),
    ]
    assert table.source == "the <mask>"


def test_every_token_is_same_other_marked_or_padding():
    (table,) = only(example())
    assert [[box.kind for box in line.boxes] for line in table.lines] == [
        ["same"] * 5,
        ["same", "same", "wrong", "other", "pad"],
        ["same", "tie-flip", "same", "same", "same"],
    ]


def test_a_mark_shows_symbol_and_what_the_oracle_prefers_by_how_much():
    oracle, wrong, tie = next(read(render(example())).get("texts").all("table", "tokens")).all("tr")
    assert [cell.text for cell in oracle.all("td")] == ["</s>", "␣ the", "␣ cat", "⏎", "</s>"]
    assert list(tie.all("td"))[1].text == "≈ ␣ a oracle: the by 2.1e-07"
    assert list(wrong.all("td"))[2].text == "✗ 21 oracle: cat by 8.3e-01"
    assert "1.0e-06" in list(tie.all("td"))[1].attributes["title"]
    assert next(tie.all("th")).text == "hf-torch · float32 ≈ tie-flip score -0.5"
    assert "oracle's -0.25" in next(oracle.all("th")).text


def test_a_line_without_words_borrows_those_of_the_others_and_else_shows_numbers():
    (table,) = only(example())
    assert [box.word for box in table.lines[1].boxes] == ["</s>", "the", "21", "</s>", "1"]
    (table,) = only(made(generated(2, [2, 7]), generated(0, [2, 7])))
    assert [box.word for box in table.lines[1].boxes] == ["2", "7"]


def test_tables_on_which_not_all_agree_stand_first():
    rows = [generated(2, [2, 7], row=n) for n in range(3)]
    rows += [generated(0, [2, 7], row=0), generated(0, [2, 8], "wrong", row=1), generated(0, [2, 7], row=2)]
    assert [(table.title, table.agrees) for table in only(made(*rows))] == [
        ("generate · row 1", False),
        ("generate · row 0", True),
        ("generate · row 2", True),
    ]


def test_only_the_padding_after_the_end_is_padding():
    (table,) = only(made(generated(2, [1, 5, 1, 6, 1, 1])))
    assert [box.kind for box in table.lines[0].boxes] == ["same"] * 4 + ["pad"] * 2


def test_rows_where_all_agree_are_folded_and_others_are_not():
    same = [generated(who, [2, 5], row=1) for who in (2, 0)]
    page = read(render(made(*example().generated, *same))).get("texts")
    assert [next(folded.all("summary")).text for folded in page.all("details")] == [
        "token by token",
        "generate · row 1 · all 2 texts are equal",
    ]
    assert len(list(page.all("table", "tokens"))) == 2
    assert [title.text for title in page.all("h4")] == ["generate · row 0"]


def test_texts_of_the_oracle_and_of_those_who_differ_are_written_out():
    page = read(render(example())).get("texts")
    assert [text.text for text in page.all("p", "text")] == [
        "reference-torch · float64 the cat",
        "hf-tf · float32 the dog",
    ]


def test_without_an_oracle_s_line_nothing_is_called_different():
    (table,) = only(made(generated(0, [2, 5]), generated(1, [2, 6])))
    assert {box.kind for line in table.lines for box in line.boxes} == {"same"}


def test_a_difference_has_what_is_missing_and_what_is_there_instead():
    words = {2: "</s>", 10: " the", 11: " cat", 12: " sat", 20: " a", 21: " big"}
    expected, actual = ([(n, words[n]) for n in ids] for ids in ([2, 10, 11, 12, 2], [2, 20, 21, 11, 2]))
    found = text_diff("hf-tf", expected, actual)
    assert found.expected == [
        Run("same", ["</s>"]),
        Run("missing", [" the"]),
        Run("same", [" cat"]),
        Run("missing", [" sat"]),
        Run("same", ["</s>"]),
    ]
    assert found.actual == [
        Run("same", ["</s>"]),
        Run("extra", [" a", " big"]),
        Run("same", [" cat", "</s>"]),
    ]
    assert (found.missing, found.extra) == (2, 2)


def test_the_page_marks_differences_by_elements_and_not_by_colour_alone():
    page = read(render(example())).get("texts")
    first, second = page.all("div", "diff")
    assert first.text.startswith("hf-tf · float32 : 2 expected tokens missing, 1 other token expected")
    assert [[found.text for found in first.all(tag)] for tag in ("del", "ins")] == [["cat ⏎"], ["21"]]
    assert [[found.text for found in second.all(tag)] for tag in ("del", "ins")] == [["the"], ["a"]]


def test_equal_texts_are_compared_once_and_padding_is_not_compared():
    rows = [generated(2, [2, 5]), generated(0, [2, 6, 1], "wrong"), generated(1, [2, 6, 1, 1], "wrong")]
    (table,) = only(made(*rows))
    (diff,) = table.diffs
    assert (diff.label, diff.missing, diff.extra) == ("hf-torch · float32, hf-tf · float32", 1, 1)
    (table,) = only(made(generated(2, [2, 5]), generated(0, [2, 5, 1])))
    assert not table.diffs


def test_tokens_without_words_are_numbers_with_spaces_between():
    (table,) = only(made(generated(2, [2, 50, 6]), generated(0, [2, 50, 13], "wrong")))
    assert [run.words for run in table.diffs[0].expected] == [[" 2", " 50"], [" 6"]]
