"""Where ``k`` and ``c`` come from: honest backends on random checkpoints (``python -m parity.tools.calibrate``)."""
