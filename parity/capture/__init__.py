"""Plans, runs and caches worker processes, each of which asks one backend every case.

May import ``core``, ``checkpoint``, ``cases`` and ``backends``. ``worker/`` is all that runs in a foreign interpreter.
"""
