"""What is the matter with a checkpoint, in the words of whoever has it: found from its files, said once.

``files`` knows what the first bytes of a file say, ``directories`` what a directory is that is no checkpoint,
``models`` which models are not audited, ``settings`` and ``tokens`` which generation settings and ids cannot be used,
``tensors`` what names and types of tensors say, ``values`` what a judged run shows of numbers. Each gives ``Notice``s.
Nothing here raises about what it reads: what cannot be read has no cause here, and whoever opens the checkpoint says
so.
"""

from __future__ import annotations

from parity.checkpoint.diagnosis.diagnose import explained, notices_of, refusal

__all__ = ["explained", "notices_of", "refusal"]
