"""Golden traces: what other stacks answered, kept small enough for the repository, so that they need not be installed.

``parity golden record`` writes them, and nothing else does; ``parity golden check`` says whether they are still what
was recorded. In a run (``audit --golden NAME``) a golden is a subject like any other, judged by the same checks on the
cases that were kept of it.
"""
