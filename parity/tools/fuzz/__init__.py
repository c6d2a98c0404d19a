"""Random models, batches and settings, put to the backends in this process: ``parity fuzz``.

An example is what one draw came to (``example``); its checkpoint is written, the standard questions about it are
asked (``asking``) and judged by the same checks as an audit's. ``search`` draws by hypothesis, so that what fails is
shrunk, and ``script`` shows it without this project; ``pair`` asks a fixed, numbered set of examples.
"""

from parity.core.errors import InputError


class FuzzError(InputError):
    """Bad input to a search; the message names it and the cause."""
