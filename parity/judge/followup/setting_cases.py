"""Cases of further documented generation settings, for ``--cases exhaustive``, made from the oracle's own text.

A rule about a token changes a text only if the token would be generated. The oracle's text shows which ones are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from parity.core.case import Case, Notes, Rows
from parity.judge.generated_text import cut, settings_of
from reference.generation import GenerationSettings

BIAS = 64.0
"""A bias that decides between tokens; larger ones would lose digits of a logit in float32."""
PENALTY = 1.7
DECAY = 1.3
BEAMS = {"num_beams": 4}
NEEDS = {
    "logits_processor": ("logits_processors",),
    "stop_strings": ("call_forms", "newer_arguments"),
    "output_logits": ("call_forms", "newer_arguments"),
    "output_hidden_states": ("generated_states",),
    "output_attentions": ("generated_states", "attentions"),
}
"""By form, the capabilities that it needs, if they are not ``call_forms`` alone."""


def setting_cases(case: Case, sequences: np.ndarray, vocab: int) -> Iterator[Case]:
    """One case for each setting, with values that the text of the case without it contradicts.

    Args:
        case: the greedy search of the standard cases.
        sequences: the text that the oracle generated for it, int64 ``[batch, length]``, the start token first.
        vocab: the number of tokens.
    """
    found = _arguments(sequences, settings_of(case), vocab)
    source = case.inputs.get("input_ids")
    # The two halves of a composition may have different vocabularies.
    if found and source is not None and max(map(max, source)) < vocab:
        found = {**found, **_arguments_of_the_source(source, sequences)}
    for name, given in found.items():
        arguments = {**case.settings["arguments"], **given}
        if "max_new_tokens" in given:
            del arguments["max_length"]
        in_force = GenerationSettings.from_dict(case.notes["settings"], **given).to_dict()
        needs = (*case.requires, "further_settings", *(("beam_search",) if "num_beams" in given else ()))
        notes: Notes = {**case.notes, "settings": in_force}
        yield Case(name, "generate", case.inputs, {"arguments": arguments}, needs, notes=notes)


def form_cases(case: Case, sequences: np.ndarray, vocab: int, alone: Case | None) -> Iterator[Case]:
    """Other documented forms of ``generate``, each with the text of a call with settings alone.

    Args:
        case, sequences, vocab: as for ``setting_cases``.
        alone: the same search of a single row, for the forms that take no other batch.
    """
    found = _arguments(sequences, settings_of(case), vocab)
    if not found:
        return
    forbidden = found["generate.suppress-tokens"]
    shorter = {"max_length": settings_of(case).max_length - 2}
    second = found["generate.new-tokens"]["eos_token_id"]
    stopped = {"eos_token_id": [*settings_of(case).ends, second], "forced_eos_token_id": None}
    forms: list[tuple[str, str, Case | None, Mapping[str, Any]]] = [
        ("", "prefix_allowed_tokens_fn", case, forbidden),
        ("beams-", "prefix_allowed_tokens_fn", case, {**forbidden, **BEAMS}),
        ("", "logits_processor", case, forbidden),
        ("beams-", "logits_processor", case, {**forbidden, **BEAMS}),
        ("", "stopping_criteria", case, shorter),
        ("", "stop_strings", case, stopped),
        ("", "streamer", alone, {}),
        ("", "assistant_model", alone, {}),
        ("penalised-", "assistant_model", alone, {"repetition_penalty": PENALTY}),
        ("", "output_logits", case, {}),
        ("", "output_hidden_states", alone, {}),
        ("", "output_attentions", alone, {}),
    ]
    for what, form, base, given in forms:
        if base is None or shorter["max_length"] < 2:
            continue
        name = f"generate.{what}by-{form.replace('_', '-')}"
        arguments = {**base.settings["arguments"], **given}
        in_force = GenerationSettings.from_dict(base.notes["settings"], **given).to_dict()
        needs = tuple(word for word in base.requires if word != "padding_is_unseen")
        needs += NEEDS.get(form, ("call_forms",))
        needs += ("beam_search",) if "num_beams" in given else ()
        notes: Notes = {"settings": in_force}
        notes |= {"lacking": case.notes["lacking"]} if "lacking" in case.notes else {}
        yield Case(name, "generate", base.inputs, {"arguments": arguments, "form": form}, needs, notes=notes)


def _arguments(sequences: np.ndarray, settings: GenerationSettings, vocab: int) -> Mapping[str, Mapping[str, Any]]:
    """The arguments of each case; empty where no row has two tokens that can be forbidden, or the text has every
    token."""
    kept = {settings.pad_token_id, *settings.ends, *settings.forced_ends}
    texts = [cut(row, settings)[1:] for row in sequences]
    text = next((text for text in texts if len(text) > 2 and not kept & set(text[:3])), None)
    # Token 0 is refused in ``sequence_bias`` (transformers 4.57.6: "positive integers").
    left = set(range(1, vocab)) - {*(text or ()), *kept, settings.start}
    if text is None or not left:
        return {}
    (first, second, third), unused = text[:3], min(left)
    forbidden = sorted({first, third})
    ends = {"eos_token_id": second, "forced_eos_token_id": None}
    return {
        "generate.suppress-tokens": {"suppress_tokens": forbidden},
        "generate.begin-suppress-tokens": {"begin_suppress_tokens": [first]},
        "generate.bad-words": {"bad_words_ids": [[first, second], [unused]]},
        "generate.sequence-bias": {"sequence_bias": [[[first], -BIAS], [[second, unused], BIAS]]},
        "generate.repetition-penalty": {"repetition_penalty": PENALTY},
        "generate.exponential-decay": {"exponential_decay_length_penalty": [1, DECAY], **ends},
        "generate.decay-and-min-length": {
            "exponential_decay_length_penalty": [0, DECAY],
            "min_length": len(text),
            **ends,
        },
        # The end is forbidden up to the position from which the penalty counts.
        "generate.decay-after-min-length": {
            "exponential_decay_length_penalty": [1, DECAY],
            "min_length": 3,
            **ends,
        },
        "generate.new-tokens": {"max_new_tokens": len(text) - 1, "min_new_tokens": 2, **ends},
        "generate.no-cache": {"use_cache": False},
        "generate.beams-no-cache": {**BEAMS, "use_cache": False},
        "generate.beams-bad-words": {**BEAMS, "bad_words_ids": [[token] for token in forbidden]},
        # The score of a beam has every digit of what a processor adds.
        "generate.beams-decay": {**BEAMS, "exponential_decay_length_penalty": [1, DECAY], **ends},
        "generate.beams-repetition-penalty": {**BEAMS, "repetition_penalty": PENALTY},
        "generate.beams-sequence-bias": {**BEAMS, "sequence_bias": [[[first], -1.5], [[second, unused], 1.5]]},
        "generate.several-ends": {**ends, "eos_token_id": [unused, third, second]},
        "generate.beams-several-ends": {**BEAMS, **ends, "eos_token_id": [third, *settings.ends]},
        "generate.renormalized": {**BEAMS, "suppress_tokens": forbidden, "renormalize_logits": True},
    }


def _arguments_of_the_source(source: Rows, sequences: np.ndarray) -> Mapping[str, Mapping[str, Any]]:
    """The arguments of cases that depend on the source's tokens; no n-gram is forbidden that no text has."""
    found = {"encoder-repetition-penalty": {"encoder_repetition_penalty": PENALTY}}
    if any(set(row) & set(text[1:]) for row, text in zip(source, sequences.tolist(), strict=True)):
        found["encoder-no-repeat"] = {"encoder_no_repeat_ngram_size": 1}
    return {
        f"generate.{searched}{name}": {**given, **more}
        for searched, more in (("", {}), ("beams-", BEAMS))
        for name, given in found.items()
    }
