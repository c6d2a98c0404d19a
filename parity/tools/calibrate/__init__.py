"""Where ``k`` and ``c`` come from: conforming backends on random checkpoints (``python -m parity.tools.calibrate``)."""
