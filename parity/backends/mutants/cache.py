"""Mutants of the decoder's cache: contents, positions, and rows."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

KEY, CROSS = "decoder.self_key.0", "decoder.cross_key.0"


@mutant(
    "cache-written-one-early",
    "each step overwrites the previous token's keys and values in the cache",
    KEY,
    writes=True,
)
def one_early(patch: Patches) -> None:
    patch("cache:KeysValues.written", lambda original: lambda self, new, start: original(self, new, max(start - 1, 0)))


@mutant("cache-not-written", "keys and values of a step are not stored in the cache", KEY, writes=True)
def not_written(patch: Patches) -> None:
    def make(original):
        def step(self, ids, cache, *masks):
            from reference.in_torch.cache import Cache

            output, after = original(self, ids, cache, *masks)
            return output, (after if cache.length == 0 else Cache(cache.layers, after.length))

        return step

    patch("seq2seq:TextDecoder.step", make)


@mutant(
    "positions-ignore-the-past",
    "positions of each step start at 0, regardless of the cache's length",
    "decoder.hidden.0",
    writes=True,
    history="transformers #9183: RoBERTa's positions with a cache",
)
def positions(patch: Patches) -> None:
    patch("bart:BartDecoder.embed", lambda original: lambda self, embedded, start: original(self, embedded, 0))


@mutant("positions-one-ahead", "with a cache, positions are one too large", "decoder.hidden.0", writes=True)
def positions_ahead(patch: Patches) -> None:
    patch(
        "bart:BartDecoder.embed",
        lambda original: lambda self, embedded, start: original(self, embedded, start + 1 if start else 0),
    )


@mutant(
    "cross-cache-stale",
    "keys and values of the source are those of the first source with the same shape",
    CROSS,
    writes=True,
)
def stale(patch: Patches) -> None:
    def make(original):
        def empty_layers(self, memory, *size):
            first = self.__dict__.setdefault("_first_seen", {})
            return first.setdefault((tuple(memory.shape), *size), original(self, memory, *size))

        return empty_layers

    patch("seq2seq:TextDecoder._empty_layers", make)


@mutant(
    "beams-not-reordered",
    "reordering rows leaves the self-attention cache in place",
    "decoder.attention.0",
    writes=True,
    history="a class whose _reorder_cache is missing or does nothing",
)
def not_reordered(patch: Patches) -> None:
    def reordered(original):
        def reordered(self, index):
            if len(index) != len(self.layers[0].own.key):
                return original(self, index)
            moved = original(self, index)
            layers = tuple(now._replace(own=was.own) for now, was in zip(moved.layers, self.layers, strict=True))
            return type(self)(layers, self.length)

        return reordered

    patch("cache:Cache.reordered", reordered)
    patch("generation:CachedDecoder.reorder", lambda original: lambda self, rows: None)


@mutant(
    "source-not-reordered", "reordering rows leaves the cross-attention cache in place", "decoder.cross_attention.0"
)
def source_not_reordered(patch: Patches) -> None:
    def make(original):
        def reordered(self, index):
            moved = original(self, index)
            layers = tuple(now._replace(cross=was.cross) for now, was in zip(moved.layers, self.layers, strict=True))
            return type(self)(layers, self.length)

        return reordered

    patch("cache:Cache.reordered", make)


@mutant("cache-cut-one-short", "the returned cache lacks its last position", KEY)
def cut_short(patch: Patches) -> None:
    patch("cache:KeysValues.cut", lambda original: lambda self, length: original(self, length - 1))


@mutant("cache-in-bfloat16", "keys and values are rounded to bfloat16 in the cache", KEY, writes=True)
def in_bfloat16(patch: Patches) -> None:
    def make(original):
        def written(self, new, start):
            return original(self, type(new)(*(array.bfloat16().to(array.dtype) for array in new)), start)

        return written

    patch("cache:KeysValues.written", make)


@mutant("keys-and-values-exchanged", "the returned cache has values before keys", KEY)
def exchanged(patch: Patches) -> None:
    def make(original):
        def past_key_values(self):
            return tuple((layer[1], layer[0], *layer[2:]) for layer in original(self))

        return past_key_values

    patch("cache:Cache.past_key_values", make)


@mutant(
    "cross-mask-dropped-with-a-past",
    "from the second step on, cross-attention includes the source's padding",
    "decoder.cross_attention.0",
    writes=True,
)
def cross_mask_dropped(patch: Patches) -> None:
    def make(original):
        def step(self, ids, cache, mask=None, own=None):
            return original(self, ids, cache, None if cache.length else mask, own)

        return step

    patch("seq2seq:TextDecoder.step", make)


@mutant(
    "chunk-sees-its-future",
    "with a cache, the tokens of one step also attend to later tokens of that step",
    "decoder.attention.0",
)
def chunk(patch: Patches) -> None:
    def make(original):
        def causal_mask(attention_mask, start, queries):
            keep = original(attention_mask, start, queries)
            return keep[:, :, -1:].expand(keep.shape) if start else keep

        return causal_mask

    patch("seq2seq:causal_mask", make)


@mutant(
    "window-of-four",
    "with a cache, a token attends only to the last four positions",
    "decoder.attention.0",
    writes=True,
)
def window(patch: Patches) -> None:
    def make(original):
        def causal_mask(attention_mask, start, queries):
            import torch

            near = torch.arange(attention_mask.shape[1]) > start - 4
            return (
                original(attention_mask, start, queries) & near if start else original(attention_mask, start, queries)
            )

        return causal_mask

    patch("seq2seq:causal_mask", make)
