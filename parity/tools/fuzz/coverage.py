"""The values of each axis of the configuration space that the examples covered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from parity.tools.fuzz.architectures import ACTIVATIONS
from parity.tools.fuzz.example import AUDITED, LONGEST_TEXT, Example

Read = Callable[[Example], Iterable[Any]]


def _halves(example: Example) -> list[dict[str, Any]]:
    config = example.config
    return [config[half] for half in ("encoder", "decoder") if half in config] or [config]


def _fields(*names: str) -> Read:
    """The values of whichever of these fields the halves of a config have."""
    return lambda example: [half[name] for half in _halves(example) for name in names if half.get(name) is not None]


def _setting(name: str) -> Read:
    return lambda example: [example.generation[name]] if name in example.generation else []


def _given(name: str) -> Read:
    return lambda example: [example.generation[name] is not None] if name in example.generation else []


def _bucket(number: int) -> str:
    """The power of two below which a number is."""
    return f"<{1 << max(1, int(number).bit_length())}"


BOTH = (False, True)
AXES: dict[str, tuple[tuple[Any, ...], Read]] = {
    "family": (AUDITED, lambda e: [e.family]),
    "activation": (ACTIVATIONS, _fields("activation_function", "hidden_act")),
    "layers": ((1, 2, 3), _fields("encoder_layers", "decoder_layers", "num_hidden_layers", "n_layer")),
    "heads": (
        (1, 2, 3, 4),
        _fields("encoder_attention_heads", "decoder_attention_heads", "num_attention_heads", "n_head"),
    ),
    "width": (("<32", "<64"), lambda e: map(_bucket, _fields("d_model", "hidden_size", "n_embd")(e))),
    "feed-forward": (
        ("<16", "<32", "<64"),
        lambda e: map(_bucket, _fields("encoder_ffn_dim", "decoder_ffn_dim", "intermediate_size", "n_inner")(e)),
    ),
    "scaled embedding": (BOTH, _fields("scale_embedding")),
    "tied head": (BOTH, _fields("tie_word_embeddings")),
    "epsilon of norms": ((1e-12, 1e-5), _fields("layer_norm_eps")),
    "token types": ((1, 2, 3), _fields("type_vocab_size")),
    "norm of audio": (("group", "layer"), _fields("feat_extract_norm")),
    "stable norm": (BOTH, _fields("do_stable_layer_norm")),
    "adapter": ((True,), _fields("add_adapter")),
    "problem": (
        ("regression", "single_label_classification", "multi_label_classification"),
        _fields("problem_type"),
    ),
    "spread": (("<0.1", "<0.2", "<0.4"), lambda e: [next(f"<{b}" for b in (0.1, 0.2, 0.4) if e.spread < b)]),
    "rows": ((1, 2, 3, 4), lambda e: [len(e.lengths)]),
    "ragged": (BOTH, lambda e: [len({source for source, _ in e.lengths}) > 1]),
    "source tokens": (("1", "2–8", "more"), lambda e: [_length(source) for source, _ in e.lengths]),
    "target tokens": (("1", "2–8", "more"), lambda e: [_length(target) for _, target in e.lengths]),
    "padding": (("right", "left"), lambda e: [e.padding]),
    "masked row": (BOTH, lambda e: [e.masked]),
    "ignored labels": (BOTH, lambda e: [bool(e.ignored)]),
    "beams": ((1, 2, 3), _setting("num_beams")),
    "longest text": (tuple(range(3, LONGEST_TEXT + 1)), _setting("max_length")),
    "length penalty": ((0.5, 1.0, 2.0), _setting("length_penalty")),
    "no repeats": ((0, 2, 3), _setting("no_repeat_ngram_size")),
    "early stopping": (BOTH, _setting("early_stopping")),
    "shortest text": (("none", "some"), lambda e: ["some" if n else "none" for n in _setting("min_length")(e)]),
    "forced begin": (BOTH, _given("forced_bos_token_id")),
    "forced end": (BOTH, _given("forced_eos_token_id")),
}
"""By axis, the possible values, and the function that reads them from an example: no values where it lacks the axis."""


def _length(tokens: int) -> str:
    return "1" if tokens == 1 else "2–8" if tokens <= 8 else "more"


class Coverage:
    """How many examples had each value of each axis."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[Any]] = {axis: Counter() for axis in AXES}
        self.examples = 0

    def add(self, example: Example) -> None:
        self.examples += 1
        for axis, (_, read) in AXES.items():
            self.counts[axis].update(set(read(example)))

    def missing(self) -> dict[str, list[Any]]:
        """By axis, the values that no example had."""
        found = {axis: [v for v in values if not self.counts[axis][v]] for axis, (values, _) in AXES.items()}
        return {axis: values for axis, values in found.items() if values}

    def seen(self) -> tuple[int, int]:
        """The number of values that were covered, and the number of all values."""
        total = sum(len(values) for values, _ in AXES.values())
        return total - sum(map(len, self.missing().values())), total
