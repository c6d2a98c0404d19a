"""Domain types and everything that is written to disk: cases, traces, reports, stacks.

May import the standard library, numpy, safetensors, pydantic and ``reference``; nothing else of ``parity``.
"""
