"""What a library makes of a parameter that no file gave it: read off its values, not assumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from parity.core.trace import Trace

_WORDS = {0.0: "zeros", 1.0: "ones"}


def made_of(trace: Trace, name: str, from_file: Iterable[str] = ()) -> str:
    """What a parameter holds, in words: ``its values are random, other ones in each of two loads``.

    Args:
        trace: of a load; where it was loaded twice (``second``) random values show by that.
        from_file: names of parameters that the file holds, of which it may be a copy.
    """
    parameters: Mapping[str, Mapping[str, Any]] = trace.facts["parameters"]
    own, second = parameters.get(name), trace.facts.get("second", {})
    if own is None:
        return "it has no values"
    if name in second and second[name] != own["digest"]:
        return "its values are random, other ones in each of two loads"
    fill = own.get("fill")
    if fill is not None:
        return f"it is filled with {_WORDS.get(fill, f'{fill:g}')}"
    copied = next((other for other in from_file if other != name and _same(parameters.get(other), own)), None)
    if copied is not None:
        return f"it is a copy of {copied}"
    if own["non_finite"]:
        return f"{own['non_finite']} of its values are NaN or infinite, as memory that was never filled"
    return "it has the same values in two loads" if name in second else "its values are the library's own"


def _same(other: Mapping[str, Any] | None, own: Mapping[str, Any]) -> bool:
    return other is not None and other["digest"] == own["digest"]
