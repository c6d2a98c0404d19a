"""The cause in the user's words: what a directory, a file, a name or a model is, said first and once."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fixtures.make import CHECKPOINTS
from parity.checkpoint.inspection import inspect_checkpoint, resolve_checkpoint
from parity.core.records import Notice
from reference.errors import CheckpointError

WEIGHTS = "model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 557709915\n"


@pytest.fixture
def copy(tmp_path):
    """A fixture one may damage."""
    return shutil.copytree(CHECKPOINTS / "bart-odd", tmp_path / "bart-copy")


def refused(path, model_class=None) -> str:
    with pytest.raises(CheckpointError) as told:
        inspect_checkpoint(resolve_checkpoint(str(path)), model_class)
    assert "\n" not in str(told.value)
    return str(told.value)


def notices(path) -> list[Notice]:
    return list(inspect_checkpoint(path).notices)


def rewritten(path, rename=lambda name: name, more=None, keep=lambda name: True):
    tensors = {rename(name): array for name, array in load_file(path / WEIGHTS).items() if keep(name)}
    save_file({**tensors, **(more or {})}, path / WEIGHTS, metadata={"format": "pt"})


def configured(path, file="config.json", **fields):
    config = json.loads((path / file).read_text())
    (path / file).write_text(json.dumps({**config, **fields}))


def test_a_whole_checkpoint_has_no_notice():
    assert all(not notices(path) for path in sorted(CHECKPOINTS.iterdir()))


@pytest.mark.parametrize(
    ("prefix", "by"),
    [
        ("_orig_mod.", "torch.compile"),
        ("module.", "DataParallel"),
        ("module._orig_mod.", "torch.compile"),
        ("base_model.model.", "PEFT"),
        ("net.", ""),
        ("student.bart.", ""),
    ],
)
def test_a_prefix_of_every_name_is_said_once_and_how_to_strip_it(copy, prefix, by):
    rewritten(copy, lambda name: prefix + name)
    (notice,) = notices(copy)
    count = len(load_file(copy / WEIGHTS))
    assert notice.id == "common-prefix"
    assert f"{prefix!r}" in notice.cause and by in notice.cause and f"{count} of {count}" in notice.cause
    assert f"removeprefix({prefix!r})" in notice.advice


def test_a_wrapper_inside_of_names_is_named(copy):
    rewritten(copy, lambda name: name.replace("encoder.", "encoder._orig_mod.", 1))
    (notice,) = notices(copy)
    assert notice.id == "wrapped-names" and "'_orig_mod'" in notice.cause and "torch.compile" in notice.cause


def test_a_prefix_that_the_class_has_is_none(copy):
    # Every name of a bare model's file may begin with the class's own prefix.
    rewritten(copy, keep=lambda name: name.startswith("model."))
    assert notices(copy) == []


def test_a_prefix_that_stands_twice_is_none_of_the_class(copy):
    rewritten(copy, lambda name: "model." + name)
    (notice,) = notices(copy)
    assert notice.id == "common-prefix" and "'model.'" in notice.cause


@pytest.mark.parametrize(
    ("fixture", "rename", "said"),
    [
        ("bart-odd", lambda name: name.replace("model.", "bart.", 1), "begin with 'bart.' where "),
        ("bart-odd", lambda name: name.replace("model.encoder", "student.model.encoder"), "begin with 'student.', so"),
        ("bert2bert", lambda name: name.replace("decoder.bert.", "decoder.", 1), "class has 'decoder.bert.'"),
        ("bert2bert", lambda name: name.removeprefix("encoder."), "lack the 'encoder.' that they begin with"),
    ],
    ids=["another family's prefix", "a prefix of one half", "a half's own prefix left out", "a half without its place"],
)
def test_another_beginning_of_many_names_is_said_once(tmp_path, fixture, rename, said):
    path = shutil.copytree(CHECKPOINTS / fixture, tmp_path / "copy")
    rewritten(path, rename)
    (notice,) = notices(path)
    found = notice.cause.replace("EncoderDecoderModel", "class")
    assert notice.id == "other-prefix" and said in found, notice.cause


def test_names_of_a_bare_model_beside_its_head_are_named(copy):
    """A bare model's file alone has no notice: every class loads it."""
    rewritten(copy, lambda name: name.removeprefix("model."))
    (notice,) = notices(copy)
    assert notice.id == "bare-beside-head" and "beside final_logits_bias" in notice.cause
    rewritten(copy, keep=lambda name: name != "final_logits_bias")
    assert notices(copy) == []


@pytest.mark.parametrize("rows", [96, 99])
def test_a_table_of_another_size_is_said_once_and_not_for_each_tensor(copy, rows):
    configured(copy, vocab_size=rows)
    (notice,) = notices(copy)
    assert notice.id == "other-size"
    assert f"vocab_size is {rows}, and the tables of tokens have 97 rows" in notice.cause


def test_sizes_that_differ_along_another_axis_are_named_by_it(copy):
    configured(copy, decoder_ffn_dim=30)
    (notice,) = notices(copy)
    assert notice.id == "other-size" and "30 along the axis ffn, where the file has 28" in notice.cause


def test_sizes_that_differ_in_several_ways_are_left_to_the_checks(copy):
    configured(copy, decoder_ffn_dim=30, vocab_size=99)
    assert notices(copy) == []


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("quantization_config", {}, "empty-quantisation"),
        ("quantization_config", "gptq", "empty-quantisation"),
        ("torch_dtype", "float17", "unknown-dtype"),
        ("dtype", "os.system", "unknown-dtype"),
        ("torch_dtype", "torch.float16", ""),
        ("dtype", "bfloat16", ""),
        ("torch_dtype", None, ""),
        ("dtype", 5, ""),
    ],
)
def test_a_field_at_which_libraries_end_with_an_error_is_named(copy, field, value, said):
    configured(copy, **{field: value})
    assert [notice.id for notice in notices(copy)] == [said] * bool(said)


def test_names_of_which_one_is_the_classs_are_another_models_too(copy):
    rewritten(copy, lambda name: name.replace(".", "/"))
    (notice,) = notices(copy)
    assert notice.id == "another-models-weights" and notice.cause.startswith("only 1 of the file's")


@pytest.mark.parametrize("prefix", ["base_model.model.", ""])
def test_an_unmerged_adapter_is_named_as_that_and_not_as_a_prefix(copy, prefix):
    adapted = "self_attn.q_proj."
    lora = {f"{prefix}model.encoder.layers.0.{adapted}lora_A.default.weight": np.ones((2, 12), np.float32)}
    rewritten(copy, lambda name: prefix + name.replace(adapted, f"{adapted}base_layer."), lora)
    (notice,) = notices(copy)
    assert notice.id == "peft-unmerged" and "base_layer" in notice.cause and "merge_and_unload()" in notice.advice


def test_names_of_another_model_are_said_once(copy):
    save_file({"transformer.h.0.ln_1.weight": np.ones(3, np.float32)}, copy / WEIGHTS, metadata={"format": "pt"})
    (notice,) = notices(copy)
    assert notice.id == "another-models-weights" and "transformer.h.0" in notice.cause


QUANTISED = {
    "by config": ({"quantization_config": {"quant_method": "awq", "bits": 4}}, {}, "awq"),
    "by config, a method not named": ({"quantization_config": {"load_in_8bit": True}}, {}, "bitsandbytes 8-bit"),
    "bitsandbytes": ({}, {"model.encoder.layers.0.fc1.SCB": np.ones(3, np.float32)}, "bitsandbytes 8-bit"),
    "bitsandbytes 4": ({}, {"model.encoder.layers.0.fc1.weight.absmax": np.ones(3, np.float32)}, "bitsandbytes 4-bit"),
    "gptq": ({}, {"model.encoder.layers.0.fc1.qweight": np.ones((3, 2), np.int32)}, "GPTQ"),
    "float8": ({}, {"model.encoder.layers.0.fc1.weight_scale": np.ones(1, np.float32)}, "scales"),
    "int8": ({}, {"model.encoder.layers.0.fc9.weight": np.ones((3, 2), np.int8)}, "int8"),
}


@pytest.mark.parametrize("how", QUANTISED)
def test_quantised_weights_are_refused_by_that_name(copy, how):
    config, tensors, word = QUANTISED[how]
    configured(copy, **config)
    rewritten(copy, more=tensors)
    told = refused(copy)
    assert "the weights are quantised" in told and word in told and "dequantize()" in told
    assert "shape" not in told


def test_a_type_that_is_not_read_is_said_to_be_quantised(copy):
    raw = (copy / WEIGHTS).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    name = next(name for name in header if name != "__metadata__")
    header[name]["dtype"] = "F8_E4M3"
    text = json.dumps(header).encode()
    (copy / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    assert "the weights are quantised (a tensor of the type F8_E4M3)" in refused(copy)


def test_no_quantisation_where_the_field_is_null(copy):
    configured(copy, quantization_config=None)
    assert notices(copy) == []


def _torch_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))


FILES = {
    "git-lfs-pointer": (WEIGHTS, lambda p: p.write_text(POINTER), "git lfs pull"),
    "git-lfs-pointer of the config": ("config.json", lambda p: p.write_text(POINTER), "557,709,915 bytes"),
    "error-page": (WEIGHTS, lambda p: p.write_text("<!DOCTYPE html><html><body>Log in</body></html>"), "server"),
    "error-page in words": (WEIGHTS, lambda p: p.write_text("Entry not found"), "server"),
    "empty-file": (WEIGHTS, lambda p: p.write_bytes(b""), "0 bytes"),
    "empty-file of the config": ("config.json", lambda p: p.write_bytes(b""), "0 bytes"),
    "other-format": (WEIGHTS, _torch_zip, "torch.save"),
    "other-format, gzip": (WEIGHTS, lambda p: p.write_bytes(b"\x1f\x8b" + bytes(20)), "gzip"),
    "other-format, HDF5": (WEIGHTS, lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(20)), "tf_model.h5"),
    "truncated-file": (WEIGHTS, lambda p: p.write_bytes(p.read_bytes()[:-99]), "cut short"),
    "truncated-file in its header": (WEIGHTS, lambda p: p.write_bytes(p.read_bytes()[:99]), "cut short"),
}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_a_mark_that_the_libraries_do_not_read_is_named(copy, encoding):
    config = copy / "config.json"
    text = config.read_text()
    config.write_bytes(("\ufeff" + text if encoding == "utf-16-be" else text).encode(encoding))
    (notice,) = notices(copy)
    assert notice.id == "byte-order-mark" and notice.cause.startswith("config.json begins with")


@pytest.mark.parametrize("what", FILES)
def test_what_a_file_is_instead_comes_first(copy, what):
    name, damage, word = FILES[what]
    damage(copy / name)
    told = refused(copy)
    assert told.startswith(f"{copy}: {name} ") and word in told and "What to do: " in told


def test_a_safetensors_file_named_as_a_pickle_is_named(copy):
    (copy / WEIGHTS).rename(copy / "pytorch_model.bin")
    assert "pytorch_model.bin is a safetensors file" in refused(copy)


def test_a_pointer_beside_weights_that_are_read_is_a_notice(copy):
    (copy / "tokenizer.json").write_text(POINTER)
    (copy / "tf_model.h5").write_text(POINTER)
    assert [notice.cause.split()[0] for notice in notices(copy)] == ["tf_model.h5", "tokenizer.json"]


def _emptied(path, *keep):
    for file in path.iterdir():
        if file.name not in keep:
            file.unlink()


def _written(*names, keep=()):
    def write(path):
        _emptied(path, *keep)
        for name in names:
            file = path / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"\x08\x08")

    return write


def _adapter(path):
    _emptied(path)
    content = {"peft_type": "LORA", "base_model_name_or_path": "facebook/bart-base"}
    (path / "adapter_config.json").write_text(json.dumps(content))
    (path / "adapter_model.safetensors").write_bytes(b"")


def _adapterhub(path):
    _written("pytorch_adapter.bin")(path)
    content = {"config": {"mh_adapter": True}, "model_name": "facebook/bart-base", "model_type": "bart"}
    (path / "adapter_config.json").write_text(json.dumps(content))


def _converted(path):
    _written("model.bin", "shared_vocabulary.json")(path)
    (path / "config.json").write_text('{"add_source_bos": false}')


CONFIG = ("config.json",)
DIRECTORIES = {
    "a PEFT adapter (LORA) for the model facebook/bart-base": _adapter,
    "an ONNX export": _written("encoder_model.onnx", "decoder_model.onnx", keep=CONFIG),
    "an ONNX export ": _written("onnx/model.onnx", keep=CONFIG),
    "CTranslate2": _converted,
    "a fairseq model": _written("model.pt", "dict.txt"),
    "a fairseq model ": _written("checkpoint_best.pt", "dict.en.txt", "dict.de.txt"),
    "a Keras model": _written("model.weights.h5", "task.json", keep=CONFIG),
    "a GGUF file": _written("bart-q4.gguf", keep=CONFIG),
    "a TensorFlow SavedModel": _written("saved_model.pb", keep=CONFIG),
    "a TensorFlow checkpoint": _written("model.ckpt.index", "model.ckpt.data-00000-of-00001", keep=CONFIG),
    "a DeepSpeed training checkpoint": _written("zero_to_fp32.py", "latest", keep=CONFIG),
    "torch.distributed": _written(".metadata", "__0_0.distcp", keep=CONFIG),
    "Megatron-LM": _written("latest_checkpointed_iteration.txt", "iter_0000010/x", keep=CONFIG),
    "a training run's output": _written("checkpoint-500/a", "checkpoint-1000/a", keep=CONFIG),
    "a training state": _written("optimizer.pt", "trainer_state.json", keep=CONFIG),
    "an empty directory": _emptied,
    "no checkpoint, but a folder with one": _written("inner/config.json"),
    "the hub cache's folder of a model": _written("refs/main"),
    "OpenVINO": _written("openvino_model.xml", "openvino_model.bin", keep=CONFIG),
    "PyTorch Lightning": _written("last.ckpt", keep=CONFIG),
    "told variant='fp16'": _written("model.fp16.safetensors", keep=CONFIG),
    "shards (model-00001-of-00002.safetensors": _written("model-00001-of-00002.safetensors", keep=CONFIG),
    "weights.safetensors: no name that": _written("weights.safetensors", keep=CONFIG),
    "rust-bert": _written("rust_model.ot", keep=CONFIG),
    "ExecuTorch": _written("model.pte", keep=CONFIG),
    "PaddlePaddle": _written("model_state.pdparams", keep=CONFIG),
    "NVIDIA NeMo": _written("bart.nemo"),
    "TorchServe": _written("bart.mar"),
    "an archive, and no checkpoint": _written("bart.large.tar.gz"),
    "arrays of NumPy": _written("params.npz", keep=CONFIG),
    "AdapterHub": _adapterhub,
    "weights without their config.json": lambda path: _emptied(path, WEIGHTS),
    "a tokenizer without its model": _written("tokenizer.json", "tokenizer_config.json"),
    "a download of 2 bytes so far": _written("model.safetensors.incomplete", keep=CONFIG),
}


@pytest.mark.parametrize("words", DIRECTORIES)
def test_what_a_directory_is_instead_comes_first(copy, words):
    if "hub cache" in words:
        (copy / "snapshots").mkdir()
        _emptied_but_folders(copy)
    else:
        DIRECTORIES[words](copy)
    told = refused(copy)
    assert words.strip() in told.partition("What to do: ")[0], told


def _emptied_but_folders(path):
    for file in path.iterdir():
        if file.is_file():
            file.unlink()


@pytest.mark.parametrize("name", ["config.json", "merges.txt", WEIGHTS])
def test_a_file_that_leads_to_itself_is_what_is_wrong_and_not_the_directory(copy, name):
    (copy / name).unlink(missing_ok=True)
    (copy / name).symlink_to(name)
    assert refused(copy).startswith(f"{copy / name}: cannot be followed")


def test_a_cause_is_said_once(copy):
    configured(copy, quantization_config={"quant_method": "gptq"})
    assert refused(copy).count("the weights are quantised") == 1


def test_a_single_file_is_answered_with_its_directory(copy):
    assert f"name its directory, {copy}" in refused(copy / WEIGHTS)
    gguf = copy / "bart.gguf"
    gguf.write_bytes(b"GGUF")
    assert "llama.cpp" in refused(gguf)


def test_an_adapter_beside_whole_weights_is_a_notice(copy):
    (copy / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/else"}))
    (notice,) = notices(copy)
    assert notice.id == "adapter-beside-weights" and "someone/else" in notice.cause


@pytest.mark.parametrize(
    ("kind", "near"),
    [
        ("mbart", "decoder of a composition"),
        ("t5", "nothing here is near"),
        ("pegasus", "nearest is BART"),
        ("marian", "nearest is BART"),
        ("blenderbot", "mBART"),
        ("led", "nearest is BART"),
        ("m2m_100", "mBART"),
        ("bert", "half of a composition"),
        ("gpt2", "decoder of a composition"),
        ("nobody-knows-it", ""),
    ],
)
@pytest.mark.parametrize("model_class", [None, "MBartForCausalLM", "BartModel"])
def test_a_model_that_is_not_audited_is_refused_in_one_way(copy, kind, near, model_class):
    """Whatever its classes are called: never that one class is missing and another there, which is refused in turn."""
    configured(copy, model_type=kind, architectures=["MBartForConditionalGeneration"])
    told = refused(copy, model_class)
    assert f"model_type {kind!r} is not audited" in told and near in told and "audited are BART (" in told


def test_a_half_that_is_not_audited_is_named(tmp_path):
    copy = shutil.copytree(CHECKPOINTS / "bert2bert", tmp_path / "composition")
    config = json.loads((copy / "config.json").read_text())
    configured(copy, encoder={**config["encoder"], "model_type": "xlm-roberta"})
    assert "the encoder is of model_type 'xlm-roberta', which is not audited as one (nearest is roberta" in refused(
        copy
    )


def test_names_from_outside_do_not_break_the_line(copy):
    (copy / WEIGHTS).unlink()
    (copy / "a\n::error::b.safetensors").write_bytes(b"")
    assert "::error::b" in refused(copy)


@pytest.mark.parametrize(("value", "said"), [(10**6, True), (-1, True), ([2, 10**6], True), (None, False), (1, False)])
def test_tokens_without_a_row_in_the_table_are_said_once(copy, value, said):
    configured(copy, eos_token_id=value)
    found = [notice for notice in notices(copy) if notice.id == "token-outside-table"]
    assert len(found) == said and all("eos_token_id" in notice.cause for notice in found)


@pytest.mark.parametrize(
    ("name", "value"), [("eos_token_id", 10**6), ("forced_bos_token_id", 97), ("pad_token_id", -2)]
)
def test_a_token_of_the_generation_settings_without_a_row_is_said_with_its_file(copy, name, value):
    configured(copy, file="generation_config.json", **{name: value})
    (notice,) = notices(copy)
    assert notice.id == "token-outside-table"
    assert notice.cause.startswith("generation_config.json names") and f"{name} {value}" in notice.cause


@pytest.mark.parametrize("value", ["2", True, [True, None], {}, 2.5])
def test_what_is_no_token_in_the_generation_settings_is_not_said_to_lack_a_row(copy, value):
    configured(copy, file="generation_config.json", eos_token_id=value)
    assert notices(copy) == []


@pytest.mark.parametrize("file", ["generation_config.json", "config.json"])
@pytest.mark.parametrize("name", ["early_stopping", "num_return_sequences"])
def test_a_setting_that_may_not_be_null_is_named(copy, file, name):
    """With it transformers 4.x loads nothing, or generates nothing; of the others null is the default."""
    if file == "config.json":
        (copy / "generation_config.json").unlink()
    configured(copy, file=file, num_beams=None, **{name: None})
    (notice,) = notices(copy)
    assert notice.id == "null-setting" and notice.cause.startswith(f"{file} has null for {name},")


@pytest.mark.parametrize("beside", [False, True])
def test_ids_that_no_file_says_are_named_where_a_release_has_no_default_for_them(copy, beside):
    config = json.loads((copy / "config.json").read_text())
    del config["eos_token_id"], config["decoder_start_token_id"]
    (copy / "config.json").write_text(json.dumps(config))
    if not beside:
        (copy / "generation_config.json").unlink()
    found = [notice.cause for notice in notices(copy) if notice.id == "ids-left-out"]
    assert len(found) == (not beside) and all("leaves out eos_token_id, decoder_start_token_id," in c for c in found)
