"""Run by path in a stack's interpreter: makes each recipe's model by the library's own classes and saves it.

``python in_stack.py JOB`` where JOB is a JSON file: ``framework``, ``recipes`` and ``out``, the directory they go to.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

JOB = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
FRAMEWORK = JOB["framework"]
for name in ("torch", "tf", "flax", "jax"):
    # Each framework is imported alone, beside torch; "1" instead of "AUTO" would hide the others.
    os.environ[f"USE_{name.upper()}"] = "AUTO" if name in (FRAMEWORK, "torch") else "0"
if FRAMEWORK == "flax":
    os.environ["USE_JAX"] = "AUTO"
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TF_CPP_MIN_LOG_LEVEL="3")

import numpy as np  # noqa: E402
import transformers  # noqa: E402

PREFIX = {"torch": "", "tf": "TF", "flax": "Flax"}[FRAMEWORK]
TOKENS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
BYTE_TOKENS = 263
"""Five special tokens, the bytes, and two merges."""


def sizes(recipe: dict, rng: np.random.Generator) -> dict:
    """Sizes of one BART: no two axes alike, as small as they may be."""
    heads, vocabulary = int(rng.integers(2, 5)), int(rng.integers(53, 97))
    return {
        "vocab_size": BYTE_TOKENS if recipe["tokenizer"] else vocabulary,
        "d_model": heads * int(rng.integers(3, 7)) * 2,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": int(rng.integers(20, 40)),
        "decoder_ffn_dim": int(rng.integers(20, 40)),
        "max_position_embeddings": int(rng.integers(36, 48)),
    }


def bart(recipe: dict, rng: np.random.Generator, kind: str = "Bart", **others: object) -> object:
    config = getattr(transformers, f"{kind}Config")
    tokens = {**TOKENS, "decoder_start_token_id": 2, "forced_eos_token_id": 2}
    return config(**{**sizes(recipe, rng), **tokens, "num_labels": 3, **others})


def half(kind: str, width: int, rng: np.random.Generator, decodes: bool) -> object:
    """The config of one half of a composition."""
    vocabulary = int(rng.integers(50, 80))
    after = {"is_decoder": True, "add_cross_attention": True} if decodes else {}
    if kind in ("bart", "mbart"):
        sized = {
            "vocab_size": vocabulary,
            "d_model": width,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 28,
            "decoder_ffn_dim": 28,
            "max_position_embeddings": 36,
        }
        named = transformers.BartConfig if kind == "bart" else transformers.MBartConfig
        return named(**sized, **TOKENS, decoder_start_token_id=2, **after)
    if kind == "gpt2":
        return transformers.GPT2Config(
            vocab_size=vocabulary,
            n_embd=width,
            n_head=2,
            n_layer=2,
            n_positions=36,
            bos_token_id=0,
            eos_token_id=2,
            **after,
        )
    if kind in ("wav2vec2", "hubert"):
        named = transformers.Wav2Vec2Config if kind == "wav2vec2" else transformers.HubertConfig
        return named(
            hidden_size=width,
            num_attention_heads=2,
            intermediate_size=28,
            num_hidden_layers=2,
            conv_dim=(10, 14),
            conv_kernel=(5, 3),
            conv_stride=(3, 2),
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
            feat_extract_norm="layer",
            conv_bias=True,
            do_stable_layer_norm=True,
            apply_spec_augment=False,
        )
    named = {
        "bert": transformers.BertConfig,
        "roberta": transformers.RobertaConfig,
        "bert-generation": transformers.BertGenerationConfig,
    }[kind]
    sized = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_attention_heads": 2,
        "intermediate_size": 30,
        "num_hidden_layers": 2,
        "max_position_embeddings": 40,
    }
    return named(**sized, **TOKENS, **after)


def spread(model: object, rng: np.random.Generator) -> None:
    """Draws every weight anew with a visible deviation, norms around one, no bias zero."""

    def drawn(name: str, shape: tuple[int, ...], now: np.ndarray) -> np.ndarray:
        values = rng.standard_normal(shape).astype(np.float32)
        norm = (
            "norm" in name.lower()
            and len(shape) == 1
            and name.lower().endswith(("weight", "gamma", "gamma:0", "scale"))
        )
        if norm:
            return 1 + 0.1 * values
        return values * (0.2 if len(shape) > 1 else 0.05)

    if FRAMEWORK == "torch":
        import torch

        named = [*model.named_parameters(), *((n, b) for n, b in model.named_buffers() if n.endswith("logits_bias"))]
        with torch.no_grad():
            for name, value in named:
                value.copy_(torch.tensor(drawn(name, tuple(value.shape), None)))
    elif FRAMEWORK == "tf":
        for variable in model.weights:
            variable.assign(drawn(variable.name, tuple(variable.shape), None))
    else:
        from flax.traverse_util import flatten_dict, unflatten_dict

        flat = flatten_dict(model.params)
        model.params = unflatten_dict({k: drawn("/".join(k), tuple(v.shape), None) for k, v in flat.items()})


def one_table(model: object) -> None:
    """Documented is one table for source and target, also where the head has its own; transformers 5 then has three."""
    import torch

    named = dict(model.named_parameters())
    prefix = "model." if "model.shared.weight" in named else ""
    with torch.no_grad():
        for half in ("encoder", "decoder"):
            own = named.get(f"{prefix}{half}.embed_tokens.weight")
            if own is not None and f"{prefix}shared.weight" in named:
                own.copy_(named[f"{prefix}shared.weight"])


def composition(recipe: dict, rng: np.random.Generator) -> object:
    """As documented: of two configs, or of two checkpoints that were saved before; then the tokens are named."""
    width = 4 * int(rng.integers(4, 8))
    encoder, decoder = (
        half(kind, width, rng, decodes) for kind, decodes in zip(recipe["halves"], (False, True), strict=True)
    )
    composed = getattr(transformers, f"{PREFIX}{recipe['documented']}")
    if recipe["pretrained"] and FRAMEWORK == "torch":
        with tempfile.TemporaryDirectory() as folder:
            first, second = f"{folder}/encoder", f"{folder}/decoder"
            transformers.AutoModel.from_config(encoder).save_pretrained(first)
            transformers.AutoModelForCausalLM.from_config(decoder).save_pretrained(second)
            model = composed.from_encoder_decoder_pretrained(first, second)
    else:
        kind = "Speech" if recipe["documented"].startswith("Speech") else ""
        config = getattr(transformers, f"{kind}EncoderDecoderConfig").from_encoder_decoder_configs(encoder, decoder)
        model = composed(config=config) if FRAMEWORK != "flax" else composed(config)
    if not recipe["tied"]:
        model.config.tie_word_embeddings = model.config.decoder.tie_word_embeddings = False
        model = composed(config=model.config)
    left_out = {
        "set": (),
        "no-eos": ("eos",),
        "no-start": ("start",),
        "no-pad": ("pad",),
        "none": ("eos", "start", "pad"),
    }
    tokens = {"eos": ("eos_token_id", 2), "start": ("decoder_start_token_id", 0), "pad": ("pad_token_id", 1)}
    for word, (name, value) in tokens.items():
        if word not in left_out[recipe["ids"]]:
            setattr(model.config, name, value)
            if getattr(model, "generation_config", None) is not None:
                setattr(model.generation_config, name, value)
    return model


def tokenizer(folder: Path) -> object:
    """A byte-level tokenizer with a vocabulary of its own."""
    known = sorted({*range(33, 127), *range(161, 173), *range(174, 256)})
    letters = [chr(code) for code in known] + [chr(256 + n) for n in range(256 - len(known))]
    words = ["<s>", "<pad>", "</s>", "<unk>", *letters, "th", "the"]
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BartTokenizer"}), encoding="utf-8")
    return transformers.BartTokenizer.from_pretrained(str(folder))


def make(recipe: dict, out: Path) -> None:
    rng = np.random.default_rng(recipe["seed"])
    if FRAMEWORK == "torch":
        import torch

        torch.manual_seed(recipe["seed"])
    if recipe["halves"]:
        model = composition(recipe, rng)
    else:
        config = bart(recipe, rng, tie_word_embeddings=recipe["tied"])
        model = getattr(transformers, f"{PREFIX}{recipe['documented']}")(config)
    if FRAMEWORK == "tf":
        model.build_in_name_scope() if hasattr(model, "build_in_name_scope") else model(model.dummy_inputs)
    if recipe["spread"]:
        spread(model, rng)
    if FRAMEWORK == "torch" and not recipe["halves"]:
        one_table(model)
    if recipe["tokenizer"]:
        with tempfile.TemporaryDirectory() as folder:
            words = tokenizer(Path(folder))
            if recipe["added"]:
                words.add_tokens([f"<extra{n}>" for n in range(recipe["added"])])
            words.save_pretrained(str(out))
    grown = recipe["resized"] or recipe["added"]
    if grown:
        model.resize_token_embeddings(model.config.vocab_size + grown)
    if recipe["generation"]:
        generation = getattr(model, "generation_config", None)
        for name, value in recipe["generation"].items():
            setattr(model.config if generation is None else generation, name, value)
    save(model, recipe, out)
    if recipe["old_fields"]:
        path = out / "config.json"
        content = {**json.loads(path.read_text(encoding="utf-8")), **recipe["old_fields"]}
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def save(model: object, recipe: dict, out: Path) -> None:
    form, arguments = recipe["form"], {}
    if form.endswith("sharded"):
        arguments["max_shard_size"] = "20KB"
    if not transformers.__version__.startswith("5"):
        arguments["safe_serialization"] = form in ("safetensors", "sharded")
    if recipe["dtype"] != "float32" and FRAMEWORK == "torch":
        import torch

        model = model.to(getattr(torch, recipe["dtype"]))
    if recipe["dtype"] == "bfloat16" and FRAMEWORK == "flax":
        model.params = model.to_bf16(model.params)
    model.save_pretrained(str(out), **arguments)


def main() -> None:
    failed = 0
    for recipe in JOB["recipes"]:
        out = Path(JOB["out"]) / recipe["name"]
        part = out.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            make(recipe, part)
            part.rename(out)
        except Exception as error:
            failed += 1
            shutil.rmtree(part, ignore_errors=True)
            print(f"{recipe['name']}: {type(error).__name__}: {' '.join(str(error).split())[:300]}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
