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
    "num_labels defaults to 2, the default of other config classes",
    "num_labels",
    history="known issue hf-config-two-labels-become-three",
)
def another_default(patch: Patches) -> None:
    patch(f"{HOST}arguments", lambda original: lambda named: {**original(named), "num_labels": 2})


@fault(
    "field-renamed",
    "classifier_dropout is stored under another attribute name",
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


@fault("arguments-exchanged", "the constructor takes encoder_layers after encoder_ffn_dim", "arguments")
def exchanged(patch: Patches) -> None:
    def make(original):
        def arguments(named):
            found = original(named)
            names = list(found)
            index = names.index("encoder_layers")
            names[index : index + 2] = names[index + 1], names[index]
            return {name: found[name] for name in names}

        return arguments

    patch(f"{HOST}arguments", make)


@fault(
    "saved-against-another-default",
    "scale_embedding is not saved if true, as if true were its default",
    "scale_embedding",
    history="transformers #7943: a field equal to another class's default was not saved",
)
def another_s_default(patch: Patches) -> None:
    def change(config):
        return {name: value for name, value in config.items() if (name, value) != ("scale_embedding", True)}

    _saved(patch, change)


@fault(
    "common-name-missing",
    "a BART config has no attribute hidden_size",
    "hidden_size",
    history="peft #3109: num_hidden_layers was removed from a config, which broke its users",
)
def name_missing(patch: Patches) -> None:
    def make(original):
        return lambda named: {name: meant for name, meant in original(named).items() if name != "hidden_size"}

    patch(f"{HOST}common_names", make)


@of_a_composition(
    "half-loses-its-class", "the decoder's config is saved with the encoder's model type", "decoder.model_type"
)
def loses_class(patch: Patches) -> None:
    def change(config):
        return {**config, "decoder": {**config["decoder"], "model_type": config["encoder"]["model_type"]}}

    _saved(patch, change)


@of_a_composition(
    "joined-without-cross-attention",
    "a composition of two configs does not set the decoder's add_cross_attention",
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
    "a composition's config constructed without halves has defaults instead of an error",
    "without_arguments",
    history="known issue hf-config-composition-of-nothing",
)
def of_nothing(patch: Patches) -> None:
    patch(f"{HOST}without_arguments", lambda original: lambda named, wanted: {"own": {}})
