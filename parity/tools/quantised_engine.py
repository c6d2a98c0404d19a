"""A quantised engine in an audit: the checkpoint with rounded weights, and the rows of what is compared with it.

The audited checkpoint is the one with the weights rounded as the engine states, so that the oracle, the noise floor and
the tolerances are those of conforming implementations with rounded weights. The engine is converted from the original
checkpoint and rounds the weights itself. One more column, ``original-weights``, is the oracle with the original
weights.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from parity.capture.cache import TraceCache, default_cache
from parity.capture.engines import engines_of
from parity.checkpoint.inspection import inspect_checkpoint, resolve_checkpoint
from parity.core.backends import BACKENDS, ENGINES, ORIGINAL, Entry, Quantisation, engine_rows
from parity.core.errors import InputError, OutputError
from parity.core.nearest import unknown
from parity.core.options import AuditOptions
from parity.core.subject import TORCH
from parity.core.version import __version__
from parity.tools.quantise import SCHEMES, quantise

FOLDER = "original"
WITHOUT_VERDICT = "only distances are reported: {}"


@contextmanager
def quantised(options: AuditOptions, checkpoints: Sequence[str | Path]) -> Iterator[tuple[AuditOptions, list[Path]]]:
    """Registers the engine with the quantisation ``options.quantised`` while the context is open.

    Yields:
        The options, whose backends include ``original-weights``, and the checkpoint with rounded weights.

    Raises:
        InputError: not exactly one engine and one checkpoint are named, the engine has no such quantisation, or the
            checkpoint is of another architecture.
        OutputError: the cache cannot be written.
        CheckpointError: the checkpoint cannot be read.
    """
    named = engines_of(options)
    if len(named) != 1:
        rounding = [name for name, entry in ENGINES.items() if entry.quantisations]
        raise InputError(f"--quantised {options.quantised}: name one engine, --backend {' or '.join(rounding)}")
    if len(checkpoints) != 1:
        raise InputError(f"--quantised: one checkpoint at a time, and there are {len(checkpoints)}")
    engine = named[0]
    offered = ENGINES[engine].quantisations
    if options.quantised not in offered:
        raise InputError(unknown(f"{engine} has no quantisation called", options.quantised, offered))
    how = offered[options.quantised]
    directory = resolve_checkpoint(str(checkpoints[0]), options.offline, options.cache)
    original, rounded = _rounded(directory, how, TraceCache(options.cache or default_cache()).conversions)
    rows = _rows(engine, options.quantised, how, original)
    backends = [*(options.backends or ()), ORIGINAL]
    with engine_rows(rows):
        yield replace(options, backends=backends, original=directory), [rounded]


def _rows(engine: str, name: str, how: Quantisation, original: Path) -> dict[str, Entry]:
    setup = {"source": str(original), "quantised": name}
    why = f"activations are rounded as it runs ({how.activations})" if how.activations else ""
    own = replace(ENGINES[engine], setup=setup, unjudged=WITHOUT_VERDICT.format(why) if why else "")
    beside = replace(
        BACKENDS[TORCH],
        module="parity.backends.engines.original_weights",
        attribute="OriginalWeights",
        variants=("eager",),
        reference=False,
        limits="parity.backends.limits.engines:original_weights",
        setup={**setup, "engine": engine},
        unjudged=WITHOUT_VERDICT.format("this is the oracle with the weights before rounding"),
    )
    return {engine: own, ORIGINAL: beside}


def _rounded(directory: Path, how: Quantisation, cache: Path) -> tuple[Path, Path]:
    """The files of the checkpoint that backends receive, and the checkpoint with rounded weights; both in the cache."""
    inspected = inspect_checkpoint(directory)
    about = {"checkpoint": inspected.digest, "parity": __version__, "scheme": asdict(SCHEMES[how.scheme])}
    key = hashlib.sha256(
        json.dumps({**about, "kept": how.kept, "vectors": how.vectors}, sort_keys=True).encode()
    ).hexdigest()[:32]
    original, rounded = cache / f"rounded-{key}" / FOLDER, cache / f"rounded-{key}" / Path(inspected.name).name
    if not rounded.is_dir():
        try:
            original.mkdir(parents=True, exist_ok=True)
            for name in inspected.files:
                shutil.copyfile(directory / name, original / name)
        except OSError as error:
            raise OutputError(f"{original}: cannot be written: {error.strerror}") from error
        kept = how.kept
        quantise(original, rounded, how.scheme, selects=lambda name: not name.endswith(kept), vectors=how.vectors)
    return original, rounded
