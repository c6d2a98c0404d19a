"""Other documented forms of TensorFlow's ``generate``, as in ``generate_forms``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from parity.backends.hf.generated_states import check_attentions, check_hidden_states


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


def _output_hidden_states(model: Any, given: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    """The text of a call whose hidden states are those of a whole call."""
    answer = model.generate(**given, **arguments, output_hidden_states=True)
    check_hidden_states(answer, _whole_call(model, given, answer, output_hidden_states=True), _array)
    return answer


def _output_attentions(model: Any, given: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    """The text of a call whose attentions are those of a whole call."""
    answer = model.generate(**given, **arguments, output_attentions=True)
    check_attentions(answer, _whole_call(model, given, answer, output_attentions=True), _array)
    return answer


def _whole_call(model: Any, given: Mapping[str, Any], answer: Any, **options: Any) -> Any:
    return model({**given, "decoder_input_ids": answer.sequences[:, :-1]}, return_dict=True, **options)


def _array(tensor: Any) -> Any:
    return tensor.numpy()


FORMS: dict[str, Callable[[Any, Mapping[str, Any], dict[str, Any]], Any]] = {
    "logits_processor": _logits_processor,
    "output_hidden_states": _output_hidden_states,
    "output_attentions": _output_attentions,
}
"""By the argument that distinguishes it."""
