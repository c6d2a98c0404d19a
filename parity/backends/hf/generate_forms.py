"""Other documented forms of PyTorch's ``generate``: a rule given as a function, another search, or another output.

Each form has the text of a call with plain settings, which the case states: a function that allows all but some tokens
is ``suppress_tokens``, a criterion for the length is ``max_length``, and a streamer, or an assistant model, changes
nothing. Without other rules the best tokens of the returned logits are the text.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from parity.backends.hf.common import version_of
from parity.backends.hf.generated_states import COMPARED, generate_with_states
from parity.backends.protocol import UnexpectedReturn


def generate_in_form(model: Any, form: str, given: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
    """What ``generate`` returns in one of ``FORMS``.

    Args:
        given: the inputs, as tensors.
        arguments: those of the plain call.

    Raises:
        KeyError: there is no such form.
        UnexpectedReturn: the library did not use what it was given.
    """
    return FORMS[form](model, given, dict(arguments))


def _prefix_function(model: Any, given: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    """``prefix_allowed_tokens_fn`` that allows all but ``suppress_tokens``."""
    forbidden = set(arguments.pop("suppress_tokens"))
    allowed = [token for token in range(model.get_output_embeddings().weight.shape[0]) if token not in forbidden]
    return model.generate(**given, **arguments, prefix_allowed_tokens_fn=lambda row, tokens: allowed)


def _logits_processor(model: Any, given: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    """A ``logits_processor`` of the user's that forbids ``suppress_tokens``."""
    from transformers import LogitsProcessor, LogitsProcessorList

    forbidden = list(arguments.pop("suppress_tokens"))

    class Forbids(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, tokens: Any, scores: Any) -> Any:
            scores = scores.clone()
            scores[:, forbidden] = -float("inf")
            return scores

    return model.generate(**given, **arguments, logits_processor=LogitsProcessorList([Forbids()]))


def _stopping_criteria(model: Any, given: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    """``stopping_criteria`` of the user's that end the text at ``max_length``, before the length that is passed."""
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    length = arguments.pop("max_length")
    each_row = version_of("transformers") >= (4, 39)

    class Ends(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, tokens: Any, scores: Any, **others: Any) -> Any:
            done = tokens.shape[1] >= length
            return torch.full((len(tokens),), done, device=tokens.device) if each_row else done

    criteria = StoppingCriteriaList([Ends()])
    return model.generate(**given, **arguments, max_length=length + 2, stopping_criteria=criteria)


def _stop_strings(model: Any, given: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    """``stop_strings`` with the string of the last of ``eos_token_id``, in a tokenizer with a string for each token."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    *ends, last = arguments.pop("eos_token_id")
    size = model.get_output_embeddings().weight.shape[0]
    strings = [f"<{token}>" for token in range(size)]
    strings[int(last == 0)] = (
        "abcdef"  # The criterion decodes each token after this one (4.57.6, stopping_criteria.py).
    )
    words = Tokenizer(
        models.WordLevel({string: token for token, string in enumerate(strings)}, unk_token=strings[last])
    )
    words.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    arguments["eos_token_id"] = ends or None
    return model.generate(**given, **arguments, stop_strings=[strings[last]], tokenizer=tokenizer)


def _streamer(model: Any, given: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    """The tokens that a ``streamer`` is handed one by one."""
    import torch
    from transformers.generation.streamers import BaseStreamer

    class Collects(BaseStreamer):  # type: ignore[misc]
        def __init__(self) -> None:
            self.tokens: list[int] = []
            self.ended = False

        def put(self, value: Any) -> None:
            self.tokens = [*self.tokens, *value.reshape(-1).tolist()]

        def end(self) -> None:
            self.ended = True

    streamer = Collects()
    model.generate(**given, **arguments, streamer=streamer)
    if not streamer.ended:
        raise UnexpectedReturn("the streamer was not told the end of the text")
    return torch.tensor([streamer.tokens])


def _assistant(model: Any, given: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    """Assisted decoding, with the model as its own ``assistant_model``: the same parameters in another object."""
    assistant = copy.copy(model)
    assistant._forward_hooks = OrderedDict()
    vars(assistant).pop("generate", None)  # a replaced method is bound to the model
    assistant.generation_config = copy.deepcopy(model.generation_config)
    calls: list[None] = []
    assistant.register_forward_hook(lambda *_: calls.append(None))
    answer = model.generate(**given, **arguments, assistant_model=assistant)
    if not calls:
        raise UnexpectedReturn("the assistant model was not called")
    return answer


def _output_logits(model: Any, given: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    """The best tokens of the unprocessed ``logits`` in the output; those of the text where a row has ended."""
    import torch

    answer = model.generate(**given, **arguments, output_logits=True)
    text = answer.sequences
    ends = torch.isin(text, torch.as_tensor(model.generation_config.eos_token_id, device=text.device))
    best = torch.stack([step.argmax(dim=-1) for step in answer.logits], dim=1)
    ended = ends[:, :-1].cumsum(dim=1) - ends[:, :1].long() > 0
    return torch.cat((text[:, :1], torch.where(ended, text[:, 1:], best.to(text.device))), dim=1)


def _array(tensor: Any) -> Any:
    return tensor.float().cpu().numpy()


FORMS: dict[str, Callable[[Any, Mapping[str, Any], dict[str, Any]], Any]] = {
    "prefix_allowed_tokens_fn": _prefix_function,
    "logits_processor": _logits_processor,
    "stopping_criteria": _stopping_criteria,
    "stop_strings": _stop_strings,
    "streamer": _streamer,
    "assistant_model": _assistant,
    "output_logits": _output_logits,
    **{name: partial(generate_with_states, option=name, array=_array) for name in COMPARED},
}
"""By the argument that distinguishes it."""
