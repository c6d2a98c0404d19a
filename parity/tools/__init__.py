"""One folder or module for each command that is built on an audit, with what it shows.

May import everything but ``api``, ``cli`` and the pytest plugin; no tool imports another one's rendering.
"""
