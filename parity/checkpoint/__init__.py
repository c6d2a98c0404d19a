"""Identity and content of a checkpoint's files, read by our own readers before any library opens them.

May import ``core`` and ``reference``.
"""
