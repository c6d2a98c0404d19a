"""Mutants of speech encoders: lengths, normalisation, position embedding."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

SPEECH = "wav2vec2-mbart"
FIRST, WEIGHTS, LAST = "encoder.hidden.0", "encoder.attention.0", "encoder.last"


@mutant(
    "one-frame-too-many",
    "the number of frames per row is one too large",
    FIRST,
    on=SPEECH,
    history="output lengths of convolutions rounded up instead of down",
)
def frame_too_many(patch: Patches) -> None:
    patch("speech:frames_left", lambda original: lambda *given: original(*given) + 1)


@mutant("one-frame-too-few", "the number of frames per row is one too small", FIRST, on=SPEECH)
def frame_too_few(patch: Patches) -> None:
    patch("speech:frames_left", lambda original: lambda *given: original(*given) - 1)


@mutant("strides-alone-shorten", "the number of frames is computed from strides without kernel sizes", FIRST, on=SPEECH)
def strides_alone(patch: Patches) -> None:
    patch(
        "speech:frames_left",
        lambda original: lambda samples, kernels, strides: original(samples, tuple(1 for _ in kernels), strides),
    )


@mutant(
    "features-not-normalised",
    "the first convolution's output is not normalised",
    FIRST,
    on=SPEECH,
    history="transformers #13512: audio normalised wrongly in three releases",
)
def not_normalised(patch: Patches) -> None:
    def make(original):
        def forward(self, frames):
            return self.activation(self.conv(frames))

        return forward

    patch("speech:FeatureLayer.forward", make)


@mutant("projection-not-normalised", "the feature projection omits layer normalisation", FIRST, on=SPEECH)
def projection_not_normalised(patch: Patches) -> None:
    patch("speech:FeatureProjection.forward", lambda original: lambda self, frames: self.linear(frames))


@mutant(
    "weight-norm-of-channels",
    "weight normalisation of the positional convolution is per channel instead of per tap",
    FIRST,
    on=SPEECH,
    history="transformers #11617: the same in TensorFlow's first conversion",
)
def weight_norm(patch: Patches) -> None:
    def make(original):
        def forward(self, hidden):
            from reference.in_torch.convolution import convolve

            direction = self.direction
            weight = self.length * direction / direction.square().sum((1, 2), keepdim=True).sqrt()
            found = convolve(hidden, weight, self.bias, 1, weight.shape[2] // 2)
            return self.activation(found[:, : hidden.shape[1]])

        return forward

    patch("speech:ConvolutionalPositions.forward", make)


@mutant(
    "weight-norm-forgotten",
    "the positional convolution uses weight_v alone, without weight_g",
    FIRST,
    on=SPEECH,
    history="transformers #26796: weight_g and weight_v reported as not used",
)
def weight_norm_forgotten(patch: Patches) -> None:
    def make(original):
        def forward(self, hidden):
            from reference.in_torch.convolution import convolve

            found = convolve(hidden, self.direction, self.bias, 1, self.direction.shape[2] // 2)
            return self.activation(found[:, : hidden.shape[1]])

        return forward

    patch("speech:ConvolutionalPositions.forward", make)


@mutant(
    "positions-one-frame-late",
    "the extra frame of an even positional kernel is removed at the wrong end",
    FIRST,
    on=SPEECH,
)
def positions_late(patch: Patches) -> None:
    def make(original):
        return lambda hidden, weight, bias, stride, padding: original(hidden, weight, bias, stride, padding).roll(-1, 1)

    patch("speech:convolve", make)


@mutant("positions-left-out", "the positional convolution's output is not added", FIRST, on=SPEECH)
def positions_left_out(patch: Patches) -> None:
    patch("speech:ConvolutionalPositions.forward", lambda original: lambda self, hidden: hidden * 0)


@mutant(
    "adapter-stride-in-masks",
    "the cross-attention mask ignores the adapter's strides",
    "decoder.cross_attention.0",
    on=SPEECH,
)
def adapter_forgotten(patch: Patches) -> None:
    def make(original):
        def source_mask(self, mask, states):
            adapter, self.adapter = self.adapter, None
            try:
                return original(self, mask, states)
            finally:
                self.adapter = adapter

        return source_mask

    patch("speech:SpeechEncoder.source_mask", make)


@mutant("adapter-gate-exchanged", "values and gates of the adapter's GLU are exchanged", LAST, on=SPEECH)
def gate(patch: Patches) -> None:
    def make(original):
        def __init__(self, config):
            original(self, config)
            for layer in self.layers:
                layer.register_forward_hook(lambda module, _, found: found.roll(found.shape[2] // 2, 2))

        return __init__

    patch("speech:Adapter.__init__", make)


@mutant("adapter-not-normalised", "the adapter's projection omits layer normalisation", LAST, on=SPEECH)
def adapter_norm(patch: Patches) -> None:
    def make(original):
        def forward(self, hidden):
            norm, self.norm = self.norm, None
            try:
                if self.linear is not None:
                    hidden = self.linear(hidden)
                linear, self.linear = self.linear, None
                found = original(self, hidden)
                self.linear = linear
                return found
            finally:
                self.norm = norm

        return forward

    patch("speech:Adapter.forward", make)
