"""A user's model in a Python file: finds out in a process of its own what it offers, and registers it as a backend."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parity.capture.cache import TraceCache, default_cache
from parity.capture.executor import wait_for_output
from parity.capture.task import THREADS, CaptureError
from parity.capture.worker_process import Child, describe_exit
from parity.core.backends import OBJECT, Entry, built_in, user_models
from parity.core.errors import InputError
from parity.core.options import MAIN, AuditOptions
from parity.core.stacks import resolve_stack

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
MODULE, ATTRIBUTE = "parity.backends.user.backend", "ModelFile"


@dataclass(frozen=True)
class ModelFile:
    """``NAME=FILE.py:FUNCTION``."""

    name: str
    file: Path
    function: str

    @classmethod
    def parse(cls, text: str) -> ModelFile:
        """
        Raises:
            InputError: it is misspelled, the file does not exist, or the name is that of a backend.
        """
        named, equals, rest = text.partition("=")
        file, colon, function = (rest if equals else text).rpartition(":")
        if not colon or not function.isidentifier():
            raise InputError(f"--model {text}: expected FILE.py:FUNCTION, the function that returns the model")
        path = Path(file).expanduser().absolute()
        if not path.is_file():
            raise InputError(f"--model {text}: {path}: no such file")
        stem = re.sub(r"[^A-Za-z0-9_.-]", "-", path.stem)
        name = named if equals else (stem if stem not in built_in() and NAME.fullmatch(stem) else "model")
        if not NAME.fullmatch(name) or name in built_in():
            raise InputError(f"--model {text}: {name} cannot be a model's name, or is a backend's")
        return cls(name, path, function)


@contextmanager
def registered(options: AuditOptions, checkpoint: Any) -> Iterator[tuple[AuditOptions, dict[str, str]]]:
    """Registers the models of ``options.models`` while the context is open.

    Args:
        checkpoint: ``parity.checkpoint.inspection.Checkpoint``.

    Yields:
        The options, whose backends and dtypes include the models', and the inputs that one of them does not accept.

    Raises:
        InputError: a file, function or model cannot be used; one line with the cause.
    """
    files = [ModelFile.parse(text) for text in options.models]
    stack = resolve_stack(next((name for name in options.stacks if name != MAIN), MAIN))
    entries, unaccepted, dtypes = {}, {}, list(options.dtypes)
    for each in files:
        if each.name in entries:
            raise InputError(f"--model: two models are called {each.name}: NAME=FILE.py:FUNCTION")
        offer = _offer(each, stack, options, checkpoint)
        unaccepted |= offer["inputs"]
        if offer["dtype"] not in dtypes:
            dtypes = [offer["dtype"]] if options.dtypes == AuditOptions().dtypes else [*dtypes, offer["dtype"]]
        setup = {"file": str(each.file), "function": each.function}
        named = f"{each.name}={each.file}:{each.function}"
        entries[each.name] = entry_of(offer, checkpoint.model_class, ATTRIBUTE, named, setup, stack.name)
    backends = [*(options.backends or ()), *entries]
    with user_models(entries):
        yield replace(options, backends=backends, dtypes=dtypes), unaccepted


def entry_of(
    offer: Mapping[str, Any],
    model_class: str,
    attribute: str,
    user_model: str = OBJECT,
    setup: Mapping[str, Any] | None = None,
    stack: str = "",
) -> Entry:
    """The registry's entry of a user's model. Its dependencies are unknown, so that nothing of it is cached.

    Args:
        offer: ``parity.backends.user.offer.Offer`` as a dictionary.
        attribute: the backend's class in ``parity.backends.user.backend``.
    """
    return Entry(
        MODULE,
        attribute,
        ("numpy", "torch", "transformers", "jax", "flax", "tensorflow", "tensorflow-cpu"),
        variants=(offer["attention"],),
        cached=False,
        framework=offer["framework"],
        class_name=offer["class_name"],
        documented_class=model_class,
        lacking=offer["lacking"],
        derives_from=offer["derives_from"],
        setup=setup or {},
        user_model=user_model,
        stack=stack,
    )


def _offer(model: ModelFile, stack: Any, options: AuditOptions, checkpoint: Any) -> dict[str, Any]:
    """What the model offers, from a process that loads it and calls it once."""
    where = f"{model.file}:{model.function}"
    about = {"checkpoint": str(checkpoint.path), "model_class": checkpoint.model_class}
    job = {
        "module": MODULE,
        "attribute": ATTRIBUTE,
        "device": options.device,
        "threads": THREADS,
        "cache": str(TraceCache(options.cache or default_cache()).compiled),
        "setup": {"file": str(model.file), "function": model.function},
        "describe": about,
    }
    try:
        child = Child(stack.interpreter, stack.environment, job)
    except OSError as error:
        raise CaptureError(f"{stack.interpreter}: cannot be started: {error.strerror}") from error
    try:
        until = time.monotonic() + options.time_limit
        while True:
            code = child.ended()
            child.drain_stderr()
            found = next((event for event in child.events() if event["event"] == "described"), None)
            if found is not None:
                break
            if code is not None:
                how = describe_exit(code)
                why = "was killed (SIGKILL), probably for lack of memory" if how == "SIGKILL" else f"ended with {how}"
                raise InputError(f"--model {where}: the process {why}: {child.last_line()}")
            if time.monotonic() > until:
                raise InputError(f"--model {where}: loading and one call took longer than {options.time_limit:g} s")
            wait_for_output([child])
    finally:
        child.kill()
    if "error" in found:
        raise InputError(f"--model {where}: {' '.join(str(found['error']).split())[:500]}")
    return found["offer"]
