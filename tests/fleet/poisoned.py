"""A task that ends its process for a checkpoint of one name, as a crash of the interpreter would."""

from __future__ import annotations

import os
import signal

from parity.fleet.audit_one import Asked, audit_one
from parity.fleet.outcome import Answer
from parity.fleet.targets import Job

POISON = "poison"


def audit_or_end(job: Job, asked: Asked, memory: int) -> Answer:
    """``audit_one``, unless the directory is called ``poison``."""
    if job.target.source.endswith(POISON):
        os.kill(os.getpid(), signal.SIGKILL)
    return audit_one(job, asked, memory)
