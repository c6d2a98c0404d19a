"""Cases of sampling, for ``--cases exhaustive``, made from the oracle's own logits.

A rule drops the tokens beyond some limit. Each value is chosen so that the limit is far from every token: then rounding
moves no token over it, and the distribution after the rule is one that a conforming implementation must reproduce.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from parity.core.case import Case, Notes
from reference.generation import GenerationSettings, log_softmax, warped
from reference.generation.warpers import information

WITHOUT_RULES = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
LATER = {name: getattr(GenerationSettings, name) for name in ("min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")}
LENGTH = 6
"""The most tokens of the text so far; it ends where the next token is the least certain."""
TEMPERATURES = (0.7, 1.3)
CERTAIN = 0.5
"""The probability from which the best token would be nearly certain at the lower temperature, and draws would say
nothing."""
NEAREST = 50
"""The most limits that are tried for a setting."""
SHARES = tuple(round(float(share), 2) for share in np.linspace(0.1, 0.95, 18))
MOST_DRAWS, FEWEST_DRAWS = 4096, 64
SEED = 20261130
SEEDS = (SEED, SEED, SEED + 1)
"""Of three calls: the first two are equal."""
SCORES = 1 << 24
"""The most scores of all draws of a case together: 64 MB in float32."""


def sampling_cases(alone: Case, forward: Case, logits: np.ndarray) -> Iterator[Case]:
    """One case for each setting of sampling: the distribution of the token after a text.

    Args:
        alone: the greedy search of a single row, whose arguments switch everything else off.
        forward: the documented call, whose targets are the texts.
        logits: the oracle's of ``forward``, float64 ``[batch, tgt, vocab]``.
    """
    row = alone.notes["row"]
    longest = min(LENGTH, sum(forward.inputs.get("decoder_attention_mask", [[1] * LENGTH] * (row + 1))[row]))
    length = 1 + max(range(longest), key=lambda position: entropy_of(logits[row, position]), default=-1)
    text = forward.inputs["decoder_input_ids"][row][:length]
    settings = alone.notes["settings"]
    if not text or text[0] != GenerationSettings.from_dict(settings).start:
        return
    source = {name: values for name, values in alone.inputs.items() if not name.startswith("decoder")}
    inputs = {**source, "decoder_input_ids": [text]}
    kept = {**alone.settings["arguments"], **WITHOUT_RULES, "max_length": length + 1}
    # Not every release of the library takes them, so that they are passed only where the file has them.
    kept |= {name: neutral for name, neutral in LATER.items() if settings[name] != neutral}
    draws = int(np.clip(SCORES // logits.shape[-1], FEWEST_DRAWS, MOST_DRAWS))
    for name, given in _arguments(logits[row, length - 1]).items():
        arguments = {**kept, **given}
        notes: Notes = {"settings": GenerationSettings.from_dict(settings, **arguments).to_dict()}
        notes |= {"lacking": alone.notes["lacking"]} if "lacking" in alone.notes else {}
        # The row is compared with no other, in which padding might show.
        needs = (*(word for word in alone.requires if word != "padding_is_unseen"), "sampling")
        needs += ("newer_arguments",) if "min_p" in arguments else ()
        given = {"arguments": arguments, "draws": draws, "seeds": [SEED]}
        yield Case(name, "sample", inputs, given, needs, notes=notes)
        if name == "sample.temperature":
            given = {"arguments": arguments, "draws": FEWEST_DRAWS, "seeds": list(SEEDS)}
            yield Case("sample-seeds", "sample", inputs, given, needs, notes=notes)


def _arguments(logits: np.ndarray) -> Mapping[str, Mapping[str, Any]]:
    """By case, the settings; a rule that no value makes drop some tokens and keep several has no case."""
    log_probs = np.sort(log_softmax(logits))[::-1][: NEAREST + 1]
    between = (log_probs[:-1] + log_probs[1:]) / 2
    entropy, (cold, warm) = entropy_of(logits), TEMPERATURES
    tried: dict[str, Sequence[float]] = {
        "top_k": range(2, min(NEAREST, len(logits))),
        "top_p": SHARES,
        "min_p": np.exp(between - log_probs[0]).tolist(),
        "typical_p": SHARES,
        "epsilon_cutoff": np.exp(between).tolist(),
        # The limit is the lower one of the cutoff and of sqrt(cutoff) * exp(-entropy).
        "eta_cutoff": np.exp(np.maximum(between, 2 * (between + entropy))).tolist(),
    }
    temperature = cold if log_probs[0] < np.log(CERTAIN) else warm
    found: dict[str, dict[str, Any]] = {"sample.plain": {}, "sample.temperature": {"temperature": temperature}}
    for setting, values in tried.items():
        if (best := _farthest(logits, {}, setting, values)) is not None:
            found[f"sample.{setting.replace('_', '-')}"] = {setting: best}
    flatter = {"temperature": warm}
    # Of more than three tokens top_p can drop one and keep several.
    if (first := _farthest(logits, flatter, "top_k", tried["top_k"][2:])) is not None:
        both = {**flatter, "top_k": first}
        if (second := _farthest(logits, both, "top_p", SHARES)) is not None:
            found["sample.combined"] = {**both, "top_p": second}
    return found


def entropy_of(logits: np.ndarray) -> float:
    """The entropy of the next token in nats, from logits ``[vocab]``."""
    return float(information(logits[None])[1][0])


def _farthest(logits: np.ndarray, given: Mapping[str, Any], setting: str, values: Sequence[float]) -> Any:
    """The value whose limit is farthest from any token; None if none keeps several tokens and drops some."""
    best, margin = None, 0.0
    before = warped(logits[None], _drawn_with(given))[0]
    for value in values:
        value = value if isinstance(value, int) else float(f"{value:.4g}")
        if not 0 < value < (np.inf if setting == "top_k" else 1):
            continue
        scores, (lead,) = warped(logits[None], _drawn_with({**given, setting: value}))
        left = int(np.isfinite(scores).sum())
        if 1 < left < int(np.isfinite(before).sum()) and lead > margin:
            best, margin = value, float(lead)
    return best


def _drawn_with(given: Mapping[str, Any]) -> GenerationSettings:
    return replace(GenerationSettings(do_sample=True, top_k=0), **given)
