"""Do all the implementations that claim to run an encoder-decoder checkpoint compute the same thing?

The Python API is ``parity.audit``, ``parity.capture`` and ``parity.judge`` (see ``parity.api``). This module imports
nothing but the standard library when it is loaded, because capture processes run in interpreters that have
none of our dependencies.
"""

__version__ = "0.1.0"
