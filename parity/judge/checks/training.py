"""Training mode: which values dropout changes, how, and by which field of the config.

A model is loaded with the probabilities of dropout that a case gives, and called in training mode.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.core.tensors import TensorSpec
from parity.judge.checks.registry import check
from parity.judge.checks.sampling import divergence, largest_divergence
from parity.judge.evidence import Evidence, whole
from parity.judge.results import Decided, Finding, Result

_CONFIG = "BART page, BartConfig"
_FIRST, _SECOND = "hidden.0", "hidden.1"
_ALONE = "training.decoder-alone"
_IN_LAYERS = (
    f"{_CONFIG}: attention_dropout, for the attention probabilities; activation_dropout, for activations inside the "
    "fully connected layer"
)
_NOT_PASSED_ON = "the probability is not read, or training mode is not passed on to the layer"


@check(
    "TRAIN01",
    claim="with every dropout probability at 0, training mode computes what evaluation does",
    source=f"{_CONFIG}: dropout, attention_dropout, activation_dropout, encoder_layerdrop, decoder_layerdrop",
    likely_cause="a probability that is fixed in the code, or a path that training mode alone takes",
    cases=("training.without-dropout",),
    depends_on=("forward",),
    needs_oracle=False,
)
def without_dropout(evidence: Evidence) -> Iterator[Result]:
    """Hidden states and outputs; of attention weights not every library returns those that it used."""
    yield from evidence.between(evidence.case.name, "forward", whole, whole)


@check(
    "TRAIN02",
    claim="dropout sets an element of the embeddings to zero with its probability p, and divides the others by 1 - p; "
    "the same seed draws the same, another seed draws others",
    source=f"{_CONFIG}: dropout, for all fully connected layers in the embeddings, encoder, and pooler; Srivastava et "
    "al. 2014",
    likely_cause="dropout left out, another probability, or elements that are not rescaled",
    cases=("training.dropout",),
    depends_on=("forward",),
    needs_oracle=False,
)
def dropout_of_embeddings(evidence: Evidence) -> Iterator[Result]:
    """The share of zeros is beyond the bound with a probability below ``parity.judge.checks.sampling.LEVEL``."""
    rate = evidence.case.settings["rates"]["dropout"]
    for spec in _states(evidence, _FIRST):
        actual, expected = evidence.trace.arrays.get(spec.name), evidence.trace_of("forward").arrays[spec.name]
        if actual is None or actual.shape != expected.shape:
            yield Finding(False, f"{spec.name} was not returned", spec.name)
            continue
        dropped = actual == 0
        counts, chances = np.array([dropped.sum(), (~dropped).sum()]), np.array([rate, 1 - rate])
        likely = divergence(counts, chances) <= largest_divergence(dropped.size, chances)
        what = f"{dropped.mean():.1%} of {spec.name} are zero, dropout is {rate}"
        yield Finding(bool(likely), what, spec.name)
        restored = np.where(dropped, expected, actual.astype(np.float64) * (1 - rate))
        yield evidence.near(spec, restored, expected, "forward")
    first, *seeds = evidence.case.settings["seeds"]
    for seed, equal in zip(seeds, evidence.trace.facts["equals_first"], strict=True):
        what = "two calls with the same seed differ" if seed == first else "a call with another seed is equal"
        yield Finding(equal == (seed == first), what)


@check(
    "TRAIN03",
    claim="attention_dropout and activation_dropout change what the layers compute, and not the embeddings",
    source=_IN_LAYERS,
    likely_cause=_NOT_PASSED_ON,
    cases=("training.attention-dropout", "training.activation-dropout"),
    depends_on=("forward",),
    needs_oracle=False,
)
def dropout_in_layers(evidence: Evidence) -> Iterator[Result]:
    """The first layer is enough: it has the embeddings as its input. Of a whole model the encoder's is compared."""
    half = "decoder" if evidence.model_spec.decoder_only else "encoder"
    yield from _first_layer(evidence, half, "forward", "training.")


@check(
    "TRAIN06",
    claim="attention_dropout and activation_dropout change what the decoder's layers compute, and not its embeddings",
    source=_IN_LAYERS,
    likely_cause=_NOT_PASSED_ON,
    cases=("training.decoder-attention-dropout", "training.decoder-activation-dropout"),
    depends_on=("forward", _ALONE),
    needs_oracle=False,
)
def dropout_in_layers_of_the_decoder(evidence: Evidence) -> Iterator[Result]:
    """Compared in a model whose encoder skips its layers, which would change the decoder's states too."""
    yield from _first_layer(evidence, "decoder", _ALONE, "training.decoder-")


def _first_layer(evidence: Evidence, half: str, base: str, prefix: str) -> Iterator[Result]:
    """That the embeddings are as in another case, and the first layer's output is not."""
    actual, expected = evidence.trace.arrays, evidence.trace_of(base).arrays
    rate = evidence.case.name.removeprefix(prefix).replace("-", "_")
    for spec in (*_states(evidence, f"{half}.{_FIRST}"), *_states(evidence, f"{half}.{_SECOND}")):
        if spec.name not in actual or spec.name not in expected or actual[spec.name].shape != expected[spec.name].shape:
            yield Finding(False, f"{spec.name} was not returned", spec.name)
            continue
        result = evidence.near(spec, actual[spec.name], expected[spec.name], "forward")
        yield result if spec.name.endswith(_FIRST) else _changes(result, rate)


@check(
    "TRAIN04",
    claim="classifier_dropout changes the logits in training mode, and nothing before the classifier",
    source=f"{_CONFIG}: classifier_dropout, for the classifier",
    likely_cause="the probability is not read, or it acts in another place",
    cases=("training.classifier-dropout",),
    depends_on=("forward",),
    needs_oracle=False,
)
def dropout_of_the_classifier(evidence: Evidence) -> Iterator[Result]:
    """Everything but the classifier's output is as in evaluation."""
    for result in evidence.between(evidence.case.name, "forward", whole, whole):
        is_output = result.tensor in ("logits", "loss")
        yield _changes(result, "classifier_dropout") if is_output else result


@check(
    "TRAIN05",
    claim="with encoder_layerdrop and decoder_layerdrop at 1, training mode skips every layer",
    source=f"{_CONFIG}: encoder_layerdrop, decoder_layerdrop; Fan et al. 2019, arXiv:1909.11556",
    likely_cause="the probability is not read, or the other half's is",
    cases=("training.layer-drop",),
    depends_on=("forward",),
    needs_oracle=False,
)
def dropped_layers(evidence: Evidence) -> Iterator[Result]:
    """A skipped layer returns its input, so that a half's last state is its embeddings. transformers 5.x returns no
    hidden states of skipped layers."""
    actual, expected = evidence.trace.arrays, evidence.trace_of("forward").arrays
    embeddings = {spec.name.partition(".")[0]: spec for spec in _states(evidence, _FIRST)}
    for spec in evidence.expected_tensors():
        half, _, rest = spec.name.partition(".")
        if spec.name == evidence.answer and spec.name in actual and not rest:
            same = np.array_equal(actual[spec.name], expected[spec.name])
            yield Finding(not same, f"{spec.name} is as in evaluation", spec.name)
        elif half in embeddings and (rest == "last" or spec.name in actual):
            state, first = actual.get(spec.name), expected[embeddings[half].name]
            if state is None or state.shape != first.shape:
                yield Finding(False, f"{spec.name} was not returned", spec.name)
            else:
                yield evidence.near(embeddings[half], state, first, "forward")


def _states(evidence: Evidence, name: str) -> Iterator[TensorSpec]:
    """The hidden states with a name, of both halves or of one."""
    return (spec for spec in evidence.expected_tensors() if spec.name.endswith(name))


def _changes(result: Decided, rate: str) -> Finding:
    """That a tensor differs."""
    return Finding(not result.ok, f"{result.tensor} is as in evaluation: {rate} has no effect", result.tensor)
