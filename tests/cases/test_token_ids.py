"""Ids that a checkpoint lacks: what needs one is skipped with that reason, and everything else is asked all the same.

The documented recipe of a composition leaves them out (encoder-decoder page: they are set by hand before training).
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from fixtures.make import CHECKPOINTS
from parity.cases.standard import standard_cases
from parity.checkpoint.inspection import inspect_checkpoint

OUTSIDE = 1_000_000
SHIFTED = {
    "bert2bert": {
        "loss",
        "loss.row-ignored",
        "loss.padding-label",
        "loss.default-mask",
        "loss.all-ignored",
        "gradients",
    },
    "bart-odd": {"forward.defaults", "loss", "loss.row-ignored", "loss.padding-label", "loss.all-ignored", "gradients"},
    "wav2vec2-bert": {"loss", "loss.row-ignored", "loss.padding-label", "loss.all-ignored", "gradients"},
}
"""What labels, or a source, are shifted right for."""


def changed(folder, name, *, halves=False, generation=None, **fields):
    """A copy of a fixture in which ids are other; ``halves``: in those of a composition too."""
    copy = shutil.copytree(CHECKPOINTS / name, folder / name)
    config = json.loads((copy / "config.json").read_text())
    parts = [config, *(config[half] for half in ("encoder", "decoder") if halves)]
    for part in parts:
        part.update(fields)
    if halves is None:
        for field in fields:
            del config[field]
    (copy / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (copy / "generation_config.json").write_text(json.dumps(generation))
    return copy


def skipped(path, token):
    """Cases that nobody is asked because of a token, each with its reason."""
    found = inspect_checkpoint(path)
    cases = standard_cases(found.model_spec, None, found.generation)
    return {case.name: case.notes["lacking"][token] for case in cases if token in case.requires}, {
        c.name for c in cases
    }


@pytest.mark.parametrize("name", SHIFTED)
@pytest.mark.parametrize("token", ["pad_token_id", "decoder_start_token_id"])
@pytest.mark.parametrize("value", [None, -1, OUTSIDE, [2, 3]])
def test_only_what_shifts_tokens_needs_padding_and_start(tmp_path, name, token, value):
    found, asked = skipped(changed(tmp_path, name, **{token: value}), token)
    assert set(found) == SHIFTED[name] & asked
    assert {"forward", "load", "decode-steps"} <= asked - set(found)
    assert all(token in why and "config.json" in why for why in found.values())


def test_what_a_half_has_is_not_the_composition_s(tmp_path):
    """The library shifts labels with its own two, and says which is missing (EncoderDecoderModel, ``labels``)."""
    config = json.loads((CHECKPOINTS / "bert2bert" / "config.json").read_text())
    assert config["decoder"]["pad_token_id"] == 1
    path = changed(tmp_path, "bert2bert", halves=None, pad_token_id=None)
    assert set(skipped(path, "pad_token_id")[0]) == SHIFTED["bert2bert"]


@pytest.mark.parametrize("name", ["bert2bert", "bert2gpt2", "bart-odd", "wav2vec2-bert"])
@pytest.mark.parametrize("value", [None, OUTSIDE, [2, 3]])
def test_a_source_needs_no_end(tmp_path, name, value):
    found, asked = skipped(changed(tmp_path, name, halves=name == "bert2bert", eos_token_id=value), "eos_token_id")
    assert not {each for each in found if not each.startswith("generate")} and "forward" in asked


@pytest.mark.parametrize("value", [None, -1, OUTSIDE, [2, 3]])
def test_a_classifier_that_reads_off_the_end_is_asked_nothing_else(tmp_path, value):
    found, asked = skipped(changed(tmp_path, "bart-labels", eos_token_id=value), "eos_token_id")
    assert set(found) == asked - {"load"}


def test_the_batch_holds_only_tokens_of_the_table(tmp_path):
    """Where an id cannot be used, another token stands where it would have."""
    path = changed(
        tmp_path, "bert2bert", halves=True, pad_token_id=OUTSIDE, eos_token_id=-1, decoder_start_token_id=None
    )
    found = inspect_checkpoint(path)
    case = next(case for case in standard_cases(found.model_spec, None, found.generation) if case.name == "forward")
    for name, vocab in (("input_ids", found.model_spec.source_vocab), ("decoder_input_ids", found.model_spec.vocab)):
        tokens = np.array(case.inputs[name])
        assert tokens.min() >= 0 and tokens.max() < vocab


@pytest.mark.parametrize("token", ["pad_token_id", "decoder_start_token_id"])
def test_the_library_needs_them_for_labels_alone(tmp_path, token):
    """So it is skipped and not failed: the class says itself which one must be set, and computes without labels."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    path = changed(tmp_path, "bert2bert", halves=None, **{token: None})
    model = transformers.EncoderDecoderModel.from_pretrained(path).eval()
    ids = torch.tensor([[3, 4, 2]])
    assert torch.isfinite(model(input_ids=ids, decoder_input_ids=ids).logits).all()
    with pytest.raises(ValueError, match=f"Make sure to set the {token}"):
        model(input_ids=ids, labels=ids)


@pytest.mark.parametrize("name", ["bert2bert", "bart-odd"])
@pytest.mark.parametrize("token", ["pad_token_id", "eos_token_id", "decoder_start_token_id"])
@pytest.mark.parametrize("value", [None, -1, OUTSIDE, [2, 3]])
@pytest.mark.parametrize("beside", [True, False], ids=["in both files", "in config.json alone"])
def test_whatever_an_id_is_everything_else_is_asked(tmp_path, name, token, value, beside):
    """In config.json, in the halves and in generation_config.json alike: never a refusal of the whole checkpoint."""
    generation = json.loads((CHECKPOINTS / name / "generation_config.json").read_text())
    path = changed(tmp_path, name, generation={**generation, token: value}, **{token: value})
    if not beside:
        (path / "generation_config.json").unlink()
    found = inspect_checkpoint(path)
    cases = standard_cases(found.model_spec, None, found.generation)
    able = {case.name for case in cases if not case.notes.get("lacking")}
    assert {"load", "forward", "decode-steps"} <= able and len(cases) > 30
