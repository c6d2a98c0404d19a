"""The structure of a stack of layers, independent of the architecture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StackShape:
    """The layers of an encoder or a decoder of any architecture.

    ``pre_norm``: normalisation before each sublayer and after the last layer, instead of after each residual sum
    (Vaswani et al. 2017, section 5.4; Xiong et al. 2020, figure 1). ``cross``: each layer has cross-attention.
    ``epsilon`` is added to the variance inside the square root.
    """

    layers: int
    d_model: int
    heads: int
    ffn: int
    activation: str
    epsilon: float = 1e-5
    pre_norm: bool = False
    cross: bool = False
