"""The exceptions of the public interface.

Everything that ``parity.audit`` and its relatives raise about their input is an ``InputError``: a bad argument, a
checkpoint that cannot be read (``CheckpointError``), a stack that is not installed, a damaged run directory. Its
message is the line that the command prints after ``parity:``. Any other exception comes from the operating system
(``OSError``, ``MemoryError``) or is a bug in this package.

>>> from parity import AuditOptions, InputError
>>> try:
...     AuditOptions(device="tpu")
... except InputError as error:
...     print(error)
no device is called tpu; did you mean cpu?
"""

from __future__ import annotations

from parity.core.own_reference import check_reference

check_reference()  # whatever of ours is imported, this module comes early

from reference.errors import CheckpointError, InputError  # noqa: E402

__all__ = ["CheckpointError", "InputError", "OutputError"]


class OutputError(InputError):
    """A report cannot be written; the message names the file and the cause."""
