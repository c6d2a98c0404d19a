# Peer reference: reference/in_torch/encoder.py
"""What an encoder must offer to stand before a decoder."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from reference.in_flax.model import C, Model
from reference.in_flax.outputs import EncoderOutput


class Encoder(Model[C]):
    """A bare model that turns inputs into states.

    Attributes:
        main_input: what its input is called.
    """

    main_input = "input_ids"

    def encode(
        self,
        inputs: Int[Array, "batch src"] | Float[Array, "batch samples"],
        /,
        attention_mask: Int[Array, "batch _"] | None = None,
        head_mask: Float[Array, "encoder_layers heads"] | None = None,
    ) -> EncoderOutput:
        """States and attentions of every layer; without a mask everything is seen, padding too."""
        raise NotImplementedError

    def source_mask(
        self, attention_mask: Int[Array, "batch _"] | None, encoder_last_hidden_state: Float[Array, "batch src _"]
    ) -> Int[Array, "batch src"]:
        """Which of the states are no padding: as the inputs' mask says, all without one."""
        if attention_mask is None:
            attention_mask = jnp.ones(encoder_last_hidden_state.shape[:2], jnp.int32)
        return attention_mask
