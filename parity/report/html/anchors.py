"""What an element of the page is called: from what it is about, so that a link to it holds in the next report too."""

from __future__ import annotations

import re

from parity.core.records import SubjectRecord, Verdict


def anchor(*words: str) -> str:
    """An element's id.

    Letters, digits, ``-`` and ``_`` stay; anything else is written as its code, so that no two things share an id.
    """
    return ".".join(re.sub(r"[^\w-]|[^\x00-\x7f]", lambda found: f"~{ord(found[0]):x}~", word) for word in words)


def curve_anchor(checkpoint: str, about: SubjectRecord | Verdict, label: str) -> str:
    """The id of a subject's plots on a checkpoint; ``label`` is the subject's, which a verdict does not hold."""
    return anchor("errors", checkpoint, about.dtype, about.device, label)
