"""Searches the hub for checkpoints, and writes what it finds as the list of a fleet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from parity.core.display import sentence
from parity.core.errors import InputError
from parity.fleet.objects import MESSAGE

_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def search_hub(
    text: str = "", author: str | None = None, filters: Sequence[str] = (), limit: int | None = None
) -> list[str]:
    """The lines of a list, for every checkpoint of the hub that matches all that is given.

    A line has the id and the present commit of the default branch, so that a fleet that goes on later, and one to
    compare it with, audit the same files. A comment marks those that need permission.

    Args:
        text: part of the id; empty for any.
        author: its user or organisation.
        filters: tags that it has, such as a model type (``bart``) or library (``tf``).
        limit: at most so many, in the order of the hub.

    Returns:
        Lines in the order of their ids (``HfApi.list_models``, huggingface_hub 0.36.2 and 2.4.0).

    Raises:
        InputError: nothing is given, nothing matches, the hub cannot be reached, or its answer is no list of ids.
    """
    if not (text or author or filters):
        raise InputError("no text, --author or --filter: that would be the whole hub")
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise InputError(f"a search needs the package huggingface_hub, which is missing: {error}") from error
    try:
        found = [
            (each.id, each.sha, each.gated)
            for each in HfApi().list_models(
                search=text or None,
                author=author,
                filter=list(filters) or None,
                limit=limit,
                expand=["sha", "gated"],
            )
        ]
    except Exception as error:  # the library's versions raise the exceptions of requests or of httpx, and their own
        raise InputError(f"the hub cannot be searched: {sentence(error, MESSAGE)}") from error
    if not found:
        raise InputError("no checkpoint of the hub matches")
    return list(_lines(found))


def _lines(found: Sequence[tuple[str, str | None, object]]) -> Iterator[str]:
    for name, commit, gated in sorted(found, key=lambda each: each[0].lower()):
        if not _ID.fullmatch(name) or not (commit and _COMMIT.fullmatch(commit)):
            raise InputError(f"the hub's answer has no id and commit: {name!r}, {commit!r}")
        yield f"{name} {commit}" + ("  # needs permission" if gated else "")
