"""Parameter names of wav2vec 2.0 and HuBERT (transformers 4.57.6, models/wav2vec2 and hubert/modeling_*.py)."""

from __future__ import annotations

from collections.abc import Iterator

from reference.config import SpeechConfig
from reference.names.table import Parameter, Row, Table, linear, norm, stack

LAYER = {
    **{f"self_attn.{name}": f"attention.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")},
    "self_attn_layer_norm": "layer_norm",
    "final_layer_norm": "final_layer_norm",
    "fc1": "feed_forward.intermediate_dense",
    "fc2": "feed_forward.output_dense",
}
SPELLINGS = (
    (r"pos_conv_embed\.conv\.weight_g$", "pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"pos_conv_embed\.conv\.weight_v$", "pos_conv_embed.conv.parametrizations.weight.original1"),
)
"""The names of the norm and direction of weight normalisation before PyTorch's parametrizations."""
_IGNORED = ("masked_spec_embed", "quantizer.*", "project_hid.*", "project_q.*", "lm_head.*", "*.num_batches_tracked")


def table(config: SpeechConfig) -> Table:
    """The encoder, including its adapter."""
    rows = (
        *_convolutions(config),
        *_projection(config),
        *_positions(config),
        *(() if config.do_stable_layer_norm else norm("layer_norm", "encoder.layer_norm", config.hidden_size)),
        *stack(config.stack(), "stack.layers", "encoder.layers", LAYER),
        *(norm("stack.layer_norm", "encoder.layer_norm", config.hidden_size) if config.do_stable_layer_norm else ()),
        *_adapter(config),
    )
    return Table(rows, {}, f"{config.model_type}.", _IGNORED, SPELLINGS)


def _convolutions(config: SpeechConfig) -> Iterator[Row]:
    channels = (1, *config.conv_dim)
    for index, kernel in enumerate(config.conv_kernel):
        ours, name = f"features.{index}", f"feature_extractor.conv_layers.{index}"
        made = channels[index + 1]
        shape, axes = (made, channels[index], kernel), ("channels", "channels", "kernel")
        yield from convolution(f"{ours}.conv", f"{name}.conv", shape, axes, config.conv_bias)
        if config.feat_extract_norm == "layer" or index == 0:
            yield from norm(f"{ours}.norm", f"{name}.layer_norm", made, "channels")


def _projection(config: SpeechConfig) -> Iterator[Row]:
    if config.feat_proj_layer_norm:
        yield from norm("projection.norm", "feature_projection.layer_norm", config.conv_dim[-1], "channels")
    sizes = (config.hidden_size, config.conv_dim[-1])
    yield from linear("projection.linear", "feature_projection.projection", sizes, ("d_model", "channels"))


def _positions(config: SpeechConfig) -> Iterator[Row]:
    """Weight normalisation: a norm for each kernel tap, and a direction (Salimans and Kingma 2016, equation 2)."""
    width, kernel, name = config.hidden_size, config.num_conv_pos_embeddings, "encoder.pos_conv_embed"
    shape = (width, width // config.num_conv_pos_embedding_groups, kernel)
    axes = ("d_model", "group", "kernel")
    if config.conv_pos_batch_norm:
        yield from norm("positions.norm", f"{name}.batch_norm", width)
        for ours, theirs in (("mean", "running_mean"), ("variance", "running_var")):
            row = Parameter((width,), ("d_model",))
            yield Row(f"positions.norm.{ours}", f"{name}.batch_norm.{theirs}", row, buffer=True)
        yield Row("positions.weight", f"{name}.conv.weight", Parameter(shape, axes))
    else:
        weight = f"{name}.conv.parametrizations.weight"
        yield Row("positions.length", f"{weight}.original0", Parameter((1, 1, kernel), ("one", "one", "kernel")))
        yield Row("positions.direction", f"{weight}.original1", Parameter(shape, axes))
    yield Row("positions.bias", f"{name}.conv.bias", Parameter((width,), ("d_model",)))


def _adapter(config: SpeechConfig) -> Iterator[Row]:
    if not config.add_adapter:
        return
    width = config.d_model
    if width != config.hidden_size:
        sizes = (width, config.hidden_size)
        yield from linear("adapter.linear", "adapter.proj", sizes, ("d_model", "d_model"))
        yield from norm("adapter.norm", "adapter.proj_layer_norm", width)
    for index in range(config.num_adapter_layers):
        shape = (2 * width, width, config.adapter_kernel_size)
        axes = ("gates", "d_model", "kernel")
        yield from convolution(f"adapter.layers.{index}", f"adapter.layers.{index}.conv", shape, axes, True)


def convolution(
    ours: str, name: str, shape: tuple[int, int, int], axes: tuple[str, str, str], bias: bool
) -> Iterator[Row]:
    """Weight ``[out, in, kernel]`` and an optional bias ``[out]``, as in ``torch.nn.Conv1d``."""
    yield Row(f"{ours}.weight", f"{name}.weight", Parameter(shape, axes))
    if bias:
        yield Row(f"{ours}.bias", f"{name}.bias", Parameter(shape[:1], axes[:1]))
