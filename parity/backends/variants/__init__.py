"""Variants of ``hf-torch``: the same classes and weights, computed in another way.

Each is a backend of its own with the role ``engine``: named explicitly, never run by default, and judged by the same
cases and tolerances as any backend. The adapters derive from ``parity.backends.hf.torch_backend`` and are separate
files, so that a change of one invalidates no trace of the others.
"""
