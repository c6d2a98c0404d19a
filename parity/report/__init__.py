"""One report as terminal text, HTML, JUnit, JSON Lines or GitHub annotations. No verdict is made here.

May import ``core`` and ``judge``'s checks and known issues.
"""
