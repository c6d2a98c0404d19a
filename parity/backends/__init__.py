"""The implementations: one file each, and its row in ``parity.core.backends``.

May import ``core``, ``checkpoint``, ``cases`` and ``reference``; a framework inside functions alone.
"""
