"""What the files of a checkpoint are and hold, found by our own readers before any library sees them.

May import ``core`` and ``reference``.
"""
