"""Mutants of text generation: forced and forbidden tokens, ranking of beams, end of the search."""

from __future__ import annotations

from dataclasses import replace

from parity.backends.mutants.base import Patches, mutant

WRITER = "hubert-bert"
"""A fixture in which some beams end before the maximum length and others at it."""
RULES = "reference.generation.processors:ruled"
ANY = "generate.*"
BEAMS = (
    "generate.defaults*",
    "generate.beams*",
    "generate.length-penalty*",
    "generate.early-stopping*",
    "generate.perturbed-batch*",
)
DEFAULTS = ("generate.defaults*", "generate.perturbed-batch*")
"""The settings of the fixture, which use all features at once."""


def _ruled(patch: Patches, changed) -> None:
    """The logits processors use changed settings."""
    for target in (RULES, "reference.generation.generate:ruled"):
        patch(
            target,
            lambda original: lambda scores, tokens, given, *more: original(scores, tokens, changed(given), *more),
        )


def _with_settings(patch: Patches, changed) -> None:
    """The whole search uses changed settings."""

    def make(original):
        return lambda model, inputs, settings, *more: original(model, inputs, changed(settings), *more)

    patch("reference.in_torch:generate", make)


def _spoken(patch: Patches, **choices) -> None:
    """The search uses a changed dialect, for choices that users cannot set."""

    def make(original):
        return lambda model, inputs, settings, dialect: original(model, inputs, settings, replace(dialect, **choices))

    patch("reference.in_torch:generate", make)


@mutant("forced-bos-ignored", "forced_bos_token_id has no effect", "generate.forced-bos", *DEFAULTS, writes=True)
def forced_bos(patch: Patches) -> None:
    _ruled(patch, lambda settings: replace(settings, forced_bos_token_id=None))


@mutant("forced-eos-ignored", "forced_eos_token_id has no effect", "generate.forced-eos", *DEFAULTS, writes=True)
def forced_eos(patch: Patches) -> None:
    _ruled(patch, lambda settings: replace(settings, forced_eos_token_id=None))


@mutant(
    "forced-eos-one-early",
    "the end token is forced one token before max_length",
    "generate.forced-eos",
    *DEFAULTS,
    writes=True,
)
def forced_eos_early(patch: Patches) -> None:
    def changed(settings):
        return replace(settings, max_length=settings.max_length - 1)

    _ruled(patch, changed)


@mutant(
    "min-length-ignored", "min_length has no effect", "generate.min-length", "generate.end-*", *DEFAULTS, writes=True
)
def min_length_ignored(patch: Patches) -> None:
    _ruled(patch, lambda settings: replace(settings, min_length=0))


@mutant("min-length-one-less", "min_length is one too small", "generate.end-forbidden", *DEFAULTS, writes=True)
def min_length_less(patch: Patches) -> None:
    _ruled(patch, lambda settings: replace(settings, min_length=max(0, settings.min_length - 1)))


@mutant(
    "min-length-one-more",
    "min_length is one too large",
    "generate.end-*",
    *DEFAULTS,
    writes=True,
    history="Flax's search of transformers 4.57.6 (known issue hf-flax-min-length-one-more)",
)
def min_length_more(patch: Patches) -> None:
    _ruled(patch, lambda settings: replace(settings, min_length=settings.min_length + bool(settings.min_length)))


@mutant("max-length-one-less", "max_length is one too small", ANY, writes=True)
def max_length_less(patch: Patches) -> None:
    _with_settings(patch, lambda settings: replace(settings, max_length=settings.max_length - 1))


@mutant("max-length-one-more", "max_length is one too large", ANY, writes=True)
def max_length_more(patch: Patches) -> None:
    _with_settings(patch, lambda settings: replace(settings, max_length=settings.max_length + 1))


@mutant(
    "ngrams-one-longer",
    "repeated n-grams are forbidden with n one too large",
    "generate.no-repeat",
    *DEFAULTS,
    writes=True,
)
def ngrams_longer(patch: Patches) -> None:
    _ruled(
        patch,
        lambda settings: replace(
            settings, no_repeat_ngram_size=settings.no_repeat_ngram_size and settings.no_repeat_ngram_size + 1
        ),
    )


@mutant(
    "ngrams-not-forbidden",
    "no_repeat_ngram_size has no effect",
    "generate.no-repeat",
    *DEFAULTS,
    writes=True,
    history="Flax's search of transformers 4.37.2 (known issue hf-flax-repeats-are-not-forbidden)",
)
def ngrams_ignored(patch: Patches) -> None:
    _ruled(patch, lambda settings: replace(settings, no_repeat_ngram_size=0))


@mutant(
    "penalty-counts-the-start",
    "the length in length_penalty counts the start token",
    *BEAMS,
    writes=True,
    history="transformers #25455 and #23127: which length the score is divided by",
)
def penalty_of_whole(patch: Patches) -> None:
    from reference.generation.dialect import PenalisedLength

    _spoken(patch, penalised_length=PenalisedLength.WHOLE)


@mutant("length-penalty-ignored", "length_penalty is always 1", "generate.length-penalty", *DEFAULTS, writes=True)
def penalty_ignored(patch: Patches) -> None:
    _with_settings(patch, lambda settings: replace(settings, length_penalty=1.0))


@mutant(
    "length-penalty-inverted",
    "scores are multiplied by length ** length_penalty instead of divided",
    *BEAMS,
    writes=True,
    history="transformers #18208: the docstring described it this way",
)
def penalty_inverted(patch: Patches) -> None:
    _with_settings(patch, lambda settings: replace(settings, length_penalty=-settings.length_penalty))


@mutant("early-stopping-always", "early_stopping is always true", *BEAMS, on=WRITER, writes=True)
def early_stopping(patch: Patches) -> None:
    _with_settings(patch, lambda settings: replace(settings, early_stopping=True))


@mutant("early-stopping-ignored", "early_stopping is always false", *BEAMS, on=WRITER, writes=True)
def never_early(patch: Patches) -> None:
    _with_settings(patch, lambda settings: replace(settings, early_stopping=False))


@mutant(
    "ends-among-candidates",
    "an end token ends a beam if it is among the best 2 * num_beams candidates",
    *BEAMS,
    writes=True,
    history="Flax's search (known issue hf-flax-beams)",
)
def ends_among_candidates(patch: Patches) -> None:
    from reference.generation.dialect import EndRank

    _spoken(patch, end_rank=EndRank.AMONG_CANDIDATES)


@mutant("one-beam-less", "num_beams is one too small", *BEAMS, writes=True)
def beam_less(patch: Patches) -> None:
    _with_settings(
        patch,
        lambda settings: (
            replace(settings, num_beams=max(1, settings.num_beams - 1)) if settings.num_beams > 2 else settings
        ),
    )


@mutant("scores-are-logits", "beam scores are sums of logits instead of log-probabilities", *BEAMS, writes=True)
def logits_added(patch: Patches) -> None:
    patch("reference.generation.generate:log_softmax", lambda original: lambda logits: logits)


@mutant(
    "unfinished-last",
    "beams that reach max_length are used only if no beam has finished",
    *BEAMS,
    on=WRITER,
    writes=True,
    history="TensorFlow's and Flax's searches (known issues hf-tf-beams, hf-flax-beams)",
)
def unfinished_last(patch: Patches) -> None:
    from reference.generation.dialect import Unfinished

    _spoken(patch, unfinished=Unfinished.LAST_RESORT)


@mutant("filled-with-the-end", "rows are padded with the end token", ANY, writes=True)
def filled(patch: Patches) -> None:
    def make(original):
        def generate(model, inputs, settings, *more):
            import numpy as np

            found = original(model, inputs, settings, *more)
            after_end = np.arange(found.sequences.shape[1])[None, :] >= found.lengths[:, None]
            return replace(found, sequences=np.where(after_end, 2, found.sequences))

        return generate

    patch("reference.in_torch:generate", make)


@mutant("score-of-the-runner-up", "the returned text is correct but its score is 1 % off", *BEAMS, writes=True)
def other_score(patch: Patches) -> None:
    def make(original):
        def generate(*given):
            found = original(*given)
            return found if found.scores is None else replace(found, scores=found.scores * 1.01)

        return generate

    patch("reference.in_torch:generate", make)


@mutant(
    "settings-file-not-read",
    "num_beams of generation_config.json has no effect",
    "generate.settings",
    *DEFAULTS,
    writes=True,
)
def settings_lost(patch: Patches) -> None:
    def make(original):
        read = original.__func__
        return classmethod(
            lambda cls, *given, **named: replace(read(cls, *given, **named), num_beams=named.get("num_beams", 1))
        )

    patch("reference.generation.settings:GenerationSettings.read", make)


@mutant("source-mask-ignored-when-generating", "text generation ignores the source's attention mask", ANY, writes=True)
def generating_unmasked(patch: Patches) -> None:
    def make(original):
        return lambda self, model, inputs, capacity: original(
            self, model, {name: array for name, array in inputs.items() if name != "attention_mask"}, capacity
        )

    patch("generation:CachedDecoder.__init__", make)


@mutant(
    "source-mask-inverted-when-generating",
    "text generation inverts the source's attention mask",
    ANY,
    on="bert2gpt2",
    writes=True,
)
def generating_inverted(patch: Patches) -> None:
    def make(original):
        def __init__(self, *given):
            original(self, *given)
            self.source_mask = 1 - self.source_mask

        return __init__

    patch("generation:CachedDecoder.__init__", make)
