"""What softmax's derivative subtracts from, against its formula and against what it must not disturb."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parity.backends.registry import get_backend
from parity.core.subject import Variant
from tests.backends.samples import CHECKPOINT, CONFIG, labelled

torch = pytest.importorskip("torch")

CLASS = "BartForConditionalGeneration"


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    backend = get_backend("reference-torch")
    backend.setup(threads=1, device="cpu", cache=tmp_path_factory.mktemp("cache"))
    return lambda variant="eager", dtype="float64": backend.load(
        Path(CHECKPOINT), Variant.parse(variant), device="cpu", dtype=dtype, model_class=CLASS
    )


def test_the_model_answers_the_same_before_between_and_after(load) -> None:
    model = load()
    loss, before = model.gradients(labelled())
    assert all(model.softmax_cancellation(labelled()).values())
    again, after = model.gradients(labelled())
    assert np.array_equal(loss, again)
    assert all(np.array_equal(array, after[name]) for name, array in before.items())


def test_by_the_formula(load) -> None:
    """The last cross-attention's keys: nothing after it looks at them, so its weights' gradient can be asked for."""
    model = load()
    found = model.softmax_cancellation(labelled())
    inner, seen = model._model, {}
    layer = inner.model.decoder.layers[-1].encoder_attn
    original = layer.attend

    def attend(query, key, value, keep, head_mask):
        _, weights = original(query, key, value, keep, head_mask)
        context = weights @ value
        weights.retain_grad()
        context.retain_grad()
        seen.update(query=query, weights=weights, value=value, context=context)
        return context, weights

    layer.attend = attend
    try:
        from reference.in_torch import as_inputs

        inputs = as_inputs(inner, labelled())
        with torch.enable_grad():
            inner(**inputs).loss.backward()
    finally:
        layer.attend = original
    weights, query, context = seen["weights"], seen["query"], seen["context"]
    last = f"gradient.model.decoder.layers.{CONFIG['decoder_layers'] - 1}.encoder_attn.k_proj.bias"
    terms = torch.einsum("bhqd,bhkd->bhqkd", context.grad, seen["value"])
    assert torch.allclose(terms.sum(dim=-1), weights.grad)
    by_terms = torch.where(weights.grad < 0, -1.0, 1.0) * torch.linalg.vector_norm(terms, dim=-1)
    for fact, gradient in (("minuends", weights.grad), ("minuend_terms", by_terms)):
        of_keys = (weights * gradient).mT @ query * query.shape[-1] ** -0.5
        bias = of_keys.detach().sum(dim=(0, 2)).flatten().numpy()
        assert found[fact][last] == pytest.approx(np.sqrt(np.mean(bias**2)), rel=1e-9)


def test_only_the_oracle_is_asked(load) -> None:
    assert not load("sdpa").softmax_cancellation(labelled())
    assert not load(dtype="float32").softmax_cancellation(labelled())
