"""Random models, batches and settings, run on the backends in this process: ``parity fuzz``.

An example is the result of one draw (``example``). Its checkpoint is written, and the standard cases are run
(``executor``) and judged by the checks of an audit. ``search`` draws with hypothesis, which minimises failures, and
``script`` writes a standalone reproduction. ``__main__`` runs a fixed, numbered set of examples.
"""

from parity.core.errors import InputError


class FuzzError(InputError):
    """Invalid input of a search; the message names it and the cause."""
