"""Who answers: one file for each implementation, and its row in ``registry``.

May import ``core``, ``checkpoint``, ``cases`` and ``reference``; a framework inside functions alone.
"""
