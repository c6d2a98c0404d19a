"""The hidden states and attentions that ``generate`` returns for each step, compared with those of a whole call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from parity.backends.protocol import UnexpectedReturn

ROUNDING = 0.02
"""The largest difference that is taken for rounding, relative to the largest value; bfloat16 has eight bits."""
ToArray = Callable[[Any], np.ndarray]


def generate_with_states(
    model: Any, given: Mapping[str, Any], arguments: Mapping[str, Any], *, option: str, array: ToArray
) -> Any:
    """What ``generate`` returns with one of ``COMPARED``.

    Args:
        given, arguments: as for ``generate_forms.generate_in_form``.
        array: a tensor as a NumPy array.

    Raises:
        UnexpectedReturn: the fields differ in more than rounding from those of a whole call with the generated text as
            its decoder input, or a step or layer is missing.
    """
    answer = model.generate(**given, **arguments, **{option: True})
    whole = model(**given, decoder_input_ids=answer.sequences[:, :-1], return_dict=True, **{option: True})
    COMPARED[option](answer, whole, array)
    return answer


def _hidden_states(answer: Any, whole: Any, array: ToArray) -> None:
    _check_steps("decoder_hidden_states", answer, whole, array, lambda states, step: states[:, step : step + 1])
    _check_equal("encoder_hidden_states", answer.encoder_hidden_states, whole.encoder_hidden_states, array)


def _attentions(answer: Any, whole: Any, array: ToArray) -> None:
    _check_steps("decoder_attentions", answer, whole, array, lambda rows, step: rows[:, :, step : step + 1, : step + 1])
    _check_steps("cross_attentions", answer, whole, array, lambda rows, step: rows[:, :, step : step + 1])
    _check_equal("encoder_attentions", answer.encoder_attentions, whole.encoder_attentions, array)


def _check_steps(field: str, answer: Any, whole: Any, array: ToArray, at_step: Callable[[Any, int], Any]) -> None:
    """Compares a field of ``generate``, a tuple of layers for each step."""
    steps, layers = getattr(answer, field), getattr(whole, field)
    count = 0 if steps is None else len(steps)
    if count != answer.sequences.shape[1] - 1:
        raise UnexpectedReturn(f"{field} has {count} elements, documented is one for each token")
    for step, found in enumerate(steps or ()):
        _check_equal(f"{field} of step {step}", found, [at_step(layer, step) for layer in layers], array)


def _check_equal(field: str, found: Any, expected: Any, array: ToArray) -> None:
    """Compares two tuples of tensors. A wrong field differs by as much as its values; how exact they are is judged in
    other cases."""
    if found is None or len(found) != len(expected):
        raise UnexpectedReturn(f"{field} has {0 if found is None else len(found)} layers, not {len(expected)}")
    for layer, pair in enumerate(zip(found, expected, strict=True)):
        one, other = map(array, pair)
        if one.shape != other.shape or np.abs(one - other).max() > ROUNDING * np.abs(other).max():
            raise UnexpectedReturn(f"{field}, layer {layer}, is not that of a whole call")


COMPARED: dict[str, Callable[[Any, Any, ToArray], None]] = {
    "output_hidden_states": _hidden_states,
    "output_attentions": _attentions,
}
"""By argument, the comparison of the fields that it requests."""
