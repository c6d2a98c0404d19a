"""Identifies directories that are not checkpoints of ``from_pretrained`` by the names in them, with advice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from parity.checkpoint.diagnosis.reading import json_object, names_in, word
from parity.core.records import Notice
from reference.config import CONFIG_FILE
from reference.weights import FORMATS

AUDIT_SOURCE = "audit the checkpoint that it was exported from"


@dataclass(frozen=True)
class Listing:
    """A directory's names, one level deep."""

    path: Path

    @cached_property
    def _both(self) -> tuple[frozenset[str], frozenset[str]]:
        return names_in(self.path)

    @property
    def files(self) -> frozenset[str]:
        return self._both[0]

    @property
    def folders(self) -> frozenset[str]:
        return self._both[1]

    @property
    def has_weights(self) -> bool:
        """Whether there is a weight file under a name that ``from_pretrained`` looks for."""
        return any(known.file in self.files or known.index in self.files for known in FORMATS)

    def like(self, *patterns: str) -> list[str]:
        """Files whose names match, sorted."""
        return sorted(name for name in self.files if any(fnmatchcase(name, pattern) for pattern in patterns))

    def folders_like(self, *patterns: str) -> list[str]:
        return sorted(name for name in self.folders if any(fnmatchcase(name, pattern) for pattern in patterns))


def kind_of(path: Path) -> Notice | None:
    """The kind of a directory that is not a checkpoint; None if it is not recognised."""
    listing = Listing(path)
    for rule in _RULES:
        notice = rule(listing)
        if notice is not None:
            return notice
    return None


def adapter(listing: Listing) -> Notice | None:
    """Output of PEFT for an adapted model; beside full weights it changes what ``from_pretrained`` loads."""
    found = listing.like("adapter_config.json", "adapter_model.*")
    if not found:
        return None
    content = json_object(listing.path, "adapter_config.json") or {}
    if "peft_type" not in content and "config" in content and not listing.has_weights:
        return Notice(
            id="adapterhub-adapter",
            cause=f"an adapter of the package adapters (AdapterHub) for {word(content.get('model_name'), 'a model')}: "
            "only what was trained beside it, not a whole model",
            advice="load it into that model (model.load_adapter), merge it where its kind can be (model.merge_adapter),"
            " save the model by save_pretrained, and audit that",
        )
    base, kind = word(content.get("base_model_name_or_path"), "?"), word(content.get("peft_type"), "PEFT")
    merge = (
        f"AutoPeftModelForSeq2SeqLM.from_pretrained({listing.path.name!r}).merge_and_unload().save_pretrained('merged')"
    )
    if listing.has_weights:
        return Notice(
            id="adapter-beside-weights",
            cause=f"adapter_config.json ({kind} for {base}) lies beside whole weights: with PEFT installed, "
            "from_pretrained loads that base model and puts the adapter on it, instead of these weights",
            advice=f"move adapter_* away, or merge and audit the result: {merge}",
        )
    return Notice(
        id="peft-adapter",
        cause=f"a PEFT adapter ({kind}) for the model {base}: only what was trained beside it, not a whole model",
        advice=f"merge it and audit the result: {merge}",
    )


def _empty(listing: Listing) -> Notice | None:
    if listing.files or listing.folders or not listing.path.is_dir():
        return None
    return Notice(
        id="empty-directory",
        cause="an empty directory",
        advice="name the directory that holds config.json and the weights",
    )


def _sharded_training(listing: Listing) -> Notice | None:
    if listing.like("zero_pp_rank_*", "mp_rank_*_model_states.pt", "zero_to_fp32.py", "bf16_zero_pp_rank_*") or (
        listing.folders_like("global_step*") and not listing.has_weights
    ):
        return Notice(
            id="deepspeed-checkpoint",
            cause="a DeepSpeed training checkpoint: weights and optimizer states in one piece for each process",
            advice="run python zero_to_fp32.py . OUT in it (DeepSpeed leaves that script there), put config.json into "
            "OUT, and audit OUT",
        )
    if listing.like("*.distcp", ".metadata") or listing.folders_like("pytorch_model_fsdp_*"):
        return Notice(
            id="distributed-checkpoint",
            cause="a checkpoint of torch.distributed (FSDP, DCP): weights in one piece for each process",
            advice="put it together with python -m torch.distributed.checkpoint.format_utils dcp_to_torch DIR FILE (or "
            "accelerate merge-weights DIR OUT), save it by save_pretrained, and audit that",
        )
    if "latest_checkpointed_iteration.txt" in listing.files or listing.folders_like("mp_rank_*", "iter_[0-9]*"):
        return Notice(
            id="megatron-checkpoint",
            cause="a Megatron-LM checkpoint: weights in one piece for each rank, under Megatron's own names",
            advice="convert it with the model's convert_megatron script to a directory of transformers, and audit that",
        )
    return None


def _trainer(listing: Listing) -> Notice | None:
    steps = listing.folders_like("checkpoint-*", "checkpoint_[0-9]*", "epoch_*", "step_*")
    if steps and not listing.has_weights:
        last = max(steps, key=lambda name: (len(name), name))
        return Notice(
            id="trainer-directory",
            cause=f"a training run's output: the checkpoints lie in folders below it ({len(steps)} of them)",
            advice=f"name one of them, as {listing.path / last}",
        )
    if listing.like("optimizer.pt", "optimizer.bin", "trainer_state.json", "training_args.bin", "scheduler.pt"):
        return Notice(
            id="trainer-state",
            cause="a training state (optimizer, scheduler, trainer_state.json) without the model's weights",
            advice="name the directory that trainer.save_model() or save_pretrained() wrote",
        )
    return None


def _nested(listing: Listing) -> Notice | None:
    """A parent directory with a single checkpoint: a clone's parent, a hub cache's root."""
    if CONFIG_FILE in listing.files:
        return None
    if "snapshots" in listing.folders:
        revisions = sorted(names_in(listing.path / "snapshots")[1])
        inside = f"snapshots/{revisions[0]}" if revisions else "snapshots/REVISION"
        return Notice(
            id="hub-cache",
            cause="the hub cache's folder of a model, whose revisions lie below it",
            advice=f"name the hub id, or {listing.path / inside}",
        )
    inside = [name for name in sorted(listing.folders)[:200] if (listing.path / name / CONFIG_FILE).is_file()]
    if not inside:
        return None
    return Notice(
        id="directory-above",
        cause=f"no checkpoint, but {'folders' if len(inside) > 1 else 'a folder'} with one: {', '.join(inside[:4])}",
        advice=f"name {listing.path / inside[0]}",
    )


def _ctranslate2(listing: Listing) -> Notice | None:
    vocabularies = listing.like("shared_vocabulary.*", "source_vocabulary.*", "target_vocabulary.*", "vocabulary.*")
    content = json_object(listing.path, CONFIG_FILE) or {}
    converted = "model_type" not in content and bool({"add_source_bos", "layer_norm_epsilon"} & set(content))
    if "model.bin" not in listing.files or not (vocabularies or converted):
        return None
    return Notice(
        id="ctranslate2-directory",
        cause="a model converted for CTranslate2 (model.bin with its vocabulary)",
        advice=f"{AUDIT_SOURCE}: ct2-transformers-converter was given it as --model",
    )


def _fairseq(listing: Listing) -> Notice | None:
    files = listing.like("model.pt", "checkpoint*.pt")
    if not files or not listing.like("dict.txt", "dict.*.txt"):
        return None
    return Notice(
        id="fairseq-directory",
        cause=f"a fairseq model ({files[0]} and its dict.txt), whose names and numbering of tokens are fairseq's own",
        advice="convert it with transformers' convert_bart_original_pytorch_checkpoint_to_pytorch.py (mBART: "
        "convert_mbart_original_checkpoint_to_pytorch.py), compare it with what that writes (parity compare model.pt "
        "DIR), and audit that",
    )


def _keras(listing: Listing) -> Notice | None:
    content = json_object(listing.path, CONFIG_FILE) or {}
    preset = "registered_name" in content or listing.like("model.weights.h5", "task.json", "*.keras")
    if not preset or listing.has_weights:
        return None
    return Notice(
        id="keras-preset",
        cause="a Keras model (a KerasHub preset or a .keras file), not a checkpoint of transformers",
        advice="load it in KerasHub and export it (model.export_to_transformers(DIR) where the class has it), or audit "
        "the checkpoint that it was converted from",
    )


def _listed(
    identity: str, cause: str, advice: str, *patterns: str, folders: tuple[str, ...] = ()
) -> Callable[[Listing], Notice | None]:
    """A rule for a directory without transformers weights that has files or folders of these names."""

    def rule(listing: Listing) -> Notice | None:
        found = [*listing.like(*patterns), *(f"{name}/" for name in listing.folders_like(*folders))]
        if not found or listing.has_weights:
            return None
        shown = ", ".join(found[:3]) + (" …" if len(found) > 3 else "")
        return Notice(id=identity, cause=f"{cause} ({shown})", advice=advice)

    return rule


_onnx = _listed(
    "onnx-directory",
    "an ONNX export: graphs, without weights that transformers loads",
    AUDIT_SOURCE,
    "*.onnx",
    folders=("onnx",),
)
_others = (
    _listed("openvino-directory", "an OpenVINO export", AUDIT_SOURCE, "openvino_*.xml", "openvino_*.bin"),
    _listed("gguf-file", "a GGUF file for llama.cpp", f"{AUDIT_SOURCE} or quantised from", "*.gguf", "ggml-*.bin"),
    _listed("tflite-file", "a TensorFlow Lite model", AUDIT_SOURCE, "*.tflite"),
    _listed("coreml-model", "a Core ML model", AUDIT_SOURCE, "*.mlmodel", folders=("*.mlpackage", "*.mlmodelc")),
    _listed("tensorrt-engine", "a TensorRT engine", AUDIT_SOURCE, "*.engine", "*.plan"),
    _listed("torchscript-model", "a TorchScript or exported program", AUDIT_SOURCE, "*.torchscript", "*.pt2"),
    _listed(
        "tf-saved-model",
        "a TensorFlow SavedModel: a graph, not weights that from_pretrained loads",
        "load it where it was made and save it by save_pretrained (tf_model.h5)",
        "saved_model.pb",
        "saved_model.pbtxt",
    ),
    _listed(
        "tf-checkpoint",
        "a TensorFlow checkpoint: variables under the names of the program that wrote them",
        "load it into the model's TensorFlow class (model.load_weights) and save it by save_pretrained",
        "*.ckpt.index",
        "*.ckpt.meta",
        "*.ckpt-*.index",
        "*.ckpt-*.meta",
        "ckpt-*.index",
        "*.ckpt.data-*",
    ),
    _listed(
        "orbax-checkpoint",
        "a checkpoint of Orbax or T5X",
        "restore it and save it by the Flax class's save_pretrained (flax_model.msgpack)",
        "_CHECKPOINT_METADATA",
        "_METADATA",
        "manifest.ocdbt",
        folders=("ocdbt.process_*", "*.orbax-checkpoint-tmp*"),
    ),
    _listed(
        "lightning-checkpoint",
        "a checkpoint of PyTorch Lightning",
        "load it (LightningModule.load_from_checkpoint) and call save_pretrained on the model inside",
        "*.ckpt",
    ),
    _listed(
        "marian-model",
        "a model of the Marian toolkit",
        "convert_marian_to_pytorch.py of transformers converts it; Marian models are not audited here",
        "*.npz.decoder.yml",
        "decoder.yml",
        "*.npz.yml",
    ),
    _listed("diffusers-pipeline", "a pipeline of diffusers", "it holds no text model of its own", "model_index.json"),
    _listed("mlx-weights", "weights saved for MLX", AUDIT_SOURCE, "weights.npz", "weights.*.npz"),
    _listed("numpy-arrays", "arrays of NumPy, not weights that from_pretrained loads", AUDIT_SOURCE, "*.npz"),
    _listed("rust-bert-weights", "weights converted for rust-bert", AUDIT_SOURCE, "*.ot"),
    _listed("executorch-program", "a program of ExecuTorch", AUDIT_SOURCE, "*.pte"),
    _listed("paddle-weights", "weights of PaddlePaddle", AUDIT_SOURCE, "*.pdparams", "*.pdmodel"),
    _listed(
        "nemo-archive",
        "an archive of NVIDIA NeMo",
        "convert it with NeMo's script for its model, save it by save_pretrained, and audit that",
        "*.nemo",
    ),
    _listed("torchserve-archive", "an archive of TorchServe", AUDIT_SOURCE, "*.mar"),
    _listed(
        "archive",
        "an archive, and no checkpoint beside it",
        "unpack it and name the directory that is in it",
        "*.zip",
        "*.tar",
        "*.tar.*",
        "*.tgz",
        "*.7z",
    ),
)


def _other_names(listing: Listing) -> Notice | None:
    """Weights under a name that ``from_pretrained`` only looks for with an argument, or never."""
    if listing.has_weights:
        return None
    shards = listing.like(*(f"{stem}-*-of-*{ending}" for stem, ending in _stems()))
    if shards:
        return Notice(
            id="shards-without-index",
            cause=f"{len(shards)} shards ({shards[0]} …) without the index that says which tensor is where "
            f"({shards[0].partition('-')[0]}{Path(shards[0]).suffix}.index.json)",
            advice="fetch the index file too, or save the model anew",
        )
    variants = listing.like(*(f"{stem}.*{ending}" for stem, ending in _stems()))
    if variants:
        variant = variants[0].split(".")[1]
        return Notice(
            id="weights-of-a-variant",
            cause=f"the weights are {variants[0]}, which from_pretrained loads only when told variant={variant!r}",
            advice=f"load it with variant={variant!r} and save it anew, or copy the file under the plain name",
        )
    others = listing.like("*.safetensors", "*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack")
    others = [name for name in others if not name.startswith(("optimizer", "scheduler", "training_args", "rng_"))]
    if not others:
        return None
    names = ", ".join(known.file for known in FORMATS)
    return Notice(
        id="weights-of-another-name",
        cause=f"{', '.join(others[:3])}{' …' if len(others) > 3 else ''}: no name that from_pretrained looks for",
        advice=f"weights are looked for as {names}; save the model by save_pretrained, or name the file so",
    )


def _stems() -> list[tuple[str, str]]:
    return [(Path(known.file).stem, Path(known.file).suffix) for known in FORMATS]


def _without_config(listing: Listing) -> Notice | None:
    """Full weights without a config."""
    if CONFIG_FILE in listing.files or not listing.has_weights:
        return None
    return Notice(
        id="weights-without-config",
        cause=f"weights without their {CONFIG_FILE}, which says what model they are of",
        advice=f"put the {CONFIG_FILE} beside them that the model was trained with: model.config.save_pretrained(DIR)",
    )


def _only_tokenizer(listing: Listing) -> Notice | None:
    if not listing.like("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", "spiece.model"):
        return None
    if listing.has_weights or CONFIG_FILE in listing.files:
        return None
    return Notice(
        id="tokenizer-directory",
        cause="a tokenizer without its model: neither config.json nor weights",
        advice="name the directory that the model was saved to, or save both into one",
    )


_RULES: tuple[Callable[[Listing], Notice | None], ...] = (
    _empty,
    adapter,
    _ctranslate2,
    _fairseq,
    _onnx,
    _keras,
    _sharded_training,
    *_others,
    _trainer,
    _nested,
    _other_names,
    _without_config,
    _only_tokenizer,
)
"""In order: the first rule that matches determines the kind."""


def kind_of_file(path: Path) -> Notice:
    """Explains a path that is a file instead of a directory."""
    name = path.name.lower()
    if name.endswith(".gguf"):
        return Notice(id="gguf-file", cause="a GGUF file for llama.cpp", advice=f"{AUDIT_SOURCE} or quantised from")
    if name.endswith(".onnx"):
        return Notice(id="onnx-file", cause="an ONNX graph", advice=AUDIT_SOURCE)
    if name.endswith((".zip", ".tar", ".gz", ".tgz", ".zst", ".xz", ".7z")):
        return Notice(id="archive", cause="an archive", advice="unpack it and name the directory")
    if name.endswith((".keras", ".tflite", ".pb", ".pt2", ".mlmodel", ".engine", ".npz")):
        return Notice(id="exported-file", cause="a model of another format", advice=AUDIT_SOURCE)
    beside = (path.parent / CONFIG_FILE).is_file()
    directory = f"name its directory, {path.parent}" if beside else "put it into a directory with its config.json"
    return Notice(
        id="single-file",
        cause="a single file: a checkpoint is a directory with config.json beside its weights",
        advice=directory if beside else f"{directory}, under the name that save_pretrained gives it, and name that",
    )
