"""Measures ``k`` and ``c``, with conforming backends on random checkpoints (``python -m parity.tools.calibrate``)."""
