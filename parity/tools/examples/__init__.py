"""Documented examples, executed: where they come from, how each is run, and what became of its promises.

An *example* is one block of code, run in one process; a *statement* is one ``>>>`` of it, or one top-level statement of
a plain script. It is code from a file: it runs only because somebody asked for it, and nothing here is a sandbox.
"""

from parity.core.errors import InputError


class DocsError(InputError):
    """Nothing can be run; the message says of whom and why."""
