"""What loading and calling the PyTorch reference promise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from reference import in_torch
from reference.errors import CheckpointError
from reference.in_torch.precision import matmul_precision
from tests.reference import bart_samples as samples


def write_checkpoint(directory: Path, name: str = "odd", without: str | None = None) -> Path:
    """A checkpoint as PyTorch saves it: float32, canonical names."""
    arrays = {key: array.astype(np.float32) for key, array in samples.weights(name).items() if key != without}
    save_file(arrays, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(samples.CONFIGS[name]), encoding="utf-8")
    return directory


def test_a_directory_loads_bit_for_bit(tmp_path: Path) -> None:
    """And computes what the same arrays handed over by hand do."""
    model = in_torch.load(write_checkpoint(tmp_path, "untied"))
    assert not model.training
    loaded = dict(in_torch.canonical_parameters(model))
    assert set(loaded) == set(samples.weights("untied"))
    assert all((loaded[key] == array).all() for key, array in samples.weights("untied").items())
    expected = samples.call_torch(samples.torch_model("untied", "float32"), samples.inputs("untied"))
    samples.assert_same(samples.call_torch(model, samples.inputs("untied")), expected, 0.0)


def test_state_dict_keys_are_the_canonical_names() -> None:
    assert set(samples.torch_model("odd").state_dict()) == set(samples.weights("odd"))


def test_a_missing_parameter_is_named_with_its_checkpoint(tmp_path: Path) -> None:
    name = "model.decoder.layers.0.encoder_attn.q_proj.bias"
    with pytest.raises(CheckpointError) as raised:
        in_torch.load(write_checkpoint(tmp_path, without=name))
    assert str(raised.value) == f"{tmp_path}: parameter {name} is missing"


def test_a_misshapen_parameter_is_named_with_both_shapes() -> None:
    wrong = {**samples.weights("odd"), "model.encoder.layers.1.fc1.weight": np.zeros((15, 19))}
    with pytest.raises(CheckpointError, match=r"fc1\.weight is \(15, 19\), not \(19, 15\)"):
        in_torch.build(samples.config("odd"), wrong)


def test_bfloat16_keeps_the_bits_of_the_nearest_numbers() -> None:
    given = samples.weights("odd")["model.shared.weight"]
    loaded = dict(in_torch.canonical_parameters(samples.torch_model("odd", "bfloat16")))["model.shared.weight"]
    assert loaded.dtype.name == "bfloat16"
    assert (loaded.astype(np.float64) == torch.tensor(given).bfloat16().double().numpy()).all()
    again = in_torch.build(samples.config("odd"), {**samples.weights("odd"), "model.shared.weight": loaded})
    assert (dict(in_torch.canonical_parameters(again))["model.shared.weight"] == loaded.astype(np.float32)).all()


def test_encode_then_decode_is_the_whole_call() -> None:
    model = samples.torch_model("odd")
    given = in_torch.as_inputs(model, samples.inputs("odd"))
    whole = model(**given)
    encoded = model.encode(given["input_ids"], given["attention_mask"], given["head_mask"])
    shifted = torch.cat([torch.full((samples.BATCH, 1), 2), given["labels"][:, :-1]], dim=1)
    decoded = model.decode(
        shifted.masked_fill(shifted == -100, 1),
        encoded.last_hidden_state,
        given["attention_mask"],
        given["decoder_attention_mask"],
        given["decoder_head_mask"],
        given["cross_attn_head_mask"],
    )
    assert torch.equal(encoded.last_hidden_state, whole.encoder_last_hidden_state)
    assert torch.equal(decoded.logits, whole.logits)


def test_output_counts_and_shapes() -> None:
    """1 + layers states, one attention a layer, every axis where the documentation puts it."""
    output = samples.call_torch(samples.torch_model("odd"), samples.inputs("odd"))
    assert [state.shape for state in output["encoder_hidden_states"]] == [(2, 7, 15)] * 3
    assert [state.shape for state in output["decoder_hidden_states"]] == [(2, 11, 15)] * 2
    assert [weights.shape for weights in output["encoder_attentions"]] == [(2, 3, 7, 7)] * 2
    assert [weights.shape for weights in output["decoder_attentions"]] == [(2, 5, 11, 11)]
    assert [weights.shape for weights in output["cross_attentions"]] == [(2, 5, 11, 7)]
    assert output["logits"].shape == (2, 11, 37)
    assert (output["encoder_last_hidden_state"] == output["encoder_hidden_states"][-1]).all()


def test_a_row_with_nothing_to_see_leaves_the_other_rows_alone() -> None:
    """Row 0 is wholly masked, on both sides; row 1 keeps every bit, and no gradient is NaN."""
    given = {name: array.copy() for name, array in samples.inputs("odd").items()}
    before = samples.call_torch(samples.torch_model("odd"), given)
    given["attention_mask"][0] = given["decoder_attention_mask"][0] = 0
    after = samples.call_torch(samples.torch_model("odd"), given)
    assert np.isfinite(after["logits"]).all()
    assert (after["logits"][1] == before["logits"][1]).all()
    assert after["encoder_attentions"][0][0, 0, 3].max() <= 1 / samples.SRC + 1e-12
    _, gradients = in_torch.loss_and_gradients(samples.torch_model("odd"), given)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


def test_all_labels_ignored_is_no_number() -> None:
    given = {**samples.bare("odd"), "labels": np.full((samples.BATCH, samples.TGT), -100)}
    output = samples.call_torch(samples.torch_model("odd"), given)
    assert np.isnan(output["loss"])
    assert np.isfinite(output["logits"]).all()


def test_gradients_leave_the_model_as_it_was_and_cover_every_trainable() -> None:
    model = samples.torch_model("odd")
    with torch.no_grad():
        _, gradients = in_torch.loss_and_gradients(model, samples.inputs("odd"))
    assert set(gradients) == set(samples.weights("odd")) - {"final_logits_bias"}
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(gradients[name].shape == samples.weights("odd")[name].shape for name in gradients)


def test_gradients_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        in_torch.loss_and_gradients(samples.torch_model("odd"), samples.bare("odd"))


def test_a_sequence_longer_than_the_positions_is_refused() -> None:
    with pytest.raises(ValueError, match="14 tokens, but this checkpoint has positions for 13"):
        samples.call_torch(samples.torch_model("odd"), {"input_ids": np.full((2, 14), 5)})


def test_a_head_mask_for_other_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="for 4 layers, but there are 2"):
        samples.call_torch(samples.torch_model("odd"), {**samples.bare("odd"), "head_mask": np.ones((4, 3))})


def test_precision_is_put_back() -> None:
    """``highest`` holds inside; ``default`` leaves what it finds."""
    torch.set_float32_matmul_precision("high")
    try:
        with matmul_precision("highest"):
            assert torch.get_float32_matmul_precision() == "highest"
        with matmul_precision("default"):
            assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_cuda_computes_what_the_cpu_does(attention: str) -> None:
    model = in_torch.build(samples.config("odd"), samples.weights("odd"), device="cuda", attention=attention)
    logits = model(**in_torch.as_inputs(model, samples.inputs("odd"))).logits.detach().cpu()
    expected = samples.call_torch(samples.torch_model("odd"), samples.inputs("odd"))["logits"]
    samples.assert_close(logits, expected, 1e-5, "logits")
