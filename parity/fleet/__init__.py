"""Audits of many checkpoints, spread over machines by Ray: ``parity fleet``.

Every checkpoint, on each device, is one task of Ray. Its workers, cases and verdicts are those of ``parity audit``.
"""
