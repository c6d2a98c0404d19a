"""Mutants of attention: scale, heads, biases, omitted operations."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

WEIGHTS, STATES = "encoder.attention.0", "encoder.hidden.1"
EAGER = "attention:ATTENTIONS[eager]"


def _scaled(patch: Patches, factor) -> None:
    """Multiplies the queries by the result of ``factor`` for the arguments."""
    patch(EAGER, lambda original: lambda query, *others: original(query * factor(query), *others))


@mutant("attention-unscaled", "scores are not divided by sqrt(head_dim)", WEIGHTS)
def unscaled(patch: Patches) -> None:
    _scaled(patch, lambda query: query.shape[-1] ** 0.5)


@mutant("attention-scaled-by-width", "scores are divided by sqrt(d_model)", WEIGHTS)
def scaled_by_width(patch: Patches) -> None:
    _scaled(patch, lambda query: query.shape[1] ** -0.5)


@mutant(
    "attention-scaled-twice",
    "queries are scaled when projected, and scores are scaled again",
    WEIGHTS,
    history="transformers scaled queries after the projection before its attention functions did",
)
def scaled_twice(patch: Patches) -> None:
    _scaled(patch, lambda query: query.shape[-1] ** -0.5)


@mutant(
    "softmax-derivative-of-one-term",
    "the derivative of softmax omits the subtracted sum: only gradients are wrong",
    "gradient.model.decoder.layers.2.encoder_attn.k_proj.bias",
)
def derivative_of_one_term(patch: Patches) -> None:
    def make(original):
        def attend(query, key, value, *others):
            import torch

            _, weights = original(query, key, value, *others)
            held = weights.detach()
            # Only the numerator has a derivative: exp of the scores, divided by a constant denominator.
            scores = query @ key.mT * query.shape[-1] ** -0.5
            numerator = held * torch.exp(scores - scores.detach())
            return (held + numerator - numerator.detach()) @ value, weights

        return attend

    patch(EAGER, make)


@mutant(
    "keys-without-a-gradient",
    "keys are detached: no gradient flows through them",
    "gradient.model.decoder.layers.2.encoder_attn.k_proj.weight",
)
def keys_without_a_gradient(patch: Patches) -> None:
    patch(EAGER, lambda original: lambda query, key, *others: original(query, key.detach(), *others))


@mutant("heads-merged-wrong", "heads are merged by reshape without transposing heads and positions", STATES)
def merged_wrong(patch: Patches) -> None:
    def make(original):
        def merge_heads(context):
            batch, heads, length, head_dim = context.shape
            return context.reshape(batch, length, heads * head_dim)

        return merge_heads

    patch("attention:merge_heads", make)


@mutant("heads-interleaved", "d_model is split into [head_dim, heads] instead of [heads, head_dim]", WEIGHTS)
def interleaved(patch: Patches) -> None:
    def make(original):
        def split_heads(hidden, heads):
            batch, length, d_model = hidden.shape
            return hidden.reshape(batch, length, d_model // heads, heads).permute(0, 3, 1, 2)

        return split_heads

    patch("attention:split_heads", make)


def _without_bias(patch: Patches, projection: str) -> None:
    """Subtracts the bias from the output of one projection of every attention."""

    def make(original):
        def __init__(self, *arguments):
            original(self, *arguments)
            linear = getattr(self, projection)
            linear.register_forward_hook(lambda module, given, found: found - module.bias)

        return __init__

    patch("attention:Attention.__init__", make)


@mutant("query-bias-missing", "the query projection has no bias", WEIGHTS)
def query_bias(patch: Patches) -> None:
    _without_bias(patch, "q_proj")


@mutant("value-bias-missing", "the value projection has no bias", STATES)
def value_bias(patch: Patches) -> None:
    _without_bias(patch, "v_proj")


@mutant("key-bias-missing", "the key projection has no bias, which softmax cancels", "decoder.self_key.0")
def key_bias(patch: Patches) -> None:
    _without_bias(patch, "k_proj")


@mutant("output-bias-missing", "the output projection of attention has no bias", STATES)
def output_bias(patch: Patches) -> None:
    _without_bias(patch, "out_proj")


@mutant("dropout-in-evaluation", "dropout of 0.1 is applied to the feed-forward network's output", STATES)
def dropout(patch: Patches) -> None:
    def make(original):
        from torch.nn import functional

        return lambda self, hidden: functional.dropout(original(self, hidden), 0.1, training=True)

    patch("layers:EncoderLayer.feed_forward", make)


@mutant("head-mask-ignored", "head masks have no effect", WEIGHTS)
def head_mask_ignored(patch: Patches) -> None:
    patch(EAGER, lambda original: lambda query, key, value, keep, head_mask: original(query, key, value, keep, None))


@mutant("head-mask-inverted", "a head mask silences the heads that it marks with 1", WEIGHTS)
def head_mask_inverted(patch: Patches) -> None:
    def make(original):
        return lambda *given: original(*given[:-1], None if given[-1] is None else 1 - given[-1])

    patch(EAGER, make)


@mutant("cross-head-mask-ignored", "the head mask of cross-attention has no effect", "decoder.cross_attention.0")
def cross_head_mask_ignored(patch: Patches) -> None:
    patch("layers:DecoderLayer.forward", lambda original: lambda self, *given: original(self, *given[:-1], None))


@mutant("weights-in-half", "attention weights are rounded to float16", WEIGHTS)
def weights_in_half(patch: Patches) -> None:
    def make(original):
        def attend(query, key, value, keep, head_mask):
            weights = original(query, key, value, keep, head_mask)[1].half().to(value.dtype)
            return weights @ value, weights

        return attend

    patch(EAGER, make)


@mutant("scores-in-bfloat16", "queries and keys are rounded to bfloat16 before they are multiplied", WEIGHTS)
def scores_in_bfloat16(patch: Patches) -> None:
    def make(original):
        def attend(query, key, *others):
            return original(query.bfloat16().to(query.dtype), key.bfloat16().to(key.dtype), *others)

        return attend

    patch(EAGER, make)


@mutant(
    "one-head-a-thousandth-off",
    "the scores of one head of one decoder layer are multiplied by 1.001",
    "decoder.attention.1",
)
def one_head(patch: Patches) -> None:
    def make(original):
        def run(self, *given):
            attention = self.layers[1].self_attn
            attend, factors = attention.attend, [1.0] * attention.heads
            factors[-1] = 1.001
            attention.attend = lambda query, *others: attend(query * query.new_tensor(factors)[:, None, None], *others)
            try:
                return original(self, *given)
            finally:
                attention.attend = attend

        return run

    patch("stacks:DecoderStack.run", make)
