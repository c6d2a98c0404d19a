"""Explains what is wrong with a checkpoint, in terms of its files and once per cause.

``files`` detects the type of a file from its first bytes, ``directories`` directories that are not checkpoints,
``models`` unsupported models, ``settings`` and ``tokens`` unusable generation settings and ids, ``tensors`` problems
visible in tensor names and types, ``values`` numeric patterns of a judged run. Each returns ``Notice`` objects. Nothing
here raises about what it reads: an unreadable file has no cause here, and the code that opens the checkpoint reports
it.
"""

from __future__ import annotations

from parity.checkpoint.diagnosis.diagnose import explained, notices_of, refusal

__all__ = ["explained", "notices_of", "refusal"]
