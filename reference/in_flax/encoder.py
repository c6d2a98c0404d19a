# Peer reference: reference/in_torch/encoder.py
"""The interface of an encoder in an encoder-decoder model."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from reference.in_flax.model import C, Model
from reference.in_flax.outputs import EncoderOutput


class Encoder(Model[C]):
    """A bare model that turns inputs into states.

    Attributes:
        main_input: the name of its input argument.
    """

    main_input = "input_ids"

    def encode(
        self,
        inputs: Int[Array, "batch src"] | Float[Array, "batch samples"],
        /,
        attention_mask: Int[Array, "batch _"] | None = None,
        head_mask: Float[Array, "encoder_layers heads"] | None = None,
    ) -> EncoderOutput:
        """States and attentions of every layer; without a mask the whole input is attended to, including padding."""
        raise NotImplementedError

    def source_mask(
        self, attention_mask: Int[Array, "batch _"] | None, encoder_last_hidden_state: Float[Array, "batch src _"]
    ) -> Int[Array, "batch src"]:
        """The mask of non-padding states: the inputs' mask, or all states without one."""
        if attention_mask is None:
            attention_mask = jnp.ones(encoder_last_hidden_state.shape[:2], jnp.int32)
        return attention_mask
