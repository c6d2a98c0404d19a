"""A model of a user's own, with and without faults: as the library's class, a module of other names, and a function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

ROW, LAYER = 3, 0
"""The changed row of the first feed-forward matrix of this decoder layer."""


def library(checkpoint: Path) -> nn.Module:
    import transformers

    return transformers.BartForConditionalGeneration.from_pretrained(checkpoint, attn_implementation="eager")


class Renamed(nn.Module):
    """Another interface and other parameter names: it returns a tuple of logits, or of the loss and logits."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.net = inner

    def forward(self, input_ids, attention_mask, decoder_input_ids=None, decoder_attention_mask=None, labels=None):
        found = self.net(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            labels=labels,
        )
        return (found.logits,) if labels is None else (found.loss, found.logits)


class Logits(nn.Module):
    """Three arguments, and logits alone."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, input_ids, attention_mask, decoder_input_ids):
        return self.inner(input_ids, attention_mask, decoder_input_ids).logits


def rename(name: str) -> str:
    return name.removeprefix("net.")


def layers(module: Renamed) -> dict[str, str]:
    """The submodules whose outputs are the layers' states."""
    found = {}
    for half in ("encoder", "decoder"):
        found[f"{half}.hidden.0"] = f"net.model.{half}.layernorm_embedding"
        for index in range(len(getattr(module.net.model, half).layers)):
            found[f"{half}.hidden.{index + 1}"] = f"net.model.{half}.layers.{index}"
    return found


def renamed(checkpoint: Path) -> dict[str, object]:
    module = Renamed(library(checkpoint))
    return {"model": module, "rename": rename, "capture": layers(module)}


def scaled_row(model: nn.Module) -> nn.Module:
    """One row of one layer off by 1 %."""
    bart = getattr(model, "net", model)
    with torch.no_grad():
        bart.model.decoder.layers[LAYER].fc1.weight[ROW] *= 1.01
    return model


def tanh_gelu(model: nn.Module) -> nn.Module:
    """The tanh form of gelu in one encoder layer."""
    bart = getattr(model, "net", model)
    bart.model.encoder.layers[1].activation_fn = nn.GELU(approximate="tanh")
    return model


class Unshifted(Renamed):
    """The decoder reads the labels themselves."""

    def forward(self, input_ids, attention_mask, decoder_input_ids=None, decoder_attention_mask=None, labels=None):
        fed = decoder_input_ids if labels is None else labels.masked_fill(labels == -100, 1)
        (logits,) = super().forward(input_ids, attention_mask, fed, decoder_attention_mask)
        if labels is None:
            return (logits,)
        return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()), logits


def function(checkpoint: Path):
    """A function of NumPy arrays that returns logits."""
    model = library(checkpoint).eval()

    def forward(input_ids, attention_mask, decoder_input_ids):
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "decoder_input_ids": decoder_input_ids}
        with torch.no_grad():
            return model(**{name: torch.from_numpy(array) for name, array in given.items()}).logits.numpy()

    return forward


def wrong_function(checkpoint: Path):
    right = function(checkpoint)
    return lambda input_ids, attention_mask, decoder_input_ids: np.roll(
        right(input_ids, attention_mask, decoder_input_ids), 1, axis=1
    )


def raising(checkpoint: Path):
    raise ValueError("no weights\nhere")


def killed(checkpoint: Path):
    import os

    os._exit(3)


def endless(checkpoint: Path):
    while True:
        pass


def text(checkpoint: Path):
    return "a model"


def raises_at_the_second_call(checkpoint: Path):
    right, calls = function(checkpoint), []

    def forward(input_ids, attention_mask, decoder_input_ids):
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("the second call")
        return right(input_ids, attention_mask, decoder_input_ids)

    return forward


def not_a_number(checkpoint: Path):
    right = function(checkpoint)

    def forward(input_ids, attention_mask, decoder_input_ids):
        return np.full_like(right(input_ids, attention_mask, decoder_input_ids), np.nan)

    return forward


def forking(checkpoint: Path):
    """Every call goes on in a copy of the process too."""
    import os

    right, copies = function(checkpoint), []

    def forward(input_ids, attention_mask, decoder_input_ids):
        if copy := os.fork():
            copies.append(copy)
        return right(input_ids, attention_mask, decoder_input_ids)

    forward.copies = copies
    return forward


def keras(checkpoint: Path):
    """A Keras model with arguments of its own."""
    import tf_keras
    import transformers

    class Mine(tf_keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = transformers.TFBartForConditionalGeneration.from_pretrained(checkpoint, from_pt=True)

        def call(self, input_ids, attention_mask, decoder_input_ids, training=False):
            return self.inner(input_ids, attention_mask, decoder_input_ids, training=training).logits

    return Mine()


def functional(checkpoint: Path):
    """A functional Keras model."""
    import tf_keras
    import transformers

    inner = transformers.TFBartForConditionalGeneration.from_pretrained(checkpoint, from_pt=True)
    names = ("input_ids", "attention_mask", "decoder_input_ids")
    inputs = {name: tf_keras.Input((None,), dtype="int64", name=name) for name in names}
    return tf_keras.Model(inputs, inner(inputs).logits)


def flax(checkpoint: Path):
    """A Flax module and its parameters."""
    import jax.numpy as jnp
    import transformers
    from flax import linen

    library = transformers.FlaxBartForConditionalGeneration.from_pretrained(checkpoint)

    class Mine(linen.Module):
        inner: linen.Module

        def __call__(self, input_ids, attention_mask, decoder_input_ids):
            source, target = (
                jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape) for ids in (input_ids, decoder_input_ids)
            )
            seen = jnp.ones_like(decoder_input_ids)
            return self.inner(input_ids, attention_mask, decoder_input_ids, seen, source, target).logits

    return {"model": Mine(library.module), "params": {"inner": library.params}}
