"""Models that a user brings: a PyTorch or Flax module, a Keras model, or a function.

``describe`` finds out what an object offers; the adapter it returns is a ``parity.backends.protocol.CapableModel``.
``parity.check`` runs it in the caller's process, ``parity audit --model FILE.py:FUNCTION`` in a worker
(``backend``). No framework is imported here that the object does not come with.
"""
