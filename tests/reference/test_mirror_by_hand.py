"""Small vectors worked out by hand, asked of both references alike."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Framework:
    """One reference's modules, and how arrays go in and come out."""

    package: str

    def module(self, name: str) -> ModuleType:
        return importlib.import_module(f"reference.{self.package}.{name}")

    def array(self, values: Any, dtype: str = "float32") -> Any:
        if self.package == "in_torch":
            import torch

            return torch.tensor(values, dtype=getattr(torch, dtype))
        import jax.numpy as jnp

        return jnp.asarray(values, dtype)

    def host(self, value: Any) -> np.ndarray:
        value = value.detach() if hasattr(value, "detach") else value
        return np.asarray(value)


@pytest.fixture(params=["in_torch", "in_flax"])
def framework(request: pytest.FixtureRequest) -> Framework:
    return Framework(request.param)


def test_padding_hides_keys_from_every_query(framework: Framework) -> None:
    keep = framework.host(framework.module("masks").padding_mask(framework.array([[1, 1, 0], [1, 0, 0]], "int32")))
    assert keep.shape == (2, 1, 1, 3)
    assert keep[:, 0, 0].tolist() == [[True, True, False], [True, False, False]]


def test_the_past_is_seen_and_the_future_is_not(framework: Framework) -> None:
    """Query by row, key by column: a transposed mask would show the future."""
    mask = framework.array([[1, 1, 1], [0, 1, 1]], "int32")
    keep = framework.host(framework.module("masks").causal_mask(mask, 0, 3))
    assert keep[0, 0].tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert keep[1, 0].tolist() == [[False, False, False], [False, True, False], [False, True, True]]
    later = framework.host(framework.module("masks").causal_mask(mask, 1, 2))
    assert later.tolist() == keep[:, :, 1:].tolist(), "queries that begin later see what they saw"


def test_labels_shift_to_decoder_inputs(framework: Framework) -> None:
    """Start token 9 first, the last label dropped, -100 becomes padding 7, a real 7 stays."""
    labels = framework.array([[4, -100, 5, 6], [7, 8, -100, -100]], "int32")
    shifted = framework.host(framework.module("labels").shift_right(labels, 7, 9))
    assert shifted.tolist() == [[9, 4, 7, 5], [9, 7, 8, 7]]


def test_one_ignored_label_in_the_middle(framework: Framework) -> None:
    """Logits ln 1, ln 3 give probabilities ¼ and ¾; the mean over the two counted labels is (ln 4 + ln 4/3) / 2."""
    logits = framework.array(np.log([[[1.0, 3.0], [1.0, 1e9], [1.0, 3.0]]]))
    loss = framework.module("labels").cross_entropy(logits, framework.array([[0, -100, 1]], "int32"))
    assert float(loss) == pytest.approx((math.log(4) + math.log(4 / 3)) / 2, rel=1e-6)


def test_rows_count_by_their_labels_not_by_their_number(framework: Framework) -> None:
    """A mean of row means would give (ln 4 + (ln 4 + ln 4/3) / 2) / 2."""
    logits = framework.array(np.log([[[1.0, 3.0], [1.0, 3.0]], [[1.0, 3.0], [1.0, 3.0]]]))
    loss = framework.module("labels").cross_entropy(logits, framework.array([[0, -100], [0, 1]], "int32"))
    assert float(loss) == pytest.approx((2 * math.log(4) + math.log(4 / 3)) / 3, rel=1e-6)


def test_no_label_counted_gives_no_number(framework: Framework) -> None:
    loss = framework.module("labels").cross_entropy(framework.array([[[0.5, 1.5]]]), framework.array([[-100]], "int32"))
    assert math.isnan(float(loss))


def test_smoothing_gives_a_share_to_every_token_alike(framework: Framework) -> None:
    """Szegedy et al. 2016, section 7: 1 - 0.2 to the label, and 0.2 / 2 to each of two tokens; ignored ones nothing."""
    logits, labels = framework.array(np.log([[[1.0, 3.0], [1.0, 1e9]]])), framework.array([[0, -100]], "int32")
    loss = framework.module("labels").cross_entropy(logits, labels, 0.2)
    assert float(loss) == pytest.approx(0.9 * math.log(4) + 0.1 * math.log(4 / 3), rel=1e-6)


ODDS = np.log([[3.0, 1 / 3, 1.0], [1.0, 3.0, 3.0]])
"""As logits of yes and no: probabilities ¾ ¼ ½, ½ ¾ ¾."""


@pytest.mark.parametrize("said", [True, False])
def test_several_labels_at_once_are_judged_each_by_itself(framework: Framework, said: bool) -> None:
    """-ln of what was given to each right answer; labels that are no whole numbers say as much as the config."""
    labels = framework.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    kind = "multi_label_classification" if said else None
    loss = framework.module("bart_heads").classification_loss(framework.array(ODDS), labels, kind)
    expected = [math.log(4 / 3), math.log(4), math.log(2), math.log(2), math.log(4), math.log(4 / 3)]
    assert float(loss) == pytest.approx(sum(expected) / 6, rel=1e-6)


@pytest.mark.parametrize("kind", ["single_label_classification", None])
def test_one_label_of_several_is_judged_against_the_others(framework: Framework, kind: str | None) -> None:
    """Weights 3, ⅓, 1 of 13/3, and 1, 3, 3 of 7."""
    labels = framework.array([2, 1], "int32")
    loss = framework.module("bart_heads").classification_loss(framework.array(ODDS), labels, kind)
    assert float(loss) == pytest.approx((math.log(13 / 3) + math.log(7 / 3)) / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("logits", "labels", "kind", "expected"),
    [
        (
            [[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]],
            [[0.0, 2.0], [1.0, 1.0], [0.0, 4.0]],
            "regression",
            (1 + 4 + 16 + 9) / 6,
        ),
        # A column against a row would be nine differences.
        ([[1.0], [3.0], [6.0]], [0.0, 1.0, 2.0], None, (1 + 4 + 16) / 3),
    ],
)
def test_regression_is_the_mean_square(
    framework: Framework, logits: Any, labels: Any, kind: str | None, expected: float
) -> None:
    given = framework.array(logits), framework.array(labels)
    loss = framework.module("bart_heads").classification_loss(*given, kind)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_an_answer_outside_of_its_text_is_not_counted(framework: Framework) -> None:
    """Positions 3 and -1 of three; the other two rows give ln 13/3 - ln 3 = ln 13/9, and ln 7."""
    logits = framework.array(ODDS[[0, 0, 1, 1]])
    positions = framework.array([0, 3, 0, -1], "int32")
    loss = framework.module("bart_heads").position_loss(logits, positions)
    assert float(loss) == pytest.approx((math.log(13 / 9) + math.log(7)) / 2, rel=1e-6)


ACTIVATIONS = {
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "gelu_new": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: max(x, 0.0),
    "silu": lambda x: x / (1 + math.exp(-x)),
}


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activations_are_their_formulas(framework: Framework, name: str) -> None:
    """At 2 the two forms of gelu are 3e-4 apart: they are told from each other."""
    points = [-2.0, -0.5, 0.0, 1.0, 2.0]
    values = framework.host(framework.module("activations").ACTIVATIONS[name](framework.array(points)))
    assert values.tolist() == pytest.approx([ACTIVATIONS[name](x) for x in points], abs=1e-6)


def test_every_documented_activation_is_there(framework: Framework) -> None:
    from reference.config import ACTIVATIONS as documented

    assert set(framework.module("activations").ACTIVATIONS) == set(documented) == set(ACTIVATIONS)


def test_a_norm_divides_by_the_root_of_variance_and_epsilon(framework: Framework) -> None:
    """Values ±0.01 have variance 1e-4: an epsilon of 1e-5 matters, one of 1e-6 or outside the root is told apart."""
    module = framework.module("normalisation")
    centred = module.mean(framework.array([[1.0, 2.0, 6.0]]))
    assert framework.host(centred).tolist() == [[3.0]]
    layer = _norm(framework, 2)
    normal = framework.host(layer(framework.array([[[5.01, 4.99]]])))
    expected = 0.01 / math.sqrt(1e-4 + 1e-5)
    assert normal[0, 0].tolist() == pytest.approx([expected, -expected], rel=1e-3)


def _norm(framework: Framework, width: int) -> Any:
    if framework.package == "in_torch":
        return framework.module("normalisation").LayerNorm(width, 1e-5)
    from flax import nnx

    return framework.module("normalisation").LayerNorm(width, 1e-5, nnx.Rngs(0))


def test_attention_worked_out_by_hand(framework: Framework) -> None:
    """One head of size 4, so scores are halved: 2 ln 3 / 2 = ln 3 against 0 gives weights ¾ and ¼."""
    query = framework.array([[[[2 * math.log(3), 0.0, 0.0, 0.0]]]])
    key = framework.array([[[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0]]]])
    value = framework.array([[[[4.0, 0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0]]]])
    keep = framework.array([[[[True, True, False]]]], "bool")
    for attend in framework.module("attention").ATTENTIONS.values():
        context, weights = attend(query, key, value, keep, None)
        assert framework.host(context)[0, 0, 0].tolist() == pytest.approx([3, 1, 0, 0], abs=1e-6)
        if weights is not None:
            assert framework.host(weights)[0, 0, 0].tolist() == pytest.approx([0.75, 0.25, 0], abs=1e-6)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_query_without_keys_attends_to_all_alike(framework: Framework, attention: str, dtype: str) -> None:
    """The mean of all values, whatever the scores; the other query is untouched; nothing is NaN."""
    drawn = np.random.default_rng(0).normal(0, 30, (3, 1, 1, 2, 5))
    query, key, value = (framework.array(array, dtype) for array in drawn)
    keep = framework.array([[[[False, False], [True, False]]]], "bool")
    context, _ = framework.module("attention").ATTENTIONS[attention](query, key, value, keep, None)
    answer, values = framework.host(context)[0, 0], framework.host(value)[0, 0]
    tolerance = {"float32": 1e-5, "float16": 5e-2}[dtype]
    assert answer[0].tolist() == pytest.approx(values.astype(np.float64).mean(0).tolist(), abs=tolerance)
    assert answer[1].tolist() == values[0].tolist()


def test_heads_are_cut_and_merged(framework: Framework) -> None:
    """Head 1 of 3 holds columns 5 to 9 of 15."""
    module = framework.module("attention")
    hidden = np.arange(2 * 7 * 15, dtype=np.float32).reshape(2, 7, 15)
    heads = module.split_heads(framework.array(hidden), 3)
    assert framework.host(heads).shape == (2, 3, 7, 5)
    assert (framework.host(heads)[1, 1] == hidden[1, :, 5:10]).all()
    assert (framework.host(module.merge_heads(heads)) == hidden).all()


def test_a_wrong_shape_is_refused_while_tests_run(framework: Framework) -> None:
    """The import hook is at work: masks of two sequences for logits of one."""
    with pytest.raises(Exception, match="Type-check error"):
        framework.module("labels").cross_entropy(framework.array([[[0.5, 1.5]]]), framework.array([[0, 0]], "int32"))


def test_an_unknown_precision_is_named(framework: Framework) -> None:
    with (
        pytest.raises(ValueError, match="unknown precision 'low'"),
        framework.module("precision").matmul_precision("low"),
    ):
        pass


@pytest.mark.parametrize("choice", [{"dtype": "float8"}, {"attention": "flash"}, {"precision": "low"}])
def test_a_choice_that_is_none_is_named(framework: Framework, choice: dict[str, str]) -> None:
    from tests.reference import bart_samples as samples

    build = importlib.import_module(f"reference.{framework.package}").build
    with pytest.raises(ValueError, match=f"unknown choice '{next(iter(choice.values()))}'"):
        build(samples.config("odd"), samples.weights("odd"), **choice)
