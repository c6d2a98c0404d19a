"""Executes documented examples: extraction from documents, running, and comparison with the documented output.

An *example* is one block of code, run in one process; a *statement* is one ``>>>`` of it, or one top-level statement of
a plain script. Examples are code from a file: they run only on request, and not in a sandbox.
"""

from parity.core.errors import InputError


class DocsError(InputError):
    """Nothing can be run; the message names the input and the cause."""
