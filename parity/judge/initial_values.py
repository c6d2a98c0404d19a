"""How a library initialised a parameter that is not in the file: determined from its values, not assumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from parity.core.trace import Trace

_WORDS = {0.0: "zeros", 1.0: "ones"}


def describe_values(trace: Trace, name: str, from_file: Iterable[str] = ()) -> str:
    """The values of a parameter as text: ``its values are random and differ between two loads``.

    Args:
        trace: of a load. If it has a second load (``second``), random values differ between the two.
        from_file: names of the file's parameters, one of which it may be a copy of.
    """
    parameters: Mapping[str, Mapping[str, Any]] = trace.facts["parameters"]
    own, second = parameters.get(name), trace.facts.get("second", {})
    if own is None:
        return "it has no values"
    if name in second and second[name] != own["digest"]:
        return "its values are random and differ between two loads"
    fill = own.get("fill")
    if fill is not None:
        return f"it is filled with {_WORDS.get(fill, f'{fill:g}')}"
    copied = next((other for other in from_file if other != name and _same(parameters.get(other), own)), None)
    if copied is not None:
        return f"it is a copy of {copied}"
    if own["non_finite"]:
        return f"{own['non_finite']} of its values are NaN or infinite (uninitialised memory)"
    return "it has the same values in two loads" if name in second else "its values are initialised by the library"


def _same(other: Mapping[str, Any] | None, own: Mapping[str, Any]) -> bool:
    return other is not None and other["digest"] == own["digest"]
