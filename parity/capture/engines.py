"""Engines in an audit: the converted files that a user gives, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from parity.backends.engines.conversion import RECORD, UnusableFiles, files_digest, verified
from parity.backends.registry import named_function
from parity.core.backends import ENGINES, engine_rows, find_entry
from parity.core.errors import InputError
from parity.core.options import AuditOptions

_CONVERTING = [name for name, entry in ENGINES.items() if entry.examine]


def engines_of(options: AuditOptions) -> list[str]:
    """The engines that are named, in order."""
    return [
        name for name in dict.fromkeys(text.partition("/")[0] for text in options.backends or ()) if name in ENGINES
    ]


def unaccepted_inputs(options: AuditOptions) -> dict[str, str]:
    """The documented inputs that a named engine does not accept, with the reason."""
    found: dict[str, str] = {}
    for name in engines_of(options):
        found |= find_entry(name).unaccepted
    return found


@contextmanager
def given_files(options: AuditOptions, checkpoints: Sequence[str | Path]) -> Iterator[None]:
    """Makes the named engine run on the folder ``options.converted`` while the context is open.

    Raises:
        InputError: not exactly one engine and one checkpoint are named, or the folder cannot be used: one line.
    """
    from parity.checkpoint.inspection import inspect_checkpoint, resolve_checkpoint

    named = engines_of(options)
    folder = Path(options.converted or "").expanduser().absolute()
    if len(named) != 1:
        raise InputError(f"--converted {options.converted}: name one engine, --backend {' or '.join(_CONVERTING)}")
    if not ENGINES[named[0]].examine:
        raise InputError(f"--converted {options.converted}: {named[0]} runs the checkpoint itself, no converted files")
    if len(checkpoints) != 1:
        raise InputError(f"--converted: files are compared with one checkpoint, and there are {len(checkpoints)}")
    if not folder.is_dir():
        raise InputError(f"--converted {options.converted}: no such directory")
    directory = resolve_checkpoint(str(checkpoints[0]), options.offline, options.cache)
    checkpoint = inspect_checkpoint(directory, options.model_class)
    entry = find_entry(named[0])
    try:
        record = verified(folder, checkpoint.digest)
        if record and record.get("engine") != named[0]:
            raise UnusableFiles(f"{folder / RECORD}: converted for {str(record.get('engine'))[:40]}, not {named[0]}")
        offered = named_function(entry.examine)(folder, record)
        digest = files_digest(folder)
    except UnusableFiles as error:
        raise InputError(f"--converted: {error}") from error
    except OSError as error:
        raise InputError(f"--converted: {error.filename or folder}: cannot be read: {error.strerror}") from error
    setup = {**entry.setup, "given": str(folder), "digest": digest, **offered.get("setup", {})}
    entry = replace(entry, setup=setup, unaccepted=offered.get("unaccepted", entry.unaccepted))
    with engine_rows({named[0]: entry}):
        yield
