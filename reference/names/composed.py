"""The table of names of a model, by its config and class."""

from __future__ import annotations

from typing import Any

from reference.config import BartConfig, BertConfig, Config, EncoderDecoderConfig, Gpt2Config, SpeechConfig
from reference.config.classes import class_of
from reference.names import bart, bert, gpt2, speech
from reference.names.table import Table, linear


def table_of(config: Config, model_class: str | None = None) -> Table:
    """The table of names of a model.

    Args:
        model_class: a documented class; None for the default of the architecture (``reference.config.classes``).

    Raises:
        CheckpointError: the architecture has no such class.
    """
    model_class = class_of(config, model_class)
    if isinstance(config, EncoderDecoderConfig):
        return _joined(config)
    if isinstance(config, BartConfig):
        return bart.table(config, model_class)
    if isinstance(config, SpeechConfig):
        return speech.table(config)
    if isinstance(config, BertConfig) and model_class.endswith(("Model", "Encoder")) and "LM" not in model_class:
        return bert.encoder_table(config)
    return decoder_table(config, config.add_cross_attention)


def decoder_table(config: BertConfig | Gpt2Config | BartConfig, cross: bool) -> Table:
    """A decoder with a language-model head; ``cross``: with cross-attention."""
    architecture: Any = bert if isinstance(config, BertConfig) else gpt2 if isinstance(config, Gpt2Config) else bart
    return architecture.decoder_table(config, cross)


def _joined(config: EncoderDecoderConfig) -> Table:
    encoder = table_of(config.encoder).within("encoder.", "encoder.")
    decoder = decoder_table(config.decoder, True).within("decoder.", "decoder.")
    sizes, axes = (config.decoder.d_model, config.encoder.d_model), ("d_model", "memory")
    projection = tuple(linear("enc_to_dec_proj", "enc_to_dec_proj", sizes, axes)) if config.projects else ()
    return Table(
        (*encoder.rows, *projection, *decoder.rows),
        {**encoder.tied, **decoder.tied},
        ignored=(*encoder.ignored, *decoder.ignored),
        spellings=speech.SPELLINGS,
    )
