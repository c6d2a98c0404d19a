"""Shared by the three adapters of the Hugging Face library: environment, loading routes, load reports, names."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from parity.checkpoint.conversion import flags_needed
from reference.names import Layout, Table, entry_in
from reference.names.layouts import SPELLINGS

EMBEDDINGS = {"input_ids": "inputs_embeds", "decoder_input_ids": "decoder_inputs_embeds"}
"""The documented argument that takes embeddings in place of tokens."""
CLASSIFIER = "ForSequenceClassification"
"""Suffix of the classes that need ``input_ids`` beside ``encoder_outputs``: they classify the state of its last end
token (4.57.6, modeling_bart.py and modeling_tf_bart.py)."""
NOTE_LENGTH = 1000
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CONVERTED = ("Flax", "TF 2.0")
_BRACKETED = re.compile(r"[\[{]['\"(].*?[\]}](?=$|[\s.])")


def ends(tokens: np.ndarray, config: Any) -> np.ndarray:
    """``input_ids`` ``[batch, length]`` with padding in place of all tokens but the end tokens: enough to find the
    state that is classified, and not to encode the source again."""
    return np.where(tokens == config.eos_token_id, tokens, config.pad_token_id)


def embedding_scale(config: Any) -> float:
    """The factor of the rows of the embedding table that a config asks for (BART page, ``scale_embedding``)."""
    return config.d_model**0.5 if getattr(config, "scale_embedding", False) else 1.0


def quiet_offline_environment() -> None:
    """Disables network, telemetry, code from pickles or a hub, and warnings of tokenizers about forks.

    Call it before the library is imported.
    """
    settings = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ.update(settings, HF_HUB_DISABLE_TELEMETRY="1", TRANSFORMERS_NO_ADVISORY_WARNINGS="1")
    # Overrides the argument of any torch.load call (torch 2.6 and later, serialization.py), and ignores cached remote
    # code.
    os.environ.update(TORCH_FORCE_WEIGHTS_ONLY_LOAD="1", USE_HUB_KERNELS="0")
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    # The default; stated because a user's "error" would silence the warnings that belong in a load report.
    os.environ["TRANSFORMERS_VERBOSITY"] = "warning"


def version_of(distribution: str) -> tuple[int, ...]:
    """Major, minor and patch version of a distribution; ``()`` if it is not installed."""
    try:
        text = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ()
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def flags_of(route: str | None, checkpoint: Path, own: str, others: Iterable[str]) -> dict[str, bool]:
    """The flags of a load: those of the requested route, or by default those that a user must pass."""
    if route is None:
        return flags_needed(checkpoint, own, others)
    return {} if route == "plain" else {route: True}


def save_arguments(format: str, own: str, total: int) -> dict[str, Any]:
    """The arguments of ``save_pretrained`` for a form; ``sharded`` limits a shard to a third of the weights.

    Args:
        own: the form that ``safe_serialization=False`` selects; "" if the class writes safetensors only.
        total: the size of the parameters in bytes.
    """
    chosen = {"safe_serialization": format != own} if own else {}
    return {**chosen, "max_shard_size": max(total // 3, 1)} if format == "sharded" else chosen


def route_name(flags: dict[str, bool]) -> str:
    """``plain``, or the flag in Python syntax: ``from_pt=True``."""
    return ", ".join(f"{name}={value}" for name, value in flags.items()) or "plain"


class _Collector(logging.Handler):
    def __init__(self, notes: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        self._notes.append(record.getMessage())


@contextlib.contextmanager
def notes_of_load() -> Iterator[list[str]]:
    """Collects the library's warnings and log messages, and prevents output to standard output.

    The list is complete, one line per message, each once, when the context ends.
    """
    raw: list[str] = []
    lines: list[str] = []
    caught: list[warnings.WarningMessage] = []
    handler = _Collector(raw)
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as recorded, contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("always")
            caught = recorded
            yield lines
    finally:
        logger.removeHandler(handler)
        # Deprecation warnings inside a library are unrelated to the checkpoint.
        quiet = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
        raw += [str(warning.message) for warning in caught if not issubclass(warning.category, quiet)]
        lines += list(dict.fromkeys(_one_line(text) for text in raw))


def _one_line(text: str) -> str:
    return " ".join(_ANSI.sub("", text).split())


def shortened(notes: Iterable[str]) -> list[str]:
    """Notes in the form that a report stores; names are parsed from the full messages, which may list every
    parameter."""
    return [note[:NOTE_LENGTH] for note in notes]


def names_in(message: str) -> list[str]:
    """The parameter names that a log message lists in brackets: strings, or tuples of path parts joined by ``/``."""
    found = _BRACKETED.search(message)
    if not found:
        return []
    listed = ast.literal_eval(found.group())
    return sorted("/".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in listed)


def listed(notes: Iterable[str], *phrases: str) -> list[str]:
    """The names in those notes that contain one of these phrases."""
    return [name for note in notes if any(phrase in note for phrase in phrases) for name in names_in(note)]


def conversion_info(notes: Iterable[str], model_class: str) -> dict[str, list[str]]:
    """The loading info of a conversion to PyTorch, which is only in its warnings and not in ``output_loading_info``.

    The halves of a composition are converted first, with warnings under their own class names, so that only warnings
    with the composition's class are used. Sources: ``modeling_flax_pytorch_utils.py`` and
    ``modeling_tf_pytorch_utils.py`` of 4.37.2 and 4.57.6.
    """
    notes = list(notes)
    new = (f"weights of {model_class} were not initialized from the {kind} model" for kind in _CONVERTED)
    unused = (f"{kind} model were not used when initializing the PyTorch model {model_class}:" for kind in _CONVERTED)
    return {"missing_keys": listed(notes, *new), "unexpected_keys": listed(notes, *unused)}


def loading_errors(info: Mapping[str, Any]) -> list[str]:
    """Misshapen entries and conversion errors: fields of the loading info without a field in the report."""
    misshapen = [
        " ".join(str(part) for part in entry) if isinstance(entry, tuple) else str(entry)
        for entry in info.get("mismatched_keys", ())
    ]
    return [f"mismatched: {entry}" for entry in sorted(misshapen)] + [str(e) for e in info.get("error_msgs", ())]


def parameter_name(raw: str, layout: Layout, table: Table) -> tuple[str, bool, bool]:
    """The canonical name, whether the array is stored transposed, and whether it is trained.

    A duplicate of a tied table retains its own PyTorch name, so that it can be compared with the table. Unused
    parameters (a pooler) also have the same name in all layouts. A name that the model does not have is unchanged.
    """
    entry = entry_in(table, raw, layout)
    spelled = SPELLINGS[layout](raw)
    if entry is None or spelled is None:
        return raw, False, True
    if entry.role == "tied":
        return next(alias for alias in table.spelled(spelled[0]) if alias in table.tied), entry.transposed, True
    return entry.name, entry.transposed, entry.role == "parameter"


def parameter(array: np.ndarray, name: str, transposed: bool, table: Table) -> np.ndarray:
    """An array in canonical layout; one that differs only by axes of size 1 (TF's GPT-2 biases) is reshaped."""
    array = array.T if transposed else array
    wanted = table.shapes.get(name, array.shape)
    same = array.shape != wanted and [n for n in array.shape if n != 1] == [n for n in wanted if n != 1]
    return array.reshape(wanted) if same else array


def no_reorder(reorder: Any) -> None:
    """Raises NotImplementedError if a cache must be reordered (capability ``reorder_cache``)."""
    if reorder is not None:
        raise NotImplementedError("the library reorders caches only inside generate")


STEP_FIELDS = (
    "logits",
    "last_hidden_state",
    "decoder_hidden_states",
    "hidden_states",
    "decoder_attentions",
    "attentions",
    "cross_attentions",
)
"""Names of other fields that a decoding call may return besides its cache."""


def of_a_step(output: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a decoding call other than its cache (``parity.backends.protocol.Step``)."""
    return {name: output[name] for name in STEP_FIELDS if name in output}


SOURCE = ("input_ids", "input_values", "attention_mask")
"""The inputs of a call that ``generate`` accepts."""


def source_of(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a call that ``generate`` accepts."""
    return {name: inputs[name] for name in SOURCE if name in inputs}


def generate_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as a user passes them, and the arguments that request an output with scores.

    Without settings nothing is added, because the library's own defaults are tested.
    """
    form = {"return_dict_in_generate": True, "output_scores": True}
    if "sequence_bias" in settings:
        # Before 4.49 a dictionary is the only documented form.
        biases = {tuple(word): bias for word, bias in settings["sequence_bias"] or ()}
        settings = {**settings, "sequence_bias": biases or None}
    return {**settings, **form} if settings else {}


def generated(answer: Any) -> dict[str, Any]:
    """The result of ``generate`` (an array of tokens, or its output class) as fields by documented name."""
    sequences = getattr(answer, "sequences", answer)
    scores = getattr(answer, "sequences_scores", None)
    return {"sequences": sequences} if scores is None else {"sequences": sequences, "sequences_scores": scores}


def drawn(answer: Any) -> dict[str, Any]:
    """The result of sampling one token several times for one source: the tokens, and the scores of the step."""
    return {"draws": answer.sequences[:, -1], "scores": answer.scores[0][:1]}


def generation_settings(model: Any, *, in_torch: bool = False) -> dict[str, Any]:
    """The supported settings, as a library's ``generate`` uses them without arguments."""
    return supported_settings(_in_force(model, in_torch))


def supported_settings(held: Any) -> dict[str, Any]:
    """The supported settings of a ``GenerationConfig``."""
    from reference.generation import GenerationSettings

    names = [field.name for field in dataclasses.fields(GenerationSettings) if field.name not in ("passed", "stored")]
    return {name: getattr(held, name) for name in names if hasattr(held, name)}


def _in_force(model: Any, in_torch: bool) -> Any:
    """The ``GenerationConfig`` that ``generate`` starts from.

    If ``generation_config.json`` has ``_from_model_config``, 4.x creates it again from ``config.json`` (PyTorch only if
    that has generation settings), with a warning: transformers 4.37.2 and 4.57.6, ``generate`` and
    ``_prepare_generation_config`` of ``generation/utils.py``, ``tf_utils.py`` and ``flax_utils.py``.
    """
    held, config = model.generation_config, model.config
    names = ("_get_non_default_generation_parameters", "_has_non_default_generation_parameters")
    says = next((getattr(config, name) for name in names if hasattr(config, name)), None)
    if says is None or not held._from_model_config or getattr(held, "_original_object_hash", None) != hash(held):
        return held
    return held if in_torch and not says() else type(held).from_model_config(config)


def plain(value: Any) -> Any:
    """A value as in a JSON file: torch dtypes by their bare names, as the library writes them."""
    return json.loads(json.dumps(value, default=lambda other: str(other).removeprefix("torch.")))
