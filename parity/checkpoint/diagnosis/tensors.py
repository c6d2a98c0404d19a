"""Diagnoses from tensor names and types: wrapped, adapted or quantised models, or weights of another model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from parity.checkpoint.diagnosis.reading import word
from parity.core.records import Notice
from reference.errors import brief
from reference.names import Table, entry_in
from reference.weights.stored import Opened

WRAPPERS = {
    "_orig_mod": ("torch.compile", "model._orig_mod"),
    "module": ("DataParallel or DistributedDataParallel", "model.module"),
    "_fsdp_wrapped_module": ("FullyShardedDataParallel", "the model gathered with FSDP's full state dict"),
    "_checkpoint_wrapped_module": ("activation checkpointing", "the model inside the wrapper"),
    "_forward_module": ("Lightning Fabric", "the model inside the wrapper"),
    "base_model.model": ("PEFT", "model.merge_and_unload()"),
}
"""Name parts that a wrapper adds, the wrapper, and what to save instead."""

_ADAPTED = re.compile(
    r"\.(base_layer|lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|modules_to_save|original_module|ia3_l|"
    r"hada_w[12]_[ab]|oft_[rR]|vera_lambda_[bd])(\.|$)|^prompt_encoder\."
)
_QUANTISED = (
    ("bitsandbytes 8-bit", re.compile(r"\.(SCB|weight_format)$")),
    (
        "bitsandbytes 4-bit",
        re.compile(r"\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__\w+)$"),
    ),
    ("GPTQ", re.compile(r"\.(g_idx)$")),
    ("AWQ or GPTQ", re.compile(r"\.(qweight|qzeros)$")),
    ("HQQ", re.compile(r"\.W_q$")),
    ("AQLM", re.compile(r"\.codebooks$")),
    ("compressed-tensors", re.compile(r"\.(weight_packed|weight_zero_point)$")),
    ("Quanto", re.compile(r"\.(_data|_scale|input_scale|output_scale)$")),
    ("float8 or int8 with scales", re.compile(r"\.(weight_scale|weight_scale_inv|weight_scales|scale_weight)$")),
)
"""Tensor names by which each quantisation method is recognised (transformers 4.57.6, quantizers/; the packages'
own)."""
QUANTISED_DTYPES = ("int8", "uint8")
UNREAD_DTYPE = re.compile(r"unknown dtype '(F8_\w+|F4\w*|F6\w*|U16|U32|U64|I4|U4|C64)")
"""Our reader's message about a type that no BART uses."""
DTYPES_OF_TORCH = (
    "float32",
    "float",
    "float64",
    "double",
    "float16",
    "half",
    "bfloat16",
    "float8_e4m3fn",
    "float8_e5m2",
)
DEQUANTISE = (
    "audit the checkpoint that it was quantised from, or load it where its package is installed, call "
    "model.dequantize() and save_pretrained(), and audit that"
)
FEW = 4
MOSTLY = 10
"""A file with less than this fraction of the class's names is another model's, whatever they have in common."""


def quantised(config: Mapping[str, Any], opened: Opened | None = None) -> Notice | None:
    """The quantisation method of the weights; None if they are not quantised.

    Args:
        config: the content of ``config.json``.
        opened: the weights' headers, where they can be read.
    """
    stated = config.get("quantization_config")
    if isinstance(stated, Mapping) and stated:
        method = word(stated.get("quant_method")) or next(
            (f"bitsandbytes {bits}-bit" for bits in (8, 4) if stated.get(f"load_in_{bits}bit")), "a method not named"
        )
        return _quantised(f"{method}, by quantization_config in config.json")
    if opened is None:
        return None
    for method, pattern in _QUANTISED:
        name = next((name for name in opened.tensors if pattern.search(name)), None)
        if name is not None:
            return _quantised(f"{method}, by the tensor {name}")
    for name, stored in opened.tensors.items():
        if stored.dtype in QUANTISED_DTYPES and len(stored.shape) > 1 and "position_ids" not in name:
            return _quantised(f"{name} is {stored.dtype}")
    return None


def notices_of_loading(config: Mapping[str, Any]) -> Iterator[Notice]:
    """Fields of ``config.json`` for which a library raises an error before it reads any weight.

    Sources: transformers 4.57.6, ``PretrainedConfig.__init__`` (torch_dtype), ``get_hf_quantizer``.
    """
    stated = config.get("quantization_config")
    if stated is not None and not (isinstance(stated, Mapping) and stated):
        yield Notice(
            id="empty-quantisation",
            cause="quantization_config in config.json names no method, and the weights are not quantised: libraries "
            "end with an error where the field is there at all",
            advice="take quantization_config out of config.json",
        )
    for name in ("dtype", "torch_dtype"):
        value = config.get(name)
        if isinstance(value, str) and value.removeprefix("torch.") not in DTYPES_OF_TORCH:
            yield Notice(
                id="unknown-dtype",
                cause=f"{name} in config.json is {brief(value, 40)}, which is no type of torch",
                advice=f"write the type that the weights are in, as float32, or take {name} out",
            )


def _quantised(how: str) -> Notice:
    return Notice(
        id="quantised-weights",
        cause=f"the weights are quantised ({how}), so that they are not the parameters of the class but codes for them",
        advice=DEQUANTISE,
    )


def unread_dtype(cause: str) -> Notice | None:
    """The notice for a data type of quantised weights."""
    found = UNREAD_DTYPE.search(cause)
    return _quantised(f"a tensor of the type {found[1]}") if found else None


def notices_of_names(opened: Opened, table: Table, model_class: str) -> Iterator[Notice]:
    """Problems common to all names: adapted by PEFT, a prefix, below a key, or another model's."""
    names, known = list(opened.tensors), _recognises(table, opened)
    if not names:
        yield from _below_a_key(opened)
        return
    recognised = _count(names, known)
    if recognised == len(names):
        yield from _bare_beside_head(names, table, model_class)
        yield from _other_size(opened, table)
        return
    adapted = [name for name in names if _ADAPTED.search(name)]
    if adapted:
        yield Notice(
            id="peft-unmerged",
            cause=f"the file holds a model as PEFT wraps it, not merged: {len(adapted)} of {len(names)} tensors are "
            f"base_layer, lora_A, lora_B and the like ({adapted[0]})",
            advice="merge it before saving: model = model.merge_and_unload(); model.save_pretrained(DIR)",
        )
        return
    wrapped = _wrapped(names, known, recognised) or _renamed(opened, table, known, model_class)
    if wrapped is not None:
        yield wrapped
    elif recognised * MOSTLY < len(names):
        strange = [name for name in names if not known(name)]
        shown = ", ".join(strange[:FEW]) + (" …" if len(strange) > FEW else "")
        count = f"only {recognised}" if recognised else "none"
        yield Notice(
            id="another-models-weights",
            cause=f"{count} of the file's {len(names)} tensor names {'are' if recognised > 1 else 'is'} one that "
            f"{model_class} has: {shown}",
            advice="the weights are of another model or another library than config.json says; save both together, "
            "by save_pretrained",
        )


def _recognises(table: Table, opened: Opened) -> Callable[[str], bool]:
    def known(name: str) -> bool:
        entry = entry_in(table, name, opened.layout) if name else None
        return entry is not None and entry.role != "ignored"

    return known


def _count(names: Iterable[str], known: Callable[[str], bool]) -> int:
    return sum(map(known, names))


def _wrapped(names: Sequence[str], known: Callable[[str], bool], recognised: int) -> Notice | None:
    """A common prefix, or a wrapper's name part, without which more of the names are the class's own."""
    best, found = recognised, None
    # The shortest sufficient prefix, but never half of a wrapper's: the class may accept either.
    prefixes = sorted(_common_prefixes(names), key=lambda prefix: not prefix.endswith(tuple(f"{w}." for w in WRAPPERS)))
    for prefix in prefixes:
        count = _count((name.removeprefix(prefix) for name in names), known)
        if count > best:
            best, found = count, _behind(prefix, names, count)
    for word_, (by, instead) in WRAPPERS.items():
        inside = re.compile(rf"(?:^|(?<=\.)){re.escape(word_)}\.")
        holding = [name for name in names if inside.search(name)]
        if holding and (count := _count((inside.sub("", name) for name in names), known)) > best:
            best, found = count, _within(word_, by, instead, holding, names)
    return found if best >= max(1, len(names) // 2) else None


def _common_prefixes(names: Sequence[str]) -> list[str]:
    """Common prefixes of all names, up to each separator: ``_orig_mod.``, ``_orig_mod.model.``."""
    low, high = min(names), max(names)
    length = next((at for at, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low))
    return [low[: at + 1] for at in range(min(length, 200)) if low[at] in "./"]


def _behind(prefix: str, names: Sequence[str], count: int) -> Notice:
    inside = [(by, instead) for word_, (by, instead) in WRAPPERS.items() if f".{word_}." in f".{prefix}"]
    by = f", which {' and '.join(by for by, _ in inside)} puts there" if inside else ""
    save = f"save the model inside, {inside[0][1]}, or" if inside else "save the model inside by save_pretrained, or"
    return Notice(
        id="common-prefix",
        cause=f"every tensor name of the file begins with {prefix!r}{by}; without it {count} of {len(names)} are names "
        "that the class has",
        advice=f"{save} strip it: {{name.removeprefix({prefix!r}): tensor for name, tensor in tensors.items()}}",
    )


def _within(word_: str, by: str, instead: str, holding: Sequence[str], names: Sequence[str]) -> Notice:
    return Notice(
        id="wrapped-names",
        cause=f"{len(holding)} of {len(names)} tensor names hold {word_!r}, which {by} puts there ({holding[0]})",
        advice=f"save the model inside ({instead}), or strip it: "
        f"{{name.replace({word_ + '.'!r}, ''): tensor for name, tensor in tensors.items()}}",
    )


def _renamed(opened: Opened, table: Table, known: Callable[[str], bool], model_class: str) -> Notice | None:
    """A prefix that replaces the class's own in many names, matched by suffix: ``bart.encoder…`` for ``model.``.

    Compares names unknown to the class with missing parameters of equal shape.
    """
    if opened.layout != "torch":
        return None
    found = (entry_in(table, name, opened.layout) for name in opened.tensors)
    held = {entry.name for entry in found if entry is not None}
    lacking: dict[str, list[str]] = {}
    for name in (name for name in table.shapes if name not in held):
        for tail in _tails(name):
            lacking.setdefault(tail, []).append(name)
    strange = [name for name in opened.tensors if not known(name)]
    pairs: Counter[tuple[str, str]] = Counter()
    for name in strange:
        tail = next((tail for tail in _tails(name) if len(lacking.get(tail, ())) == 1), None)
        if tail is not None and table.shapes[lacking[tail][0]] == opened.tensors[name].shape:
            pairs[name.removesuffix(tail), lacking[tail][0].removesuffix(tail)] += 1
    (theirs, ours), count = next(iter(pairs.most_common(1)), (("", ""), 0))
    if count <= max(FEW, len(strange) // 2):
        return None
    if theirs:
        differ = f"begin with {theirs!r}" + (f" where {model_class} has {ours!r}" if ours else "")
    else:
        differ = f"lack the {ours!r} that they begin with in {model_class}"
    return Notice(
        id="other-prefix",
        cause=f"{count} of {len(opened.tensors)} tensor names {differ}, so that {model_class} finds none of them",
        advice=f"save the model by save_pretrained of {model_class}, or rename them: {{{ours!r} + "
        f"name.removeprefix({theirs!r}): tensor for name, tensor in tensors.items()}}, for these names alone",
    )


def _bare_beside_head(names: Sequence[str], table: Table, model_class: str) -> Iterator[Notice]:
    """Names of a bare model beside those of a head, which no class saves.

    Source: transformers 4.57.6, modeling_utils.py, "The state dictionary of the model you are trying to load is
    corrupted".
    """
    exact = {*table.shapes, *table.tied}
    bare = [name for name in names if name not in exact and table.prefix and table.prefix + name in exact]
    head = [name for name in names if name in exact and not name.startswith(table.prefix)]
    if bare and head:
        yield Notice(
            id="bare-beside-head",
            cause=f"{len(bare)} of {len(names)} tensor names lack the {table.prefix!r} that they begin with in "
            f"{model_class}, beside {head[0]}, which a model without a head has not: transformers 4.x takes the file "
            "for damaged",
            advice=f"put {table.prefix!r} before them ({bare[0]} …), or save the model by save_pretrained",
        )


def _other_size(opened: Opened, table: Table) -> Iterator[Notice]:
    """Tensors of another size than in the config, where all differ along one axis by the same sizes."""
    expected, differing, sizes = table.expected(), [], set()
    for name, stored in opened.tensors.items():
        entry = entry_in(table, name, opened.layout)
        if entry is None or entry.name not in expected:
            continue
        shape = stored.shape[::-1] if entry.transposed else stored.shape
        wanted = expected[entry.name]
        if len(shape) == len(wanted.shape) and shape != wanted.shape:
            differing.append(name)
            axes = zip(wanted.axes, shape, wanted.shape, strict=True)
            sizes |= {(axis, found, config_size) for axis, found, config_size in axes if found != config_size}
    if len(sizes) != 1:
        return
    ((axis, found, config_size),) = sizes
    where = f"it asks for {config_size:,} along the axis {axis}, where the file has {found:,}"
    advice = "put the config beside the weights that they were saved with, by save_pretrained"
    if axis == "vocab":
        where = f"vocab_size is {config_size:,}, and the tables of tokens have {found:,} rows"
        advice = (
            f"set vocab_size to {found} if the rows are the tokenizer's, or resize the model "
            "(model.resize_token_embeddings(N)) and save both together by save_pretrained"
        )
    yield Notice(
        id="other-size",
        cause=f"config.json is of another size than the weights ({len(differing)} tensors, as {differing[0]}): {where}",
        advice=advice,
    )


def _tails(name: str) -> Iterator[str]:
    """A name's suffixes that start at a word, longest first."""
    words = name.split(".")[-_MOST_WORDS:]
    return (".".join(words[at:]) for at in range(len(words)))


_MOST_WORDS = 16


def _below_a_key(opened: Opened) -> Iterator[Notice]:
    """A training script's dictionary, with the weights below a key."""
    keys = [name for name in opened.others if len(name) <= 80]
    inner = next((key for key in ("state_dict", "model_state_dict", "model", "module", "params") if key in keys), None)
    if not keys:
        yield Notice(
            id="no-tensors",
            cause="the weight file holds no tensor at all",
            advice="save the model again by save_pretrained",
        )
        return
    where = f"below {inner!r}" if inner else "below one of these keys"
    yield Notice(
        id="training-dictionary",
        cause=f"the weight file is a training script's dictionary ({', '.join(keys[:FEW])}), no state dict: the "
        f"weights lie {where}",
        advice=f"load it with torch.load(…, weights_only=True) and save what lies {where} by itself, or call "
        "save_pretrained on the model",
    )
