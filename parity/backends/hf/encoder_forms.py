"""The documented forms of ``encoder_outputs`` (BART page, ``encoder_outputs``; 4.57.6, modeling_bart.py)."""

from __future__ import annotations

from typing import Any


def encoder_outputs(encoded: Any, form: str) -> Any:
    """The output of an encoder as a user may pass it on.

    Args:
        encoded: the encoder's output object.
        form: ``output``, the object itself; ``tuple``, its documented fields ``last_hidden_state``, ``hidden_states``
            and ``attentions``, as far as they were requested; ``states``, an object with the last hidden state alone.

    Raises:
        ValueError: there is no such form.
    """
    if form == "output":
        return encoded
    if form == "tuple":
        fields = (encoded.last_hidden_state, encoded.hidden_states, encoded.attentions)
        return tuple(field for field in fields if field is not None)
    if form == "states":
        return type(encoded)(last_hidden_state=encoded.last_hidden_state)
    raise ValueError(f"encoder_outputs has no form {form!r}")
