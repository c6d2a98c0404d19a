"""Mutants of attention masks."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

ENCODER, DECODER, CROSS = "encoder.attention.0", "decoder.attention.0", "decoder.cross_attention.0"


def _over(attention_mask, start, queries):
    """Positions of keys, positions of queries, and the mask of non-padding keys, as in ``causal_mask``."""
    import torch

    keys = torch.arange(attention_mask.shape[1])
    return keys[None, :], torch.arange(start, start + queries)[:, None], (attention_mask != 0)[:, None, None, :]


@mutant("mask-polarity", "the encoder's mask is inverted: tokens are masked, padding is not", ENCODER)
def polarity(patch: Patches) -> None:
    patch("bart:padding_mask", lambda original: lambda attention_mask: ~original(attention_mask))


@mutant("encoder-mask-forgotten", "the encoder does not mask padding", ENCODER)
def encoder_forgotten(patch: Patches) -> None:
    patch("bart:padding_mask", lambda original: lambda attention_mask: original(attention_mask.abs() + 1))


@mutant("causal-transposed", "decoder positions attend to later positions instead of earlier ones", DECODER)
def transposed(patch: Patches) -> None:
    def make(original):
        def causal_mask(attention_mask, start, queries):
            keys, query_positions, allowed = _over(attention_mask, start, queries)
            return allowed & (keys >= query_positions)

        return causal_mask

    patch("seq2seq:causal_mask", make)


@mutant("causal-one-too-many", "decoder positions also attend to the next position", DECODER)
def one_too_many(patch: Patches) -> None:
    def make(original):
        def causal_mask(attention_mask, start, queries):
            keys, query_positions, allowed = _over(attention_mask, start, queries)
            return allowed & (keys <= query_positions + 1)

        return causal_mask

    patch("seq2seq:causal_mask", make)


@mutant("causal-one-too-few", "decoder positions do not attend to themselves", DECODER)
def one_too_few(patch: Patches) -> None:
    def make(original):
        def causal_mask(attention_mask, start, queries):
            keys, query_positions, allowed = _over(attention_mask, start, queries)
            return allowed & (keys < query_positions)

        return causal_mask

    patch("seq2seq:causal_mask", make)


@mutant("causal-mask-missing", "the decoder has no causal mask", DECODER)
def missing(patch: Patches) -> None:
    def make(original):
        return lambda attention_mask, start, queries: (attention_mask != 0)[:, None, None, :].repeat(1, 1, queries, 1)

    patch("seq2seq:causal_mask", make)


@mutant("decoder-mask-ignored", "decoder_attention_mask has no effect", DECODER)
def decoder_ignored(patch: Patches) -> None:
    patch(
        "seq2seq:causal_mask",
        lambda original: lambda attention_mask, *where: original(attention_mask.new_ones(attention_mask.shape), *where),
    )


@mutant(
    "cross-padding-seen",
    "cross-attention does not mask the source's padding",
    CROSS,
    history="transformers #1455: the decoder needs the source's mask as well",
)
def cross_padding(patch: Patches) -> None:
    patch("seq2seq:padding_mask", lambda original: lambda attention_mask: original(attention_mask.abs() + 1))


@mutant("mask-leaks", "masked scores are reduced by 9 instead of set to -inf", ENCODER)
def leaks(patch: Patches) -> None:
    def make(original):
        import torch

        def attend(query, key, value, keep, head_mask):
            scores = query @ key.mT * query.shape[-1] ** -0.5
            weights = torch.softmax(torch.where(keep, scores, scores - 9.0), dim=-1)
            weights = weights if head_mask is None else weights * head_mask[:, None, None]
            return weights @ value, weights

        return attend

    patch("attention:ATTENTIONS[eager]", make)


@mutant("mask-after-softmax", "masked weights are set to zero after softmax without renormalising the others", ENCODER)
def after_softmax(patch: Patches) -> None:
    def make(original):
        import torch

        def attend(query, key, value, keep, head_mask):
            weights = torch.softmax(query @ key.mT * query.shape[-1] ** -0.5, dim=-1) * keep
            weights = weights if head_mask is None else weights * head_mask[:, None, None]
            return weights @ value, weights

        return attend

    patch("attention:ATTENTIONS[eager]", make)


@mutant("mask-of-first-row", "every row of the batch uses the first row's padding mask", ENCODER)
def first_row(patch: Patches) -> None:
    patch(
        "bart:padding_mask",
        lambda original: lambda attention_mask: original(attention_mask[:1].expand(attention_mask.shape)),
    )


@mutant(
    "masked-row-frees-all",
    "if one row of the batch is fully masked, padding of the other rows is not masked",
    ENCODER,
    history="transformers #26572 and #30311: handling of fully masked rows, and masks dropped for a whole batch",
)
def frees_all(patch: Patches) -> None:
    def make(original):
        def padding_mask(attention_mask):
            empty = bool((attention_mask == 0).all(dim=1).any())
            return original(attention_mask * 0 + 1 if empty else attention_mask)

        return padding_mask

    patch("bart:padding_mask", make)


@mutant(
    "masked-row-is-nan-for-all",
    "a fully masked row is NaN, and 0 · NaN reaches the other rows",
    "encoder.hidden.1",
    history="pytorch #103749 and #110213, curated-transformers #360: 0 · NaN is NaN",
)
def nan_for_all(patch: Patches) -> None:
    def make(original):
        def attend(query, key, value, keep, head_mask):
            context, weights = original(query, key, value, keep, head_mask)
            empty = ~keep.any(dim=-1, keepdim=True)
            context = context.masked_fill(empty, float("nan"))
            return context + 0 * context.sum(dim=0, keepdim=True), weights

        return attend

    patch("attention:ATTENTIONS[eager]", make)
