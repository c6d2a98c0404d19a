"""Mutants of attention masks."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

ENCODER, DECODER, CROSS = "encoder.attention.0", "decoder.attention.0", "decoder.cross_attention.0"


def _over(attention_mask, start, queries):
    """Positions of keys, positions of queries, and the mask of non-padding keys, as in ``causal_mask``."""
    import torch

    keys = torch.arange(attention_mask.shape[1])
    return keys[None, :], torch.arange(start, start + queries)[:, None], (attention_mask != 0)[:, None, None, :]


@mutant("mask-polarity", "the encoder hides tokens and sees padding", ENCODER)
def polarity(patch: Patches) -> None:
    patch("bart:padding_mask", lambda original: lambda attention_mask: ~original(attention_mask))


@mutant("encoder-mask-forgotten", "the encoder sees padding", ENCODER)
def encoder_forgotten(patch: Patches) -> None:
    patch("bart:padding_mask", lambda original: lambda attention_mask: original(attention_mask.abs() + 1))


@mutant("causal-transposed", "every decoder position sees the later ones instead of the earlier", DECODER)
def transposed(patch: Patches) -> None:
    def make(original):
        def causal_mask(attention_mask, start, queries):
            keys, asking, kept = _over(attention_mask, start, queries)
            return kept & (keys >= asking)

        return causal_mask

    patch("seq2seq:causal_mask", make)


@mutant("causal-one-too-many", "every decoder position sees one token of its future", DECODER)
def one_too_many(patch: Patches) -> None:
    def make(original):
        def causal_mask(attention_mask, start, queries):
            keys, asking, kept = _over(attention_mask, start, queries)
            return kept & (keys <= asking + 1)

        return causal_mask

    patch("seq2seq:causal_mask", make)


@mutant("causal-one-too-few", "no decoder position sees itself", DECODER)
def one_too_few(patch: Patches) -> None:
    def make(original):
        def causal_mask(attention_mask, start, queries):
            keys, asking, kept = _over(attention_mask, start, queries)
            return kept & (keys < asking)

        return causal_mask

    patch("seq2seq:causal_mask", make)


@mutant("causal-mask-missing", "the decoder sees its whole input, as an encoder does", DECODER)
def missing(patch: Patches) -> None:
    def make(original):
        return lambda attention_mask, start, queries: (attention_mask != 0)[:, None, None, :].repeat(1, 1, queries, 1)

    patch("seq2seq:causal_mask", make)


@mutant("decoder-mask-ignored", "padding among the decoder's inputs is seen though a mask hides it", DECODER)
def decoder_ignored(patch: Patches) -> None:
    patch(
        "seq2seq:causal_mask",
        lambda original: lambda attention_mask, *where: original(attention_mask.new_ones(attention_mask.shape), *where),
    )


@mutant(
    "cross-padding-seen",
    "cross-attention sees the source's padding",
    CROSS,
    history="transformers #1455: the source's mask has to be handed to the decoder as well",
)
def cross_padding(patch: Patches) -> None:
    patch("seq2seq:padding_mask", lambda original: lambda attention_mask: original(attention_mask.abs() + 1))


@mutant("mask-leaks", "what is masked loses 9 of its score instead of all of it", ENCODER)
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


@mutant(
    "mask-after-softmax", "masked weights are set to zero after the softmax, and the others left as they are", ENCODER
)
def after_softmax(patch: Patches) -> None:
    def make(original):
        import torch

        def attend(query, key, value, keep, head_mask):
            weights = torch.softmax(query @ key.mT * query.shape[-1] ** -0.5, dim=-1) * keep
            weights = weights if head_mask is None else weights * head_mask[:, None, None]
            return weights @ value, weights

        return attend

    patch("attention:ATTENTIONS[eager]", make)


@mutant("mask-of-first-row", "every row of the batch is given the first row's padding mask", ENCODER)
def first_row(patch: Patches) -> None:
    patch(
        "bart:padding_mask",
        lambda original: lambda attention_mask: original(attention_mask[:1].expand(attention_mask.shape)),
    )


@mutant(
    "masked-row-frees-all",
    "where one row of the batch is masked entirely, no row's padding is hidden",
    ENCODER,
    history="transformers #26572 and #30311: when such rows are freed, and when a mask is dropped for a whole batch",
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
    "a row without any key is NaN, and 0 times NaN reaches the other rows",
    "encoder.hidden.1",
    history="pytorch #103749 and #110213, curated-transformers #360: zero times NaN is still NaN",
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
