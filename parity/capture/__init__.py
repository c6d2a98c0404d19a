"""Plans, runs and caches worker processes, each of which runs the cases of one backend.

May import ``core``, ``checkpoint``, ``cases`` and ``backends``. Only ``worker/`` runs in another stack's interpreter.
"""
