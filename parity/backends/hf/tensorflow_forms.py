"""Other documented forms of TensorFlow's ``generate``, as in ``generate_forms``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from parity.backends.hf.generated_states import COMPARED, generate_with_states


def generate_in_form(model: Any, form: str, given: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
    """What ``generate`` returns in one of ``FORMS``: arguments and errors as in ``generate_forms``."""
    return FORMS[form](model, given, dict(arguments))


def _logits_processor(model: Any, given: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    """A ``logits_processor`` of the user's that forbids ``suppress_tokens``."""
    import tensorflow as tf
    from transformers import TFLogitsProcessor, TFLogitsProcessorList

    forbidden = list(arguments.pop("suppress_tokens"))

    class Forbids(TFLogitsProcessor):  # type: ignore[misc]
        def __call__(self, input_ids: Any, scores: Any, cur_len: int) -> Any:
            columns = tf.range(scores.shape[-1])[:, None] == tf.constant(forbidden, tf.int32)
            return tf.where(tf.reduce_any(columns, axis=-1), -float("inf"), scores)

    return model.generate(**given, **arguments, logits_processor=TFLogitsProcessorList([Forbids()]))


def _array(tensor: Any) -> Any:
    return tensor.numpy()


FORMS: dict[str, Callable[[Any, Mapping[str, Any], dict[str, Any]], Any]] = {
    "logits_processor": _logits_processor,
    **{name: partial(generate_with_states, option=name, array=_array) for name in COMPARED},
}
"""By the argument that distinguishes it."""
