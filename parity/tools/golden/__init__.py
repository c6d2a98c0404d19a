"""Golden traces: recorded traces of other stacks in the repository, so that these stacks need not be installed.

``parity golden record`` writes them; ``parity golden check`` verifies that they are unchanged and current. In a run
(``audit --golden NAME``) a golden is a subject like any other, judged by the same checks on its recorded cases.
"""
