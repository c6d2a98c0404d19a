"""Mutants of config classes: reading a file, defaults, and saving."""

from __future__ import annotations

from functools import partial

from parity.backends.mutants.base import Patches, mutant

fault = partial(mutant, on="bart-odd", backend="mutant-config")
of_a_composition = partial(mutant, on="bert2gpt2", backend="mutant-config")
HOST = "parity.backends.mutants.config_host:"


def _saved(patch: Patches, change) -> None:
    """Applies ``change`` to the content that is saved."""
    patch(f"{HOST}to_save", lambda original: lambda config: change(original(config)))


@fault(
    "default-of-every-class",
    "num_labels is 2 where nothing is said, as in every other class",
    "num_labels",
    history="known issue hf-config-two-labels-become-three",
)
def another_default(patch: Patches) -> None:
    patch(f"{HOST}arguments", lambda original: lambda named: {**original(named), "num_labels": 2})


@fault(
    "field-renamed",
    "classifier_dropout is kept under another name than the file's",
    "classifier_dropout",
    history="transformers #7593: config.classif_dropout",
)
def renamed(patch: Patches) -> None:
    def make(original):
        def read(*given):
            config = original(*given)
            config["classif_dropout"] = config.pop("classifier_dropout")
            return config

        return read

    patch(f"{HOST}read", make)


@fault("arguments-exchanged", "the constructor takes encoder_layers behind encoder_ffn_dim", "arguments")
def exchanged(patch: Patches) -> None:
    def make(original):
        def arguments(named):
            found = original(named)
            names = list(found)
            place = names.index("encoder_layers")
            names[place : place + 2] = names[place + 1], names[place]
            return {name: found[name] for name in names}

        return arguments

    patch(f"{HOST}arguments", make)


@fault(
    "saved-against-another-default",
    "a save leaves out scale_embedding where it is true, taking that for the default",
    "scale_embedding",
    history="transformers #7943: a field was left out that equalled another class's default",
)
def another_s_default(patch: Patches) -> None:
    def change(config):
        return {name: value for name, value in config.items() if (name, value) != ("scale_embedding", True)}

    _saved(patch, change)


@fault(
    "common-name-missing",
    "hidden_size is no attribute of a BART",
    "hidden_size",
    history="peft #3109: num_hidden_layers left the config, and what read it broke",
)
def name_missing(patch: Patches) -> None:
    def make(original):
        return lambda named: {name: meant for name, meant in original(named).items() if name != "hidden_size"}

    patch(f"{HOST}common_names", make)


@of_a_composition("half-loses-its-class", "a saved decoder is read again as the encoder's class", "decoder.model_type")
def loses_class(patch: Patches) -> None:
    def change(config):
        return {**config, "decoder": {**config["decoder"], "model_type": config["encoder"]["model_type"]}}

    _saved(patch, change)


@of_a_composition(
    "joined-without-cross-attention",
    "two configs are joined, and the decoder is not told to look at the encoder",
    "decoder.add_cross_attention",
    history="transformers #4293, #6377",
)
def without_cross_attention(patch: Patches) -> None:
    def make(original):
        def joined():
            found = original()
            return {**found, "decoder": {**found["decoder"], "add_cross_attention": False}}

        return joined

    patch(f"{HOST}joined", make)


@of_a_composition(
    "composition-of-nothing",
    "without halves a composition is made of defaults",
    "bare",
    history="known issue hf-config-composition-of-nothing",
)
def of_nothing(patch: Patches) -> None:
    patch(f"{HOST}bare", lambda original: lambda named, wanted: {"own": {}})
