"""What a stack of layers is made of, in one vocabulary for all families."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StackShape:
    """An encoder's or a decoder's layers, whatever their family.

    ``pre_norm``: normalisation stands before each part of a layer, and once more after the last layer, instead of after
    each residual sum (Vaswani et al. 2017, section 5.4; Xiong et al. 2020, figure 1). ``cross``: each layer has an
    attention to an encoder's states. ``epsilon`` is added to the variance inside the root.
    """

    layers: int
    d_model: int
    heads: int
    ffn: int
    activation: str
    epsilon: float = 1e-5
    pre_norm: bool = False
    cross: bool = False
