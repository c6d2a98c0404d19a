"""Traces to verdicts: checks, the cases that follow from what was captured, tolerances, evidence, known issues.

May import ``core``, ``checkpoint``, ``cases``, numpy, and ``reference``'s names and generation; no framework, backend
or worker.
"""
