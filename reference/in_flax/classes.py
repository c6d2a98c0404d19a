# Peer reference: reference/in_torch/classes.py
"""Creates a model without weights from a config and a documented class name."""

from __future__ import annotations

from collections.abc import Callable

from flax import nnx

from reference.config import Config
from reference.config.classes import class_of
from reference.in_flax.bart import BartForCausalLM, BartForConditionalGeneration
from reference.in_flax.bart_heads import BartForQuestionAnswering, BartForSequenceClassification, BartModel
from reference.in_flax.bert import BertDecoder, BertEncoder
from reference.in_flax.encoder_decoder import EncoderDecoderModel, SpeechEncoderDecoderModel
from reference.in_flax.gpt2 import Gpt2Decoder
from reference.in_flax.model import Model
from reference.in_flax.speech import SpeechEncoder

MODELS: dict[str, Callable[..., Model]] = {
    "BartForConditionalGeneration": BartForConditionalGeneration,
    "BartModel": BartModel,
    "BartForSequenceClassification": BartForSequenceClassification,
    "BartForQuestionAnswering": BartForQuestionAnswering,
    "BartForCausalLM": BartForCausalLM,
    "MBartForCausalLM": BartForCausalLM,
    "BertModel": BertEncoder,
    "BertLMHeadModel": BertDecoder,
    "RobertaModel": BertEncoder,
    "RobertaForCausalLM": BertDecoder,
    "BertGenerationEncoder": BertEncoder,
    "BertGenerationDecoder": BertDecoder,
    "GPT2LMHeadModel": Gpt2Decoder,
    "Wav2Vec2Model": SpeechEncoder,
    "HubertModel": SpeechEncoder,
    "EncoderDecoderModel": EncoderDecoderModel,
    "SpeechEncoderDecoderModel": SpeechEncoderDecoderModel,
}
"""The implementation of each documented class."""


def model_of(
    config: Config, model_class: str | None, attention: str = "eager", precision: str = "highest", *, rngs: nnx.Rngs
) -> Model:
    """A model without weights.

    Args:
        model_class: a documented class; None for the default of the architecture (``reference.config.classes``).

    Raises:
        CheckpointError: the architecture has no such class.
    """
    model_class = class_of(config, model_class)
    model = MODELS[model_class](config, attention, precision, rngs=rngs)
    model.model_class = model_class
    return model
