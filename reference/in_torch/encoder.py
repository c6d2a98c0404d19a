# Peer reference: reference/in_flax/encoder.py
"""What an encoder must offer to stand before a decoder."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reference.in_torch.model import C, Model
from reference.in_torch.outputs import EncoderOutput


class Encoder(Model[C]):
    """A bare model that turns inputs into states.

    Attributes:
        main_input: what its input is called.
    """

    main_input = "input_ids"

    def encode(
        self,
        inputs: Int[Tensor, "batch src"] | Float[Tensor, "batch samples"],
        /,
        attention_mask: Int[Tensor, "batch _"] | None = None,
        head_mask: Float[Tensor, "encoder_layers heads"] | None = None,
    ) -> EncoderOutput:
        """States and attentions of every layer; without a mask everything is seen, padding too."""
        raise NotImplementedError

    def source_mask(
        self, attention_mask: Int[Tensor, "batch _"] | None, encoder_last_hidden_state: Float[Tensor, "batch src _"]
    ) -> Int[Tensor, "batch src"]:
        """Which of the states are no padding: as the inputs' mask says, all without one."""
        if attention_mask is None:
            attention_mask = encoder_last_hidden_state.new_ones(encoder_last_hidden_state.shape[:2], dtype=torch.int64)
        return attention_mask
