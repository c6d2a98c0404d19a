"""Compares a model of the caller's with the checkpoint that it should be, in the caller's process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.api import audit_with, with_printable_errors
from parity.core.errors import InputError
from parity.core.options import AuditOptions
from parity.core.subject import HALF, TORCH
from parity.tools import tiny as random_checkpoints

if TYPE_CHECKING:
    from parity.capture.task import Event
    from parity.core.records import Report

NOT_OPTIONS = (
    *("backends", "models", "converted", "quantised", "original", "stacks", "goldens"),
    *("device", "dtypes", "jobs", "memory", "time_limit"),
)
"""Fields of ``AuditOptions`` that do not apply to an object of this process."""


@with_printable_errors
def check(
    model: Any,
    checkpoint: str | Path,
    *,
    params: Any = None,
    rename: Callable[[str], str | None] | None = None,
    capture: Mapping[str, Any] | None = None,
    name: str = "model",
    references: tuple[str, ...] | None = None,
    progress: Callable[[Event], None] | None = None,
    **options: Any,
) -> Report:
    """Checks that a model computes what the checkpoint says: its outputs, losses, masks, cache and generated text.

    Runs what the model can be asked for. A class of transformers, or one derived from it, is used through its whole
    documented interface; another module or a function is called with the documented input names that it accepts, and
    its logits, losses and hidden states are compared. What it does not offer is skipped, with the reason.

    >>> import parity
    >>> report = parity.check(model, "path/to/checkpoint")  # doctest: +SKIP
    >>> report  # doctest: +SKIP
    <Report checkpoint: 43 cells: 30 pass, 13 skip>
    >>> parity.check(lambda input_ids, attention_mask, decoder_input_ids: ..., "path/to/checkpoint")  # doctest: +SKIP

    Args:
        model: a ``torch.nn.Module``; a Flax module (with ``params``); a Keras model; or a function
            ``forward(**inputs)`` that returns logits, a tuple or a mapping of documented outputs, whose arguments are
            NumPy arrays: ``input_ids`` int64 ``[batch, src]``, ``attention_mask`` int64 ``[batch, src]``,
            ``decoder_input_ids`` int64 ``[batch, tgt]``, ``decoder_attention_mask`` int64 ``[batch, tgt]``, and
            ``labels`` int64 ``[batch, tgt]`` if it has such an argument.
        checkpoint: a directory or hub id, as in ``parity.audit``.
        params: the parameters of a Flax module.
        rename: from the module's parameter names to those of the file, to compare the parameters of a module whose
            names are its own; None leaves a parameter out.
        capture: the submodule (or its name) that computes each layer's state, by canonical tensor:
            ``encoder.hidden.0`` (embeddings) to ``encoder.hidden.N``, and ``decoder.hidden.…``. First divergences are
            then inside the model.
        name: the name of the model in the report.
        references: whose errors set the tolerances. By default ``reference-torch`` alone, which answers fastest; with
            ``reference-flax`` too, tolerances are smaller (``docs/numerics.md``). A model in half precision is compared
            with both by default: the tolerances of one alone would be as large as the difference between two tokens.
        progress: called with each event.
        options: fields of ``AuditOptions``: ``checks``, ``keywords``, ``inputs``, ``model_class``, ``out``, ``cache``,
            ``layerwise``, ``exit_first``, ``known_issues``, ``offline``.

    Returns:
        The report; its directory is temporary unless ``out`` is given, and removed when the process ends.

    The module's mode, gradients and hooks, random states and thread counts are restored. Worker processes of the
    references are reused by the next call, and end with this process.

    Raises:
        TypeError: ``AuditOptions`` has no such field.
        InputError: an argument or the checkpoint cannot be used. The model's own exceptions are part of the report.
    """
    from parity.backends.user.backend import CallersModel, evaluating
    from parity.backends.user.describe import describe
    from parity.backends.user.offer import NotUsable
    from parity.capture.cache import TraceCache, default_cache
    from parity.capture.in_process import WithCallersModel, caller_restored, reused_processes
    from parity.capture.model_files import NAME, entry_of
    from parity.cases.standard import documented_call
    from parity.checkpoint.inspection import inspect_checkpoint, resolve_checkpoint
    from parity.core.backends import built_in, user_models
    from parity.core.stacks import resolve_stack

    for field in NOT_OPTIONS:
        if field in options:
            raise InputError(f"{field}: not an option of check, which runs one object in this process")
    if not NAME.fullmatch(name):
        raise InputError(f"name: {name} has characters other than letters, digits, dot, dash and underscore")
    if name in built_in():
        raise InputError(f"name: {name} is the name of a backend")
    given = AuditOptions(**options, references=references)
    directory = resolve_checkpoint(str(checkpoint), given.offline, given.cache)
    processes = reused_processes(TraceCache(given.cache or default_cache()).compiled)
    processes.start_ahead(resolve_stack("main"), TORCH, "cpu")  # it imports PyTorch meanwhile
    inspected = inspect_checkpoint(directory, given.model_class)
    with caller_restored(model):
        try:
            inputs = documented_call(inspected.model_spec)
            adapter = describe(
                evaluating(model), inspected.model_spec, inputs, params=params, rename=rename, capture=capture
            )
        except NotUsable as error:
            raise InputError(str(error)) from error
        offer = adapter.offer
        if references is None:
            given = replace(given, references=None if offer.dtype in HALF else (TORCH,))
        where = {"device": offer.device, "dtypes": [offer.dtype], "backends": [name]}
        given = replace(given, out=given.out or _temporary(), **where)
        executor = WithCallersModel(processes, name, CallersModel(adapter))
        entry = entry_of(asdict(offer), inspected.model_class, "CallersModel")
        with user_models({name: entry}):
            return audit_with([directory], given, progress, executor=executor, unaccepted=offer.inputs)


tiny = with_printable_errors(random_checkpoints.tiny)


def _temporary() -> Path:
    folder = tempfile.mkdtemp(prefix="parity-check-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


__all__ = ["check", "tiny"]
