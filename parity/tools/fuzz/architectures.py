"""Random architectures of every family, as configs of the library, and weights; all sizes that may differ do differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from parity.tools.calibrate.plan import NARROWEST
from reference.names import Table

VOCAB, POSITIONS = (41, 90), 40
ACTIVATIONS = ("gelu", "gelu_new", "silu", "relu")
PAD, START, END = 1, 2, 3


class Choices(Protocol):
    """The random generator of a draw; numpy's, or hypothesis's, which shrinks towards the first and smallest values."""

    def integers(self, low: Any, high: Any = None, size: Any = None) -> Any: ...

    def random(self) -> float: ...

    def choice(self, options: Any, /) -> Any: ...


def width(rng: Choices) -> tuple[int, int]:
    """Heads, and a width that they divide: at least 16, because normalisation over a handful of numbers is
    ill-conditioned as in no trained model (``parity.tools.calibrate.plan.NARROWEST``)."""
    heads = int(rng.integers(1, 5))
    least = max(3, -(-NARROWEST // 2 // heads))
    return heads, heads * int(rng.integers(least, least + 5)) * 2


def widest(config: dict[str, Any]) -> int:
    """The maximum number of terms in the sums of a layer, except in feed-forward layers (they have fewer)."""
    parts = [config.get("encoder", config), config.get("decoder", config)]
    widths = [part[name] for part in parts for name in ("hidden_size", "n_embd", "d_model") if name in part]
    for part in parts:
        given = [1, *part.get("conv_dim", [])]
        widths += [channels * kernel for channels, kernel in zip(given, part.get("conv_kernel", []), strict=False)]
    return max(widths)


def bert(rng: Choices, model_type: str = "bert", **others: Any) -> dict[str, Any]:
    heads, hidden = width(rng)
    return {
        "model_type": model_type,
        "vocab_size": int(rng.integers(*VOCAB)),
        "hidden_size": hidden,
        "num_hidden_layers": int(rng.integers(1, 4)),
        "num_attention_heads": heads,
        "intermediate_size": int(rng.integers(9, 40)),
        "hidden_act": str(rng.choice(ACTIVATIONS)),
        "max_position_embeddings": POSITIONS + int(rng.integers(4, 9)),
        "type_vocab_size": int(rng.integers(1, 4)),
        "layer_norm_eps": float(rng.choice([1e-12, 1e-5])),
        "pad_token_id": PAD,
        "bos_token_id": START,
        "eos_token_id": END,
        "tie_word_embeddings": bool(rng.random() < 0.7),
        **others,
    }


def roberta(rng: Choices, **others: Any) -> dict[str, Any]:
    return bert(rng, "roberta", **others)


def bert_generation(rng: Choices, **others: Any) -> dict[str, Any]:
    return bert(rng, "bert-generation", **others)


def gpt2(rng: Choices, **others: Any) -> dict[str, Any]:
    heads, hidden = width(rng)
    return {
        "model_type": "gpt2",
        "vocab_size": int(rng.integers(*VOCAB)),
        "n_embd": hidden,
        "n_head": heads,
        "n_layer": int(rng.integers(1, 4)),
        "n_inner": [None, int(rng.integers(9, 40))][rng.integers(2)],
        "n_positions": POSITIONS,
        "activation_function": str(rng.choice(ACTIVATIONS)),
        "bos_token_id": START,
        "eos_token_id": END,
        "tie_word_embeddings": bool(rng.random() < 0.7),
        **others,
    }


def bart(rng: Choices, model_type: str = "bart", **others: Any) -> dict[str, Any]:
    encoder_heads, decoder_heads = (int(rng.integers(1, 4)) for _ in range(2))
    # The library creates the cache of a decoder without encoder with as many layers as the *encoder* has (transformers
    # 4.57.6, cache_utils.py, DynamicCache(config=...) on BartConfig.num_hidden_layers): equal numbers.
    layers = int(rng.integers(1, 4))
    heads = int(np.lcm(encoder_heads, decoder_heads))
    least = max(2, -(-NARROWEST // 2 // heads))
    return {
        "model_type": model_type,
        "vocab_size": int(rng.integers(*VOCAB)),
        "d_model": heads * int(rng.integers(least, least + 4)) * 2,
        "encoder_layers": layers,
        "decoder_layers": layers,
        "encoder_attention_heads": encoder_heads,
        "decoder_attention_heads": decoder_heads,
        "encoder_ffn_dim": int(rng.integers(9, 40)),
        "decoder_ffn_dim": int(rng.integers(9, 40)),
        "activation_function": str(rng.choice(ACTIVATIONS)),
        "max_position_embeddings": POSITIONS,
        "scale_embedding": bool(rng.integers(2)),
        "tie_word_embeddings": bool(rng.random() < 0.7),
        "pad_token_id": PAD,
        "bos_token_id": 0,
        "eos_token_id": END,
        "decoder_start_token_id": START,
        "forced_eos_token_id": None,
        **others,
    }


def mbart(rng: Choices, **others: Any) -> dict[str, Any]:
    return bart(rng, "mbart", **others)


def speech(rng: Choices, model_type: str = "wav2vec2", **others: Any) -> dict[str, Any]:
    heads, hidden = width(rng)
    layers = int(rng.integers(2, 4))
    adapter = {
        "add_adapter": True,
        "num_adapter_layers": int(rng.integers(1, 3)),
        "output_hidden_size": int(rng.choice([hidden, hidden + 4])),
    }
    own = adapter if model_type == "wav2vec2" and rng.integers(2) else {}
    if model_type == "hubert":
        own = {"conv_pos_batch_norm": bool(rng.integers(2)), "feat_proj_layer_norm": bool(rng.integers(2))}
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_hidden_layers": int(rng.integers(1, 4)),
        "intermediate_size": int(rng.integers(9, 40)),
        "hidden_act": str(rng.choice(ACTIVATIONS)),
        "conv_dim": rng.integers(NARROWEST, 25, layers).tolist(),
        "conv_kernel": rng.integers(2, 6, layers).tolist(),
        "conv_stride": rng.integers(1, 4, layers).tolist(),
        "num_feat_extract_layers": layers,
        "conv_bias": bool(rng.integers(2)),
        "feat_extract_norm": str(rng.choice(["group", "layer"])),
        "do_stable_layer_norm": bool(rng.integers(2)),
        "num_conv_pos_embeddings": int(rng.integers(2, 8)),
        "num_conv_pos_embedding_groups": int(rng.choice([g for g in (1, 2, heads) if hidden % g == 0])),
        "apply_spec_augment": False,
        **own,
        **others,
    }


def hubert(rng: Choices, **others: Any) -> dict[str, Any]:
    return speech(rng, "hubert", **others)


def composed(encoder: Callable[..., dict], decoder: Callable[..., dict]) -> Callable[[Choices], dict[str, Any]]:
    def draw(rng: Choices) -> dict[str, Any]:
        first = encoder(rng)
        second = decoder(rng, is_decoder=True, add_cross_attention=True)
        if first.get("output_hidden_size", 0) > first["hidden_size"]:
            # The library's projection has the encoder's own width as its input, not its adapter's (transformers 4.57.6,
            # modeling_speech_encoder_decoder.py, __init__): an adapter of another width must end in the decoder's.
            first["output_hidden_size"] = second.get("d_model") or second["hidden_size"]
        kind = "speech-encoder-decoder" if first["model_type"] in ("wav2vec2", "hubert") else "encoder-decoder"
        tokens = {"decoder_start_token_id": START, "pad_token_id": PAD, "eos_token_id": END}
        return {"model_type": kind, "encoder": first, "decoder": second, **tokens}

    return draw


def alone(decoder: Callable[..., dict]) -> Callable[[Choices], dict[str, Any]]:
    return lambda rng: decoder(rng, is_decoder=True, add_cross_attention=bool(rng.integers(2)))


def classifying(rng: Choices) -> dict[str, Any]:
    kind = str(rng.choice(["regression", "single_label_classification", "multi_label_classification"]))
    labels = int(rng.integers(2, 6))
    return bart(
        rng,
        problem_type=kind,
        id2label={str(n): f"L{n}" for n in range(labels)},
        label2id={f"L{n}": n for n in range(labels)},
    )


ARCHITECTURES: dict[str, tuple[str, Callable[[Choices], dict[str, Any]]]] = {
    "bart": ("BartForConditionalGeneration", bart),
    "bart-bare": ("BartModel", bart),
    "bart-classification": ("BartForSequenceClassification", classifying),
    "bart-answering": ("BartForQuestionAnswering", bart),
    "bart-causal": ("BartForCausalLM", alone(bart)),
    "mbart-causal": ("MBartForCausalLM", alone(mbart)),
    "bert-causal": ("BertLMHeadModel", alone(bert)),
    "roberta-causal": ("RobertaForCausalLM", alone(roberta)),
    "bert-generation-causal": ("BertGenerationDecoder", alone(bert_generation)),
    "gpt2-causal": ("GPT2LMHeadModel", alone(gpt2)),
    "bert2bert": ("EncoderDecoderModel", composed(bert, bert)),
    "bert2gpt2": ("EncoderDecoderModel", composed(bert, gpt2)),
    "bert2bart": ("EncoderDecoderModel", composed(bert, bart)),
    "roberta2roberta": ("EncoderDecoderModel", composed(roberta, roberta)),
    "bert-generation2bert-generation": ("EncoderDecoderModel", composed(bert_generation, bert_generation)),
    "roberta2mbart": ("EncoderDecoderModel", composed(roberta, mbart)),
    "wav2vec2bert": ("SpeechEncoderDecoderModel", composed(speech, bert)),
    "wav2vec2bart": ("SpeechEncoderDecoderModel", composed(speech, bart)),
    "wav2vec2mbart": ("SpeechEncoderDecoderModel", composed(speech, mbart)),
    "hubert2bert": ("SpeechEncoderDecoderModel", composed(hubert, bert)),
    "hubert2mbart": ("SpeechEncoderDecoderModel", composed(hubert, mbart)),
}
"""By name: the documented class, and the function that draws its config."""


def weights(table: Table, rng: np.random.Generator, spread: float = 0.3) -> dict[str, np.ndarray]:
    """Every canonical parameter in float64: no bias is zero, normalisation scales are around 1, stored variances >
    0."""
    drawn = {
        name: rng.normal(1.0 if is_scale(name) else 0.0, spread, parameter.shape)
        for name, parameter in table.expected().items()
    }
    return {name: np.abs(array) + 0.1 if "running_var" in name else array for name, array in drawn.items()}


def is_scale(name: str) -> bool:
    prefix, _, leaf = name.rpartition(".")
    module = prefix.rpartition(".")[2]
    return leaf == "weight" and ("norm" in module.lower() or module.startswith("ln_"))
