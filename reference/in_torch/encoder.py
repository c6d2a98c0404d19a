# Peer reference: reference/in_flax/encoder.py
"""The interface of an encoder in an encoder-decoder model."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reference.in_torch.model import C, Model
from reference.in_torch.outputs import EncoderOutput


class Encoder(Model[C]):
    """A bare model that turns inputs into states.

    Attributes:
        main_input: the name of its input argument.
    """

    main_input = "input_ids"

    def encode(
        self,
        inputs: Int[Tensor, "batch src"] | Float[Tensor, "batch samples"],
        /,
        attention_mask: Int[Tensor, "batch _"] | None = None,
        head_mask: Float[Tensor, "encoder_layers heads"] | None = None,
    ) -> EncoderOutput:
        """States and attentions of every layer; without a mask the whole input is attended to, including padding."""
        raise NotImplementedError

    def source_mask(
        self, attention_mask: Int[Tensor, "batch _"] | None, encoder_last_hidden_state: Float[Tensor, "batch src _"]
    ) -> Int[Tensor, "batch src"]:
        """The mask of non-padding states: the inputs' mask, or all states without one."""
        if attention_mask is None:
            attention_mask = encoder_last_hidden_state.new_ones(encoder_last_hidden_state.shape[:2], dtype=torch.int64)
        return attention_mask
