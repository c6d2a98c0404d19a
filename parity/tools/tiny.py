"""Random checkpoints for a config: ``parity.tiny``."""

from __future__ import annotations

import atexit
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from parity.core.errors import InputError
from parity.core.model_spec import ModelSpec, model_spec_of
from reference.config import CONFIG_FILE
from reference.files import read_json
from reference.names import LOGITS_BIAS
from reference.weights.bounds import requested_size

LIMIT = 2_000_000_000
"""The most bytes of weights."""
END_BIASES = (LOGITS_BIAS, "decoder.cls.predictions.bias", "decoder.lm_head.bias")
"""What the families add to the logits; GPT-2's head and that of BART's decoder alone have nothing of the kind."""
END_BIAS = 1.2
"""Added to the logit of the end token, so that generated texts end at different steps."""
SPREAD = 0.2
"""The standard deviation of matrices and tables."""
TEXT = 20
"""The longest generated text, in tokens."""


def tiny(
    config: str | Path | Mapping[str, Any] | Any,
    directory: str | Path | None = None,
    seed: int = 0,
    *,
    reduce: bool = False,
) -> Path:
    """Writes a checkpoint with random weights for a config, so that an implementation can be checked without weights.

    The weights are drawn so that errors are visible: no bias is zero, no norm is the identity, the row of the padding
    token is not zero, and matrices have a standard deviation of 0.2, or 1 / √(number of inputs) where that is less.
    There are no tokenizer files.

    >>> import parity
    >>> directory = parity.tiny({
    ...     "model_type": "bart", "vocab_size": 99, "d_model": 24, "max_position_embeddings": 40,
    ...     "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 36,
    ...     "decoder_layers": 2, "decoder_attention_heads": 3, "decoder_ffn_dim": 28,
    ... })
    >>> sorted(path.name for path in directory.iterdir())
    ['config.json', 'generation_config.json', 'model.safetensors']

    Args:
        config: the path of a ``config.json``, or of a directory with one; its content as a dictionary; or a config
            object of transformers. Fields that are absent have their documented defaults.
        directory: a new or empty directory to write to; by default a temporary one, removed when the process ends.
        seed: of the weights. The same config and seed give the same bytes.
        reduce: replaces large sizes: at most 2 layers and 4 heads in each half, a width of at least 24, and a
            vocabulary of 131; token ids outside of it are replaced. Otherwise the config is used unchanged.

    Returns:
        The directory, which ``parity.check`` and ``parity.audit`` accept.

    Raises:
        InputError: no model is built from such a config here, its weights would take more than 2 GB, or the directory
            is not empty.
    """
    content = _content(config)
    if reduce:
        content = _reduced(content)
    spec = model_spec_of(content, location=config if isinstance(config, str | Path) else CONFIG_FILE)
    numbers, _ = requested_size(spec.config, spec.model_class)
    if 4 * numbers > LIMIT:
        cause = f"the weights of this config take {4 * numbers / 1e9:.1f} GB; the limit is {LIMIT / 1e9:.0f} GB"
        raise InputError(f"{cause}{'' if reduce else ' (reduce=True makes it small)'}")
    target = _empty(directory)
    weights = make_weights(spec, seed, END_BIAS, widest=25)
    settings = _generation(spec)
    for name, given in ((CONFIG_FILE, {**content, "architectures": [spec.model_class]}), *settings):
        (target / name).write_text(json.dumps(given, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def make_weights(
    model_spec: ModelSpec, seed: int, eos_bias: float, *, widest: int | None = None
) -> dict[str, np.ndarray]:
    """Adversarial random weights under canonical names, float32.

    Matrices and tables have standard deviation 0.2, norms a weight between 0.5 and 1.5, every bias a size between 0.05
    and 0.5 of either sign, the end of a sequence's logit is raised by ``eos_bias``. The row of the padding token is
    drawn like any other, so that a library that zeroes it is detected.

    Args:
        widest: the number of inputs above which a matrix is scaled to keep the size of its outputs, so that attention
            is not saturated; None to scale none.
    """
    draw = np.random.default_rng(seed)
    weights = {}
    for row in model_spec.table.rows:
        if row.name not in weights:
            shape = row.parameter.shape
            inputs = (shape[0] if row.transposed else math.prod(shape[1:])) if len(shape) > 1 else 1
            if widest is not None and inputs > widest and not _is_norm(row.name):
                spread = np.float32(SPREAD * math.sqrt(widest / inputs))
                weights[row.name] = draw.standard_normal(shape, np.float32) * spread
            else:
                weights[row.name] = _draw(row.name)(draw, shape).astype(np.float32)
    for name in END_BIASES:
        if name in weights:
            weights[name][..., model_spec.end] = eos_bias
    return weights


def _draw(name: str) -> Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]:
    if name.endswith("bias"):
        return lambda draw, shape: draw.uniform(0.05, 0.5, shape) * draw.choice((-1.0, 1.0), shape)
    if _is_norm(name):
        return lambda draw, shape: draw.uniform(0.5, 1.5, shape)
    return lambda draw, shape: draw.normal(0.0, SPREAD, shape)


def _is_norm(name: str) -> bool:
    return "norm" in name.lower() or ".ln_" in name or "original0" in name


def _content(config: Any) -> dict[str, Any]:
    """The content of a ``config.json``, in JSON types.

    Raises:
        InputError: it is no config.
    """
    if isinstance(config, str | Path):
        path = Path(config).expanduser()
        found = read_json(path, CONFIG_FILE) if path.is_dir() else read_json(path.parent, path.name)
    elif callable(getattr(config, "to_dict", None)):
        found = config.to_dict()
    else:
        found = config
    if not isinstance(found, Mapping):
        raise InputError(f"a {type(found).__name__} is no config: expected a path, a dictionary or a config object")
    try:
        return json.loads(json.dumps(dict(found)))
    except (TypeError, ValueError) as error:
        raise InputError(f"the config has a value that config.json cannot have: {error}") from error


def _empty(directory: str | Path | None) -> Path:
    if directory is None:
        folder = tempfile.mkdtemp(prefix="parity-tiny-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)
    target = Path(directory).expanduser()
    try:
        target.mkdir(parents=True, exist_ok=True)
        used = any(target.iterdir())
    except OSError as error:
        raise InputError(f"{target}: cannot be written to: {error.strerror}") from error
    if used:
        raise InputError(f"{target}: is not empty")
    return target


def _generation(spec: ModelSpec) -> Iterator[tuple[str, dict[str, Any]]]:
    """``generation_config.json`` of a class that generates text, with short texts and the config's special tokens."""
    if not spec.generates:
        return
    found: dict[str, Any] = {"max_length": min(TEXT, spec.positions)}
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
        value = getattr(spec.config, name, None)
        if value is not None:
            found[name] = value
    yield "generation_config.json", found


LAYERS, HEADS, WIDTH, VOCAB, POSITIONS = 2, 4, 24, 131, 64
"""The sizes of a reduced config."""
_LAYERS = ("encoder_layers", "decoder_layers", "num_hidden_layers", "n_layer", "num_adapter_layers")
_HEADS = (
    "encoder_attention_heads",
    "decoder_attention_heads",
    "num_attention_heads",
    "n_head",
    "num_conv_pos_embedding_groups",
)
_WIDTHS = ("d_model", "hidden_size", "n_embd", "output_hidden_size")
_FFN = ("encoder_ffn_dim", "decoder_ffn_dim", "intermediate_size", "n_inner")


def _reduced(content: Mapping[str, Any]) -> dict[str, Any]:
    """The config with small sizes. Widths that were equal remain so."""
    # Absent fields have defaults, which are large: they are written out first.
    spec = model_spec_of(content)
    from parity.checkpoint.inspection import filled

    whole = filled(dict(content), spec.config)
    halves = [whole[half] for half in ("encoder", "decoder") if isinstance(whole.get(half), dict)] or [whole]
    counts = [min(half[name], HEADS) for half in halves for name in _HEADS if _is_size(half.get(name))]
    step = math.lcm(*counts)
    width = step * math.ceil(WIDTH / step)
    tokens: dict[int, int] = {}
    found = _reduced_half(whole, width, tokens)
    for half in ("encoder", "decoder"):
        if isinstance(found.get(half), dict):
            found[half] = _reduced_half(found[half], width, tokens)
    return found


def _is_size(value: Any) -> bool:
    return type(value) is int and value > 0


def _reduced_half(half: Mapping[str, Any], width: int, tokens: dict[int, int]) -> dict[str, Any]:
    found = dict(half)
    for names, most in ((_LAYERS, LAYERS), (_HEADS, HEADS), (_WIDTHS, width), (_FFN, 2 * width + 4)):
        found |= {name: min(half[name], most) for name in names if _is_size(half.get(name))}
    # A width below the common one need not be a multiple of its heads any more.
    found |= {name: width for name in _WIDTHS if _is_size(half.get(name))}
    sizes = {"vocab_size": VOCAB, "max_position_embeddings": POSITIONS, "n_positions": POSITIONS, "n_ctx": POSITIONS}
    sizes["num_conv_pos_embeddings"] = 16
    found |= {name: min(half[name], most) for name, most in sizes.items() if _is_size(half.get(name))}
    if isinstance(half.get("conv_dim"), list | tuple):
        found["conv_dim"] = [min(size, width) for size in half["conv_dim"]]
    vocab = found.get("vocab_size", VOCAB)
    for name, value in half.items():
        if name.endswith("_token_id") and _is_size(value) and value >= vocab:
            found[name] = tokens.setdefault(value, vocab - 1 - len(tokens))
    return found
