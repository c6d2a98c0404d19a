"""How many examples a property is tried on: hypothesis' profiles `ci`, the default, and `search`.

`ci` asks the same examples every time, few enough for every change; `--hypothesis-profile search` asks new ones each
time, and twenty times as many. `-m hypothesis` runs the properties alone.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings

OF_CI = 100
"""What a test that names no number is tried on in `ci`."""
TIMES = 20


def register() -> None:
    """Makes both known, and `ci` the one in force; pytest's option comes later, and overrules it."""
    settings.register_profile("ci", derandomize=True, deadline=None, max_examples=OF_CI)
    settings.register_profile("search", deadline=None, max_examples=OF_CI * TIMES, print_blob=True)
    settings.load_profile("ci")


def examples(count: int, **more: Any) -> settings:
    """So many examples in `ci`, and in another profile as many times that as its own number says."""
    return settings(max_examples=max(1, count * settings().max_examples // OF_CI), **more)
