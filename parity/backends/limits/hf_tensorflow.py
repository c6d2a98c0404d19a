"""What the TensorFlow classes of transformers do not support."""

from __future__ import annotations

from parity.backends.capabilities import everything
from parity.backends.limits import Question, hf
from parity.core.subject import DTYPES
from reference.config.classes import CLASSES

POSITIONED = ("BartModel", "BartForConditionalGeneration")
"""Classes that are given ``decoder_position_ids``. A classifier finds its state at the source's end, which moves."""
ABSENT = ("BartForQuestionAnswering", "BartForCausalLM", "SpeechEncoderDecoderModel")
"""Documented classes that there is no class for, in any release from 4.37 to 4.57."""
WITHOUT = {"encoder": ("bert-generation",), "decoder": ("bart", "mbart", "bert-generation")}
"""Halves that a composition cannot have."""


def lacking(question: Question) -> dict[str, str]:
    """By capability, why it is lacking."""
    if why := hf.no_class(question, question.documented, ABSENT) or hf.no_half(question, WITHOUT):
        return everything(why)
    name = f"TF{question.documented} of {question.library}"
    built = f"TF classes of {question.library} are built in float32 and have no dtype argument"
    reason = f"TFGPT2LMHeadModel of {question.library} does not cache keys and values of the source"
    return {
        **({"cross_cache": reason} if question.model_types[1:] == ("gpt2",) else {}),
        **{dtype: built for dtype in DTYPES if dtype != "float32"},
        "reorder_cache": f"{name} reorders its cache only inside generate",
        "modes": f"{name} has no train and eval modes: its call has an argument training",
        "plain_load": f"{name} has no arguments for dtype, attention and device: every load is a plain load",
        **{f"as_{other}": hf.no_class(question, other, ABSENT) for other in ABSENT if other in CLASSES["bart"]},
        "cuda": "no stack has a TensorFlow built for CUDA",
        **hf.without_parameters(name),
        **({} if question.documented in POSITIONED else {"positions": f"not tested with {name}"}),
        "call_forms": f"not tested with {name}",
        **hf.newer(question),
        **hf.saving(question),
    }
