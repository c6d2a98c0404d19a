"""What depends on weights is never passed with stand-ins, and what does not is judged."""

from __future__ import annotations

import pytest

from parity.tools.examples.blocks import classify
from parity.tools.examples.dependence import ids_of, read_all
from parity.tools.examples.judging import agrees, judge, structure_differs
from parity.tools.examples.process import Answer, Outcome

LOADED = """\
from transformers import AutoTokenizer, BartModel
tokenizer = AutoTokenizer.from_pretrained("facebook/bart-base")
model = BartModel.from_pretrained("facebook/bart-large")
inputs = tokenizer("Hello", return_tensors="pt")
outputs = model(**inputs)
ids = model.generate(inputs["input_ids"])
expected_shape = [1, inputs.input_ids.shape[-1], model.config.vocab_size]
"""
BASE, LARGE = "facebook/bart-base", "facebook/bart-large"


@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("outputs.logits", {BASE, LARGE}),
        ("tokenizer('Hello')['input_ids']", {BASE}),
        ("list(outputs.logits.shape) == expected_shape", set()),
        ("outputs.logits.dtype", set()),
        ("len(inputs.input_ids)", set()),
        ("model.config.is_decoder", set()),
        ("model.config.id2label[outputs.logits.argmax().item()]", {BASE, LARGE}),
        ("ids.shape", {BASE, LARGE}),
        ("len(tokenizer.batch_decode(ids))", {BASE, LARGE}),
        ("[outputs.logits for _ in range(2)]", {BASE, LARGE}),
        ("type(model)", set()),
        ("1 + 1", set()),
    ],
)
def test_what_a_value_depends_on(code, values):
    needs, _ = read_all([*LOADED.splitlines(), code])
    assert needs[-1].values == values


def test_what_is_nested_too_deep_to_follow_may_depend_on_all():
    needs, _ = read_all([*LOADED.splitlines(), "1" + " + 1" * 5000, "1"])
    assert [each.values for each in needs[-2:]] == [{BASE, LARGE}, set()]


def test_loops_with_statements_and_pairs_hand_it_on():
    needs, _ = read_all([*LOADED.splitlines(), "with a():\n    x, y = outputs.logits, 3", "x", "y"])
    assert [each.values for each in needs[-2:]] == [{BASE, LARGE}, set()]


@pytest.mark.parametrize(
    ("code", "ids"),
    [
        ('M.from_encoder_decoder_pretrained("bert-base-uncased", "gpt2")', ("bert-base-uncased", "gpt2")),
        ('name = "a/b"; M.from_pretrained(name)', ("a/b",)),
        ('load_dataset("org/data", "clean", split="validation")', ("org/data",)),
        ('pipeline("summarization", model="a/b")', ("a/b",)),
        ('M.from_pretrained("./here")', ()),
        ('m.save_pretrained("bert2bert"); M.from_pretrained("bert2bert")', ()),
        ('M.from_pretrained("a/b", revision="x/y")', ("a/b",)),
    ],
)
def test_the_ids_that_an_example_loads(code, ids):
    assert ids_of(classify(code.replace("; ", "\n"), "py", 1)) == ids


def judged(page: str, *answers: Answer, standing_in: frozenset[str] = frozenset({BASE, LARGE}), ended: str = ""):
    block = classify(page, "py", 1)
    return judge("n", "s", block, "main", Outcome(tuple(answers), ended), standing_in)


LOAD = '>>> t = T.from_pretrained("facebook/bart-base")\n'


@pytest.mark.parametrize(
    ("shown", "documented", "status"),
    [
        ("[0, 5, 6, 2]\n", "[0, 31414, 232, 2]\n", "not compared"),
        ("[0, 31414, 232, 2]\n", "[0, 31414, 232, 2]\n", "not compared"),
        ("[0, 5, 2]\n", "[0, 31414, 232, 2]\n", "differs"),
        ("'text'\n", "[0, 31414, 232, 2]\n", "differs"),
        ("0.7\n", "0.0\n", "not compared"),
        ("tensor(1)\n", "0.0\n", "not compared"),
    ],
)
def test_a_value_of_a_stand_in_is_never_passed_but_its_type_and_lengths_are_judged(shown, documented, status):
    result = judged(f'{LOAD}>>> t("x")\n{documented}', Answer(), Answer(shown))
    assert result.statements[1].status == status
    if status == "not compared":
        assert result.reason == "needs facebook/bart-base"


def test_with_the_real_checkpoint_the_same_value_is_compared():
    page = f'{LOAD}>>> t("x")\n[0, 31414, 232, 2]\n'
    none = frozenset()
    assert judged(page, Answer(), Answer("[0, 31414, 232, 2]\n"), standing_in=none).status == "holds"
    assert judged(page, Answer(), Answer("[0, 31414, 233, 2]\n"), standing_in=none).status == "differs"


def raised(kind: str, message: str = "", line: int = 1) -> dict:
    return {"type": kind, "message": message, "where": "", "line": line, "text": f"{kind}: {message}\n"}


@pytest.mark.parametrize(
    ("code", "shown", "documented", "status"),
    [
        ("t.shape", "[1, 7, 8]", "[1, 7, 8]", "holds"),
        ("t.shape", "[1, 7, 8]", "[1, 7, 768]", "not compared"),
        ("t.shape", "[1, 8]", "[1, 7, 768]", "differs"),
        ("t.shape == t.shape", "False", "True", "differs"),
        ("t.shape == (1, 7, 768)", "False", "True", "not compared"),
        ("t.config.is_decoder", "False", "True", "differs"),
        ("t.dtype", "torch.float32", "torch.float16", "differs"),
    ],
)
def test_widths_of_a_stand_in_are_its_own(code, shown, documented, status):
    result = judged(f"{LOAD}>>> {code}\n{documented}\n", Answer(), Answer(f"{shown}\n"))
    assert result.statements[1].status == status


def test_an_assertion_about_weights_is_not_compared_whether_it_holds_or_not():
    page = f"{LOAD}>>> assert t('x') == 'y'\n>>> assert t.shape\n"
    failed = Answer(raised=raised("AssertionError"))
    assert [each.status for each in judged(page, Answer(), failed, failed).statements] == [
        "holds",
        "not compared",
        "differs",
    ]
    assert judged(page, Answer(), Answer(), Answer()).statements[1].status == "not compared"
    assert judged(page, Answer(), Answer(), Answer(), standing_in=frozenset()).status == "holds"


def test_a_documented_exception_is_a_promise_too():
    page = ">>> 1 / 0\nTraceback (most recent call last):\nZeroDivisionError: division by zero\n"
    assert judged(page, Answer(raised=raised("ZeroDivisionError", "division by zero"))).status == "holds"
    assert judged(page, Answer(raised=raised("TypeError", "no"))).status == "breaks"
    assert judged(page, Answer()).status == "differs"


def test_what_needs_the_network_was_not_run():
    error = raised("OSError", "We couldn't connect to 'https://huggingface.co' to load this file")
    assert judged(">>> f()\n", Answer(raised=error)).status == "not run"


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("0.59\n", "0.5901\n", True),
        ("0.59\n", "0.61\n", False),
        ("0.0\n", "0.04\n", True),
        ("1e-3\n", "0.001\n", False),
        ("[0.1, 0.25]\n", "[0.1001, 0.2439]\n", False),
        ("[0.1, 0.25]\n", "[0.1001, 0.2476]\n", True),
        ("tensor([1.0])\n", "tensor([nan])\n", False),
        ("a   b\n", "a b\n", True),
        ("a ... z\n", "a b c z\n", True),
        ("'x1.5'\n", "'x1.6'\n", False),
        ("1\n", "1.0\n", False),
    ],
)
def test_numbers_agree_to_the_digits_the_document_gives(expected, got, same):
    assert agrees(expected, got) is same


def test_structure():
    assert structure_differs("[1, 'a']", "[2, 'b']") == ""
    assert structure_differs("[[1], [2]]", "[[1], [2, 3]]") == "the value[1] has length 2, documented is 1"
    assert structure_differs("'a'", "1") == "the value is of type int, documented is str"
