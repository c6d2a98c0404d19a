"""What is said of an example that breaks, by the library's own messages, and how it is mended."""

from __future__ import annotations

import pytest

from parity.tools.examples.blocks import classify
from parity.tools.examples.diagnosis import Diagnosis, diagnose
from parity.tools.examples.earlier_names import goes_on_from, names_bound
from parity.tools.examples.edits import without_argument
from parity.tools.examples.judging import judge
from parity.tools.examples.process import Answer, Outcome
from tests.tools.examples.test_judging import raised

NO_NAME = raised("NameError", "name 'x' is not defined")


@pytest.mark.parametrize(
    ("code", "number", "error", "corrected"),
    [
        (">>> jnp.ones(2)\n", 0, raised("NameError", "name 'jnp' is not defined"), "import jax.numpy as jnp"),
        (
            ">>> a = '''one\n>>> two'''\n>>> a\n",
            0,
            raised("SyntaxError", "unterminated triple-quoted string literal (detected at line 1)"),
            "... two'''",
        ),
        (
            '>>> m = M.from_pretrained("a/b", forced_bos_token_id=0)\n>>> x = m.generate(i)\n',
            0,
            raised("TypeError", "M.__init__() got an unexpected keyword argument 'forced_bos_token_id'"),
            "x = m.generate(i, forced_bos_token_id=0)",
        ),
        (
            ">>> x = o.last_hidden_state\n",
            0,
            raised("AttributeError", "'FlaxCausalLMOutput' object has no attribute 'last_hidden_state'"),
            "x = o.logits",
        ),
        (
            ">>> m = AutoModelForCausalLM.f()\n",
            0,
            raised(
                "ValueError",
                "Unrecognized configuration class <class 'x.EncoderDecoderConfig'> for this kind of "
                "AutoModel: AutoModelForCausalLM.\nModel type",
            ),
            "m = AutoModelForSeq2SeqLM.f()",
        ),
        (
            ">>> x = m.generate(\n...     i,\n... )\n",
            0,
            raised("ValueError", "`decoder_start_token_id` or `bos_token_id` has to be defined for encoder-decoder."),
            "x = m.generate(\n    i,\ndecoder_start_token_id=m.config.decoder_start_token_id)",
        ),
        (
            ">>> x = m.generate(i, max_length=12).sequences\n",
            0,
            raised("ValueError", "Unfeasable: the minimum length (56) is larger than the maximum length (12)"),
            "x = m.generate(i, max_length=12, min_length=0).sequences",
        ),
        (
            '>>> m = TFM.from_pretrained("a/b")\n',
            0,
            raised("TypeError", "'builtins.safe_open' object is not iterable"),
            'm = TFM.from_pretrained("a/b", from_pt=True)',
        ),
        (
            '>>> m = TFM.from_encoder_decoder_pretrained("a/b", "c")\n',
            0,
            raised("TypeError", "'builtins.safe_open' object is not iterable"),
            'm = TFM.from_encoder_decoder_pretrained("a/b", "c", encoder_from_pt=True, decoder_from_pt=True)',
        ),
        (
            '>>> m = BartForCausalLM.from_pretrained("a/b", add_cross_attention=False)\n',
            0,
            raised("TypeError", "BartForCausalLM.__init__() got an unexpected keyword argument 'add_cross_attention'"),
            'm = BartForCausalLM.from_pretrained("a/b")',
        ),
        (
            'm = M.from_pretrained(n, device_map="auto", torch_dtype="auto")\n',
            0,
            raised(
                "ValueError",
                "M does not support `device_map='auto'`. To implement support, the model class needs "
                "to implement the `_no_split_modules` attribute.",
            ),
            'm = M.from_pretrained(n, torch_dtype="auto")',
        ),
        (
            'm = M.from_pretrained(n, device_map="auto",attn_implementation="sdpa")\n',
            0,
            raised(
                "ValueError",
                "M does not support an attention implementation through "
                "torch.nn.functional.scaled_dot_product_attention yet. Please request the support",
            ),
            'm = M.from_pretrained(n, device_map="auto")',
        ),
        (
            ">>> x = m.decoder.config.eos_token_id\n",
            0,
            raised("AttributeError", "'FlaxSpeechEncoderDecoderModel' object has no attribute 'decoder'"),
            "x = m.config.decoder.eos_token_id",
        ),
        (
            ">>> m = f()\n>>> m.save_pretrained('x')\n",
            1,
            raised("ValueError", "Weights for model 'm' have not yet been created. Weights are"),
            "m.build()",
        ),
    ],
)
def test_what_is_wrong_and_the_line_as_it_should_be(code, number, error, corrected):
    block = classify(code, "py", 1)
    answers = [Answer()] * number + [Answer(raised=error)]
    found = diagnose(block, judge("n", "s", block, "main", Outcome(tuple(answers)), frozenset()))
    assert found.corrected == corrected
    assert corrected.removeprefix("... ") in "".join(each.code for each in found.mended.statements)


def diagnosed(code: str, error: dict) -> Diagnosis | None:
    block = classify(code, "py", 1)
    return diagnose(block, judge("n", "s", block, "main", Outcome((Answer(raised=error),)), frozenset()))


def test_what_no_rule_knows_gets_no_diagnosis():
    assert diagnosed(">>> f()\n", raised("KeyError", "'x'")) is None


@pytest.mark.parametrize(
    ("code", "error", "told"),
    [
        # Left out, another model would be asked for.
        (
            ">>> m = M.from_pretrained(n, add_cross_attention=True)\n",
            raised("TypeError", "M.__init__() got an unexpected keyword argument 'add_cross_attention'"),
            "the config of M has no add_cross_attention",
        ),
        # No repetition allowed and any allowed are two searches.
        (
            ">>> x = m.generate(i)\n",
            raised("NotImplementedError", "bcoo_gather: mode=<GatherScatterMode.CLIP: 1> not yet supported."),
            "no_repeat_ngram_size",
        ),
    ],
)
def test_what_is_wrong_is_told_and_no_correction_given_that_asks_for_something_else(code, error, told):
    found = diagnosed(code, error)
    assert told in found.text
    assert (found.corrected, found.mended) == ("", None)


def test_a_name_that_an_earlier_example_of_the_page_defines_is_found_there():
    result = judge("n", "s", classify("f(x)\n", "py", 9), "main", Outcome((Answer(raised=NO_NAME),)), frozenset())
    one, other = classify("x = 1\n", "py", 2), classify(">>> for x in y:\n...     pass\n", "py", 5)
    unlike = classify("f(x)\nxs = 1\nx.y = 1\n", "py", 7)
    assert (
        goes_on_from(result, [one, other, unlike]).text
        == "x is defined in the example at line 5, and each is run alone"
    )
    assert goes_on_from(result, [unlike]) is None


@pytest.mark.parametrize(
    "code", ["x = 1", "a, (x, b) = y", "import m.n as x", "import x.y", "def x(): pass", "(x := 1)"]
)
def test_every_way_to_bind_a_name_is_seen(code):
    assert "x" in names_bound(code)


@pytest.mark.parametrize(
    ("code", "without", "value"),
    [
        ("f(a=1)", "f()", "1"),
        ("f(a=1, b=2)", "f(b=2)", "1"),
        ("f(x, a=g(1, 2))", "f(x)", "g(1, 2)"),
        ("y = f('é', a=(1,\n  2), b=3)  # é\n", "y = f('é', b=3)  # é\n", "(1,\n  2)"),
        ("f(\n    x,\n    a=1,\n)\n", "f(\n    x,\n)\n", "1"),
        ("f(g(x, a=1), b=2)", "f(g(x), b=2)", "1"),
        ("f(b=2)", "", ""),
        ("a = 1", "", ""),
    ],
)
def test_an_argument_is_taken_out_and_nothing_else(code, without, value):
    assert without_argument(code, "a") == (without, value)
