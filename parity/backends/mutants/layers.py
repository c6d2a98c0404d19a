"""Mutants inside a layer: normalisation and activation."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

FIRST, NEXT = "encoder.hidden.0", "encoder.hidden.1"
ACTIVATION = "activations:ACTIVATIONS[gelu]"


def _normal(patch: Patches, compute) -> None:
    """Replaces the result of every normalisation by ``compute`` of the centred values and epsilon."""

    def make(original):
        def forward(self, hidden):
            return compute(hidden, self.epsilon) * self.weight + self.bias

        return forward

    patch("normalisation:LayerNorm.forward", make)


def _centred(hidden):
    return hidden - hidden.mean(-1, keepdim=True)


def _variance(hidden, correction=0):
    return hidden.var(-1, correction=correction, keepdim=True)


@mutant(
    "epsilon-1e-12",
    "layer normalisation's epsilon is 1e-12, as in BERT, instead of 1e-5",
    FIRST,
    history="keras-hub's and transformers' BERT and BART differ in this default",
)
def epsilon_of_bert(patch: Patches) -> None:
    _normal(patch, lambda hidden, epsilon: _centred(hidden) * (_variance(hidden) + 1e-12).rsqrt())


@mutant("epsilon-1e-6", "layer normalisation's epsilon is 1e-6, Flax's default, instead of 1e-5", FIRST)
def epsilon_of_flax(patch: Patches) -> None:
    _normal(patch, lambda hidden, epsilon: _centred(hidden) * (_variance(hidden) + 1e-6).rsqrt())


@mutant("epsilon-outside-the-root", "epsilon is added to the standard deviation instead of the variance", FIRST)
def epsilon_outside(patch: Patches) -> None:
    _normal(patch, lambda hidden, epsilon: _centred(hidden) / (_variance(hidden).sqrt() + epsilon))


@mutant("unbiased-variance", "layer normalisation uses the unbiased variance", FIRST)
def unbiased(patch: Patches) -> None:
    _normal(patch, lambda hidden, epsilon: _centred(hidden) * (_variance(hidden, 1) + epsilon).rsqrt())


@mutant("norm-not-centred", "layer normalisation does not subtract the mean", FIRST)
def not_centred(patch: Patches) -> None:
    _normal(patch, lambda hidden, epsilon: hidden * (hidden.square().mean(-1, keepdim=True) + epsilon).rsqrt())


@mutant("norm-in-bfloat16", "layer normalisation computes in bfloat16", FIRST)
def in_bfloat16(patch: Patches) -> None:
    _normal(
        patch,
        lambda hidden, epsilon: (_centred(hidden).bfloat16() * (_variance(hidden) + epsilon).rsqrt().bfloat16()).to(
            hidden.dtype
        ),
    )


@mutant(
    "norm-before",
    "encoder layers are pre-norm instead of post-norm",
    "encoder.attention.0",
)
def before(patch: Patches) -> None:
    patch("layers:EncoderLayer.before", lambda original: lambda self, norm, hidden: norm(hidden))
    patch("layers:EncoderLayer.after", lambda original: lambda self, norm, hidden: hidden)


@mutant("norms-exchanged", "the two layer normalisations of an encoder layer are exchanged", NEXT)
def exchanged(patch: Patches) -> None:
    def make(original):
        def run(self, *given):
            for layer in self.layers:
                layer.self_attn_layer_norm, layer.final_layer_norm = layer.final_layer_norm, layer.self_attn_layer_norm
            try:
                return original(self, *given)
            finally:
                for layer in self.layers:
                    layer.self_attn_layer_norm, layer.final_layer_norm = (
                        layer.final_layer_norm,
                        layer.self_attn_layer_norm,
                    )

        return run

    patch("stacks:EncoderStack.run", make)


@mutant(
    "residual-lost",
    "the decoder's feed-forward network has no residual connection",
    "decoder.hidden.1",
)
def residual_lost(patch: Patches) -> None:
    def make(original):
        def feed_forward(self, hidden):
            if not hasattr(self, "encoder_attn"):
                return original(self, hidden)
            return self.final_layer_norm(self.fc2(self.activation(self.fc1(hidden))))

        return feed_forward

    patch("layers:EncoderLayer.feed_forward", make)


@mutant(
    "gelu-by-tanh",
    "GELU is the tanh approximation",
    NEXT,
    history="jax.nn.gelu has approximate=True by default",
)
def gelu_by_tanh(patch: Patches) -> None:
    def make(original):
        from torch.nn import functional

        return lambda hidden: functional.gelu(hidden, approximate="tanh")

    patch(ACTIVATION, make)


@mutant("gelu-by-sigmoid", "GELU is approximated by x · sigmoid(1.702 x)", NEXT)
def gelu_by_sigmoid(patch: Patches) -> None:
    patch(ACTIVATION, lambda original: lambda hidden: hidden * (1.702 * hidden).sigmoid())


@mutant("activation-is-relu", "the activation is ReLU instead of the config's GELU", NEXT)
def relu(patch: Patches) -> None:
    patch(ACTIVATION, lambda original: lambda hidden: hidden.relu())


@mutant("fc2-bias-missing", "the feed-forward network's second layer has no bias", NEXT)
def fc2_bias(patch: Patches) -> None:
    def make(original):
        def __init__(self, *given):
            original(self, *given)
            self.fc2.register_forward_hook(lambda module, _, found: found - module.bias)

        return __init__

    patch("layers:EncoderLayer.__init__", make)


@mutant(
    "one-row-a-hundredth-off",
    "one channel of the last decoder layer's feed-forward output is multiplied by 1.01",
    "decoder.hidden.2",
)
def one_row(patch: Patches) -> None:
    def make(original):
        def __init__(self, *given):
            original(self, *given)
            self.layers[1].fc2.register_forward_hook(_scaled_channel)

        return __init__

    patch("stacks:DecoderStack.__init__", make)


def _scaled_channel(module, given, found):
    factors = found.new_ones(found.shape[-1])
    factors[3] = 1.01
    return found * factors
