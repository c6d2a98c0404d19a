"""Engines: backends that run a file converted from the checkpoint.

The conversion is made once and cached, with a record of what was run (``conversion``), or given
(``parity audit --converted DIR``). An engine is named explicitly (``--backend onnxruntime``) and never runs by default.
No engine is imported here, and none in ``parity.capture`` or ``parity.judge``.
"""
