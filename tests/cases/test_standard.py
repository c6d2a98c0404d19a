"""The standard questions: legal for every config, every axis its own size, and each changes only what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.cases.standard import standard_cases
from parity.core.case import IGNORED, Case, shift_right
from parity.core.model_spec import model_spec_of

CONFIG = {
    "model_type": "bart",
    "vocab_size": 97,
    "max_position_embeddings": 33,
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 4,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}


def named(config=CONFIG, rows=None) -> dict[str, Case]:
    return {case.name: case for case in standard_cases(model_spec_of(config), rows)}


def test_names_are_unique_and_digests_tell_questions_apart():
    cases = standard_cases(model_spec_of(CONFIG))
    assert len({case.name for case in cases}) == len(cases)
    assert len({case.digest for case in cases}) == len(cases)


def test_a_digest_says_what_is_asked_and_not_how_it_is_called():
    case = named()["forward"]
    assert Case("other", case.operation, case.inputs).digest == case.digest
    assert Case("forward", "repeat", case.inputs).digest != case.digest
    assert Case.from_json(case.to_json()) == case


def test_the_batch_is_ragged_and_every_axis_has_its_own_size():
    inputs = named()["forward"].inputs
    batch, source = np.array(inputs["attention_mask"]).shape
    target = len(inputs["decoder_input_ids"][0])
    assert len({batch, source, target, 2, 3, 4}) >= 5
    lengths = np.array(inputs["attention_mask"]).sum(1)
    assert len(set(lengths)) == batch


@pytest.mark.parametrize("limit", [33, 6, 2])
def test_every_token_is_legal(limit):
    config = {**CONFIG, "max_position_embeddings": limit}
    for case in standard_cases(model_spec_of(config)):
        for name, rows in case.inputs.items():
            if name.endswith("ids") or name == "labels":
                tokens = np.array(rows)
                assert tokens.max() < 97 and tokens.shape[1] <= limit
                assert (tokens[tokens != IGNORED] >= 0).all()


def test_changed_cases_change_what_they_say_and_nothing_else():
    cases = named()
    full = cases["forward"].inputs
    decoder = np.array(full["decoder_input_ids"])
    future = np.array(cases["forward.perturbed-future"].inputs["decoder_input_ids"])
    position = cases["forward.perturbed-future"].notes["tgt"]
    assert (future[:, :position] == decoder[:, :position]).all() and (
        future[:, position:] != decoder[:, position:]
    ).all()
    source, mask = np.array(full["input_ids"]), np.array(full["attention_mask"])
    padding = np.array(cases["forward.perturbed-padding"].inputs["input_ids"])
    assert (padding[mask == 1] == source[mask == 1]).all() and (padding[mask == 0] != source[mask == 0]).all()
    last = np.array(cases["forward.perturbed-source"].inputs["input_ids"])
    assert (last != source).sum() == len(source)
    row = cases["forward.perturbed-batch"].notes["row"]
    other_rows = np.array(cases["forward.perturbed-batch"].inputs["input_ids"])
    assert (other_rows[row] == source[row]).all() and (other_rows != source)[mask == 1].any()


def test_one_other_rows_is_masked_entirely_and_nothing_else_is_changed():
    cases = named()
    full, asked = cases["forward"].inputs, cases["forward.fully-masked-row"]
    mask, masked = np.array(asked.inputs["attention_mask"]), asked.notes["masked"]
    assert mask.sum(1).argmin() == masked and mask[masked].sum() == 0
    assert masked != cases["forward.perturbed-batch"].notes["row"] and "sets_noise_floor" not in asked.notes
    others = np.arange(len(mask)) != masked
    assert (mask[others] == np.array(full["attention_mask"])[others]).all()
    assert {name for name in full if full[name] != asked.inputs[name]} == {"attention_mask"}
    assert "forward.fully-masked-row" not in named(rows=[{"input_ids": [5, 6, 2]}])


def test_the_row_alone_has_no_padding():
    alone = named()["forward.single-row"]
    assert all(np.array(alone.inputs[name]).all() for name in ("attention_mask", "decoder_attention_mask"))


def test_labels_shift_as_documented():
    labels = np.array([[5, IGNORED, 7, IGNORED]])
    assert shift_right(labels, pad=1, start=2).tolist() == [[2, 5, 1, 7]]


@given(st.lists(st.lists(st.integers(3, 96), min_size=1, max_size=33), min_size=1, max_size=4))
def test_any_rows_become_cases(sources):
    cases = named(rows=[{"input_ids": source} for source in sources])
    assert np.array(cases["forward"].inputs["attention_mask"]).sum(1).tolist() == [len(row) for row in sources]
    assert len(cases["loss"].inputs["labels"]) == len(sources)


def test_one_label_is_padding_that_counts_and_is_never_fed():
    cases = named()
    plain, padded = (np.array(cases[name].inputs["labels"]) for name in ("loss", "loss.padding-label"))
    changed = np.argwhere(plain != padded)
    assert len(changed) == 1 and changed[0][1] == plain.shape[1] - 1
    assert padded[tuple(changed[0])] == CONFIG["pad_token_id"] and plain[tuple(changed[0])] != IGNORED


def test_a_composition_is_left_to_hide_what_an_ignored_label_became():
    half = {"model_type": "bert", "vocab_size": 89, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3}
    joined = {
        "model_type": "encoder-decoder",
        "architectures": ["EncoderDecoderModel"],
        "encoder": half,
        "decoder": {**half, "is_decoder": True, "add_cross_attention": True},
        "pad_token_id": 0,
        "decoder_start_token_id": 2,
        "eos_token_id": 3,
    }
    case = named(joined)["loss.default-mask"]
    labels = np.array(case.inputs["labels"])
    kept_behind = (labels[:, 1:] != IGNORED) & (np.cumsum(labels == IGNORED, axis=1)[:, :-1] > 0)
    assert "decoder_attention_mask" not in case.inputs and "decoder_input_ids" not in case.inputs
    assert kept_behind.any()
    assert "loss.default-mask" not in named()


def test_an_answer_outside_of_the_only_text_is_not_asked_about():
    """Its loss would be the mean of nothing."""
    config = {**CONFIG, "architectures": ["BartForQuestionAnswering"]}
    for batch, asked in ((1, False), (2, True)):
        cases = standard_cases(model_spec_of(config), [{"input_ids": [5, 6, 2], "labels": [7]}] * batch)
        assert ("loss.outside" in {case.name for case in cases}) == asked


def test_a_classifier_s_text_that_is_its_end_alone_is_not_asked_to_change():
    config = {**CONFIG, "architectures": ["BartForSequenceClassification"]}
    for first, asked in (([2], False), ([5, 2], True)):
        rows = [{"input_ids": text, "labels": [7]} for text in (first, [5, 6, 2])]
        names = {case.name for case in standard_cases(model_spec_of(config), rows)}
        assert ("forward.perturbed-source" in names) == asked


def test_rows_are_never_exchanged_behind_the_end_of_one():
    """Padding among the tokens before has another position in steps than in one pass, for RoBERTa."""
    rows = [{"input_ids": [5, 6, 2], "labels": labels} for labels in ([7, 8], [5, 6, 7, 8, 9], [5, 6, 7])]
    cases = {case.name: case for case in standard_cases(model_spec_of(CONFIG), rows)}
    assert cases["forward.reordered"].notes["at"] == 2
